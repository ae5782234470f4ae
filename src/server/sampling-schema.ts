/**
 * The fields of a body that say how to sample: OpenAI's and, beside them at the top level, vLLM's. A field that is null counts as left
 * out, as in vLLM; unknown fields are let through. Knows no endpoint.
 */
import { z } from "zod";
import {
	MAX_BAD_WORDS,
	MAX_CHOICES,
	MAX_GRAMMAR_LENGTH,
	MAX_NAME_LENGTH,
	MAX_STOP_LENGTH,
	MAX_STOPS,
} from "./limits.ts";

const MAX_INT = Number.MAX_SAFE_INTEGER;

export const integer = (low: number, high = MAX_INT) =>
	z.int().min(low).max(high);
export const tokenId = integer(0, 2 ** 31 - 1);
export const name = z.string().min(1).max(MAX_NAME_LENGTH);

const stop = z.string().min(1).max(MAX_STOP_LENGTH);
const grammar = z.string().min(1).max(MAX_GRAMMAR_LENGTH);
const jsonSchema = z.union([z.record(z.string(), z.unknown()), grammar]);

/** vLLM's: exactly one of the ways to say what the output looks like. */
export const structuredOutputs = z.object({
	json: jsonSchema.nullish(),
	regex: grammar.nullish(),
	choice: z.array(z.string()).min(1).max(4096).nullish(),
	grammar: grammar.nullish(),
	json_object: z.boolean().nullish(),
	disable_any_whitespace: z.boolean().nullish(),
});

/** OpenAI's. */
export const responseFormat = z.discriminatedUnion("type", [
	z.object({ type: z.literal("text") }),
	z.object({ type: z.literal("json_object") }),
	z.object({
		type: z.literal("json_schema"),
		json_schema: z.object({
			name: name.nullish(),
			description: z.string().nullish(),
			schema: z.record(z.string(), z.unknown()),
			strict: z.boolean().nullish(),
		}),
	}),
]);

export const streamOptions = z.object({
	include_usage: z
		.boolean()
		.nullish()
		.describe("a last chunk with the usage of the whole request"),
	continuous_usage_stats: z
		.boolean()
		.nullish()
		.describe("usage in every chunk"),
});

/** Of every endpoint that generates. */
export const samplingFields = {
	model: name
		.nullish()
		.describe("one of the names of /v1/models; the first where left out"),
	n: integer(1, MAX_CHOICES).nullish(),
	temperature: z.number().min(0).max(1e4).nullish(),
	top_p: z.number().gt(0).max(1).nullish(),
	top_k: integer(-1, 2 ** 31 - 1)
		.nullish()
		.describe("0 or -1: all"),
	min_p: z.number().min(0).max(1).nullish(),
	seed: integer(-MAX_INT).nullish(),
	presence_penalty: z.number().min(-2).max(2).nullish(),
	frequency_penalty: z.number().min(-2).max(2).nullish(),
	repetition_penalty: z.number().gt(0).max(1e4).nullish(),
	stop: z.union([z.literal(""), stop, z.array(stop).max(MAX_STOPS)]).nullish(),
	stop_token_ids: z.array(tokenId).nullish(),
	ignore_eos: z.boolean().nullish(),
	max_tokens: integer(0).nullish(),
	min_tokens: integer(0).nullish(),
	logit_bias: z
		.record(z.string().regex(/^\d{1,10}$/), z.number())
		.nullish()
		.describe("token id → added to its logit, from -100 to 100"),
	allowed_token_ids: z.array(tokenId).min(1).nullish(),
	bad_words: z
		.array(z.string().min(1).max(MAX_STOP_LENGTH))
		.max(MAX_BAD_WORDS)
		.nullish(),
	prompt_logprobs: integer(-1).nullish(),
	skip_special_tokens: z.boolean().nullish(),
	spaces_between_special_tokens: z
		.boolean()
		.nullish()
		.describe("without effect: special tokens have no spaces between them"),
	include_stop_str_in_output: z.boolean().nullish(),
	truncate_prompt_tokens: integer(-1)
		.nullish()
		.describe("keep the last k tokens of the prompt; -1: as many as fit"),
	priority: integer(-MAX_INT)
		.nullish()
		.describe("smaller runs first, with --scheduling-policy priority"),
	cache_salt: z
		.string()
		.min(1)
		.max(MAX_NAME_LENGTH)
		.nullish()
		.describe(
			"cached prefixes are shared with requests of the same salt alone",
		),
	structured_outputs: structuredOutputs.nullish(),
	response_format: responseFormat.nullish(),
	return_token_ids: z.boolean().nullish(),
	return_tokens_as_token_ids: z
		.boolean()
		.nullish()
		.describe('tokens of logprobs as "token_id:17"'),
	user: z.string().nullish(),
};

export const streamFields = {
	stream: z.boolean().nullish(),
	stream_options: streamOptions.nullish(),
};

export type SamplingBody = z.output<z.ZodObject<typeof samplingFields>>;
export type StructuredOutputsBody = z.output<typeof structuredOutputs>;
export type ResponseFormat = z.output<typeof responseFormat>;
