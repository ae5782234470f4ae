/** Constraints of sequences, kept by a grammar thread. The tokens of one step go there in one message, and its masks come back in one. */
import type { TokenConstraint } from "../engine/constraint.ts";
import type { GrammarThread } from "./thread.ts";

/** A sequence that begins: its matcher is made with its first token, so that requests that wait cost nothing. */
export type StartMatcher = (
	grammar: number,
	firstMask: Uint32Array,
	onDispose: () => void,
) => TokenConstraint;

interface Matcher {
	readonly id: number;
	readonly grammar: number;
	mask: Uint32Array;
	pending: Promise<void> | null;
}

interface Move {
	readonly matcher: Matcher;
	readonly tokenId: number;
}

export function createMatchers(thread: GrammarThread): StartMatcher {
	let numMatchers = 0;
	let moves: Move[] = [];
	let flushing: Promise<void> = Promise.resolve();
	let ended: number[] = [];

	const flush = async (): Promise<void> => {
		await null; // for the other tokens of this step
		const sent = moves;
		moves = [];
		const masks = await thread.call({
			kind: "accept",
			matchers: sent.map(({ matcher }) => matcher.id),
			grammars: sent.map(({ matcher }) => matcher.grammar),
			tokenIds: sent.map(({ tokenId }) => tokenId),
		});
		const words = masks.length / sent.length;
		sent.forEach(({ matcher }, i) => {
			matcher.mask = masks.subarray(i * words, (i + 1) * words);
			matcher.pending = null;
		});
	};

	const flushEnded = async (): Promise<void> => {
		await flushing.catch(() => {}); // a matcher ends after it has begun
		const matchers = ended;
		ended = [];
		await thread.call({ kind: "end", matchers });
	};

	return (grammar, firstMask, onDispose) => {
		const id = numMatchers++;
		const matcher: Matcher = { id, grammar, mask: firstMask, pending: null };
		let begun = false;
		return {
			get mask() {
				return matcher.mask;
			},
			get pending() {
				return matcher.pending;
			},
			accept(tokenId) {
				begun = true;
				if (moves.push({ matcher, tokenId }) === 1) {
					flushing = flush();
					flushing.catch(() => {}); // heard where it is awaited
				}
				matcher.pending = flushing;
			},
			dispose() {
				// A thread that has died took its matchers along.
				if (begun && ended.push(id) === 1) flushEnded().catch(() => {});
				onDispose();
			},
		};
	};
}
