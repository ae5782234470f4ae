/**
 * A constraint that holds behind a thought: while the model thinks it may say anything, and what comes after the token that ends the
 * thought obeys. An answer begins with a thought or with what is asked for, so a model that does not think is held at once.
 */
import { show } from "../config.ts";
import type { TokenConstraint } from "../engine/constraint.ts";
import { NanoVllmError } from "../errors.ts";
import type { Thought } from "../structured-outputs.ts";

/** @throws invalid_option */
export function checkThought(thought: Thought, vocabSize: number): void {
	const { openTokenId, closeTokenId } = thought;
	for (const [key, id] of Object.entries({ openTokenId, closeTokenId }))
		if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
			throw new NanoVllmError(
				"invalid_option",
				`thought.${key} must be a token id from 0 to ${vocabSize - 1}, got ${show(id)}.`,
			);
}

/** @param start makes the constraint of what follows, its first mask ready */
export function afterThought(
	{ openTokenId, closeTokenId, isOpen }: Thought,
	start: () => TokenConstraint,
): TokenConstraint {
	const answer = start();
	let state: "start" | "thought" | "answer" = isOpen ? "thought" : "start";
	const first = answer.mask?.slice() ?? null;
	if (first !== null) first[openTokenId >>> 5] |= 1 << (openTokenId & 31);
	return {
		get mask() {
			if (state === "thought") return null;
			return state === "start" ? first : answer.mask;
		},
		get pending() {
			return state === "answer" ? answer.pending : null;
		},
		accept(tokenId) {
			if (state === "thought") {
				if (tokenId === closeTokenId) state = "answer";
			} else if (state === "start" && tokenId === openTokenId)
				state = "thought";
			else {
				state = "answer";
				answer.accept(tokenId);
			}
		},
		dispose: () => answer.dispose(),
	};
}
