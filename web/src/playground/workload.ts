/** Which requests a run fires, and when. Knows no engine. */
import { randomOf, sentences } from "./prompt-text.ts";

export interface Request {
	readonly prompt: string;
	/** Exactly so many tokens are generated. */
	readonly numOutputTokens: number;
	/** Sent when the first requests together have so many output tokens; 0: at once. */
	readonly afterTokens: number;
}

/** What the reader sets. Lengths of prompts are in words: about a token each. */
export interface Workload {
	readonly numPrompts: number;
	/** Words that all prompts begin with. */
	readonly numSharedWords: number;
	readonly minOwnWords: number;
	readonly maxOwnWords: number;
	readonly minOutputTokens: number;
	readonly maxOutputTokens: number;
	readonly seed: number;
}

export const DEFAULT_WORKLOAD: Workload = {
	numPrompts: 16,
	numSharedWords: 64,
	minOwnWords: 8,
	maxOwnWords: 64,
	minOutputTokens: 16,
	maxOutputTokens: 64,
	seed: 1,
};

export function requestsOf(workload: Workload): Request[] {
	const { numPrompts, numSharedWords, seed } = workload;
	const random = randomOf(seed);
	const between = (least: number, most: number) =>
		least + Math.floor(random() * (Math.max(least, most) - least + 1));
	const shared = sentences(seed, numSharedWords);
	return Array.from({ length: numPrompts }, (_, i) => {
		const numOwn = between(workload.minOwnWords, workload.maxOwnWords);
		const own = `${i + 1}. ${sentences(seed * 1000 + i + 1, numOwn)}`;
		return {
			prompt: numSharedWords > 0 ? `${shared} ${own}` : own,
			numOutputTokens: between(
				workload.minOutputTokens,
				workload.maxOutputTokens,
			),
			afterTokens: 0,
		};
	});
}
