/** The forms a prompt may take, checked and brought to token ids. Knows no engine. */
import { show } from "./config.ts";
import { NanoVllmError } from "./errors.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

export type Prompt =
	| string
	| { readonly prompt: string }
	| { readonly promptTokenIds: ArrayLike<number> };

export interface TokenizedPrompt {
	/** null where token ids were given. */
	readonly text: string | null;
	readonly tokenIds: Int32Array;
}

export interface PromptLimits {
	readonly vocabSize: number;
	readonly maxModelLen: number;
}

/**
 * `addSpecialTokens`: false for text a chat template made, which brings its own.
 * @throws invalid_prompt, prompt_too_long
 */
export function tokenizePrompt(
	prompt: Prompt,
	tokenizer: Tokenizer | null,
	limits: PromptLimits,
	addSpecialTokens = true,
): TokenizedPrompt {
	const text = textOf(prompt);
	const ids =
		text === null
			? (prompt as { promptTokenIds: ArrayLike<number> }).promptTokenIds
			: encode(text, tokenizer, addSpecialTokens);
	checkLength(ids.length, limits.maxModelLen);
	return { text, tokenIds: checkedIds(ids, limits.vocabSize) };
}

function textOf(prompt: Prompt): string | null {
	if (typeof prompt === "string") return prompt;
	if (typeof prompt === "object" && prompt !== null) {
		if ("prompt" in prompt && typeof prompt.prompt === "string")
			return prompt.prompt;
		const ids = "promptTokenIds" in prompt ? prompt.promptTokenIds : undefined;
		const isTyped = ArrayBuffer.isView(ids) && !(ids instanceof DataView);
		if (Array.isArray(ids) || isTyped) return null;
	}
	throw new NanoVllmError(
		"invalid_prompt",
		`a prompt is a string, { prompt: string } or { promptTokenIds: number[] }, got ${show(prompt)}.`,
	);
}

function encode(
	text: string,
	tokenizer: Tokenizer | null,
	addSpecialTokens: boolean,
): number[] {
	if (tokenizer === null)
		throw new NanoVllmError(
			"invalid_prompt",
			"the prompt is text, and no tokenizer is loaded. Pass { promptTokenIds }, or load without skipTokenizerInit.",
		);
	return tokenizer.encode(text, { addSpecialTokens });
}

function checkLength(length: number, maxModelLen: number): void {
	if (length === 0)
		throw new NanoVllmError(
			"invalid_prompt",
			"the prompt is empty: it has no token to continue. Give at least one.",
		);
	if (length >= maxModelLen)
		throw new NanoVllmError(
			"prompt_too_long",
			`the prompt has ${length} tokens, and maxModelLen ${maxModelLen} must hold it and at least one more. Shorten the prompt, or load with a larger maxModelLen.`,
		);
}

function checkedIds(ids: ArrayLike<number>, vocabSize: number): Int32Array {
	for (let i = 0; i < ids.length; i++) {
		const id = ids[i];
		if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
		throw new NanoVllmError(
			"invalid_prompt",
			`token ${i} of the prompt is ${show(id)}, the model's token ids are 0 to ${vocabSize - 1}. Was it made by this model's tokenizer?`,
		);
	}
	return Int32Array.from(ids);
}
