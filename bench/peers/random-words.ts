/** 32 random bits a call, the same for the same seed (Marsaglia's xorshift, 2003): fast enough for gigabytes of weights. */
export function createWords(seed: number): () => number {
	let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
	return () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		state >>>= 0;
		return state;
	};
}
