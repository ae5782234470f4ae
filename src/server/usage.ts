/** What a request used, in tokens, as OpenAI counts. */
import type { RequestOutput } from "../index.ts";

export interface Usage {
	readonly prompt_tokens: number;
	readonly completion_tokens: number;
	readonly total_tokens: number;
	readonly prompt_tokens_details: { readonly cached_tokens: number } | null;
}

export function usageOf(outputs: readonly RequestOutput[]): Usage {
	let prompt = 0;
	let completion = 0;
	let cached = 0;
	for (const { promptTokenIds, numCachedTokens, outputs: choices } of outputs) {
		prompt += promptTokenIds.length;
		cached += numCachedTokens;
		for (const { tokenIds } of choices) completion += tokenIds.length;
	}
	return usage(prompt, completion, cached);
}

/** `cached` null: not known yet. */
export const usage = (
	prompt: number,
	completion: number,
	cached: number | null = null,
): Usage => ({
	prompt_tokens: prompt,
	completion_tokens: completion,
	total_tokens: prompt + completion,
	prompt_tokens_details: cached === null ? null : { cached_tokens: cached },
});
