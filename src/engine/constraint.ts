/** Which tokens a sequence may sample next, as something outside the engine knows: token ids in, mask words out. */

/** One sequence's. Its mask may come a moment after the token it depends on; meanwhile the sequence is in no step. */
export interface TokenConstraint {
	/** Bit t of the ⌈V/32⌉ words: token t may be next. Null allows all. Of no meaning while `pending`. */
	readonly mask: Uint32Array | null;
	/** Settles when the mask is there, or never will be (rejects); null while it is. */
	readonly pending: Promise<void> | null;
	/** The sequence goes on with a token that the mask allowed. */
	accept(tokenId: number): void;
	/** The sequence ended. */
	dispose(): void;
}
