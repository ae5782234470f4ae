/**
 * Text of one sequence as its tokens come. Knows nothing of stop strings. Law: all pushes and finish(), joined, are what decoding
 * prompt and output together adds to the prompt's own text. After vLLM's incremental detokenizer, whose two offsets and repeated
 * decoding a streaming decoder does without.
 */
import type { Tokenizer } from "./tokenizer.ts";

export interface DetokenizerOptions {
	/** @default true */
	readonly skipSpecialTokens?: boolean;
	/** What stands before, so that the first new token is spaced rightly, and a character cut by the prompt's end is completed. */
	readonly promptTokenIds?: ArrayLike<number>;
}

export interface Detokenizer {
	/** @returns the text this token makes certain; "" while a character is incomplete. */
	push(tokenId: number): string;
	/** @returns what was held back: half a character is U+FFFD. Call it once. */
	finish(): string;
}

// The state of a decoder hangs on whether anything came before and on a character's last three bytes: a few tokens.
const CONTEXT_TOKENS = 16;

export function createDetokenizer(
	tokenizer: Tokenizer,
	options: DetokenizerOptions = {},
): Detokenizer {
	const { skipSpecialTokens = true, promptTokenIds = [] } = options;
	const context: number[] = [];
	let at = promptTokenIds.length;
	while (at > 0 && context.length < CONTEXT_TOKENS) {
		const id = promptTokenIds[--at];
		if (!(skipSpecialTokens && tokenizer.isSpecial(id))) context.push(id);
	}
	const stream = tokenizer.decodeStream({
		skipSpecialTokens,
		isContinued: context.length === CONTEXT_TOKENS,
	});
	for (const id of context.reverse()) stream.push(id);
	return stream;
}
