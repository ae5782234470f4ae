/** Bodies of /v1/completions, /tokenize and /detokenize. Knows no handler. */
import { z } from "zod";
import { templateFields } from "./chat-schema.ts";
import { MAX_PROMPTS } from "./limits.ts";
import {
	integer,
	name,
	samplingFields,
	streamFields,
	tokenId,
} from "./sampling-schema.ts";

const ids = z.array(tokenId).min(1);

/** A text, a list of texts, token ids, or a list of lists of token ids. */
export const prompt = z.union([
	z.string(),
	ids,
	z.array(z.string()).min(1).max(MAX_PROMPTS),
	z.array(ids).min(1).max(MAX_PROMPTS),
]);

export const completionBody = z.object({
	...samplingFields,
	...streamFields,
	prompt,
	echo: z.boolean().nullish().describe("the prompt before the output"),
	logprobs: integer(0).nullish(),
	add_special_tokens: z.boolean().nullish(),
	suffix: z.string().nullish().describe("refused: models here write forwards"),
});

export const tokenizeBody = z.union([
	z.object({
		model: name.nullish(),
		prompt: z.string(),
		add_special_tokens: z.boolean().nullish(),
		return_token_strs: z.boolean().nullish(),
	}),
	z.object({
		...templateFields,
		model: name.nullish(),
		return_token_strs: z.boolean().nullish(),
	}),
]);

export const detokenizeBody = z.object({
	model: name.nullish(),
	tokens: z.array(tokenId),
});

export type CompletionBody = z.output<typeof completionBody>;
export type PromptBody = z.output<typeof prompt>;
export type TokenizeBody = z.output<typeof tokenizeBody>;
