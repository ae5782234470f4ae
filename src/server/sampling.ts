/** The sampling fields of a body → the library's SamplingParams. Where a field is left out, what the model's authors advise counts. Knows no endpoint. */
import type { SamplingParamsInput } from "../config.ts";
import { badRequest } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";
import type { SamplingBody } from "./sampling-schema.ts";

/** { json | regex | choice | grammar | jsonObject }, as SamplingParams takes it. */
export type StructuredOutputs = Readonly<Record<string, unknown>>;

/** vLLM clamps a bias to what OpenAI allows. */
const MAX_BIAS = 100;

/** Seeds below zero are as good as others: they are counted down from here. */
const SEED_WRAP = 2 ** 52;

/** What the endpoint decides itself. */
export interface SamplingExtras {
	readonly maxTokens?: number | null;
	readonly logprobs?: number | null;
	readonly promptLogprobs?: number | null;
	readonly skipSpecialTokens?: boolean;
	/** In place of what the body asks for. */
	readonly structuredOutputs?: StructuredOutputs;
}

export function samplingParams(
	body: SamplingBody,
	engine: ServedEngine,
	extras: SamplingExtras = {},
): SamplingParamsInput {
	const given = {
		n: body.n,
		temperature: body.temperature,
		topP: body.top_p,
		topK: body.top_k,
		minP: body.min_p,
		seed: seedOf(body.seed),
		presencePenalty: body.presence_penalty,
		frequencyPenalty: body.frequency_penalty,
		repetitionPenalty: body.repetition_penalty,
		stop: body.stop === "" ? undefined : body.stop,
		stopTokenIds: body.stop_token_ids,
		ignoreEos: body.ignore_eos,
		minTokens: body.min_tokens,
		logitBias: clampedBias(body.logit_bias),
		allowedTokenIds: body.allowed_token_ids,
		badWords: body.bad_words,
		promptLogprobs: body.prompt_logprobs,
		skipSpecialTokens: body.skip_special_tokens,
		includeStopStrInOutput: body.include_stop_str_in_output,
		structuredOutputs: structuredOutputsOf(body),
	};
	const params: Record<string, unknown> = { ...engine.defaultSamplingParams };
	for (const fields of [given, extras])
		for (const [key, value] of Object.entries(fields))
			if (value !== undefined && (value !== null || key === "maxTokens"))
				params[key] = value;
	return params as SamplingParamsInput;
}

function seedOf(seed: number | null | undefined): number | null | undefined {
	if (typeof seed !== "number" || seed >= 0) return seed;
	return SEED_WRAP + (seed % SEED_WRAP);
}

function clampedBias(bias: SamplingBody["logit_bias"]) {
	if (bias === null || bias === undefined) return undefined;
	const clamp = (value: number) =>
		Math.max(-MAX_BIAS, Math.min(MAX_BIAS, value));
	return Object.fromEntries(
		Object.entries(bias).map(([id, value]) => [
			String(Number(id)),
			clamp(value),
		]),
	);
}

/** The field that says what the output looks like. @param format OpenAI's, as the endpoint calls it */
export const formFieldOf = (body: SamplingBody, format: string): string =>
	body.structured_outputs ? "structured_outputs" : format;

/** vLLM's structured_outputs, or what OpenAI's response_format comes to. */
function structuredOutputsOf(
	body: SamplingBody,
): StructuredOutputs | undefined {
	const { structured_outputs: own, response_format: format } = body;
	const asked = Object.entries({
		json: own?.json,
		regex: own?.regex,
		choice: own?.choice,
		grammar: own?.grammar,
		jsonObject: own?.json_object || undefined,
	}).filter(([, value]) => value !== null && value !== undefined);
	if (own && asked.length !== 1)
		throw badRequest(
			`structured_outputs takes exactly one of json, regex, choice, grammar, json_object, got ${asked.length}.`,
			"structured_outputs",
		);
	if (format && format.type !== "text") {
		if (own)
			throw badRequest(
				"structured_outputs and response_format both say what the output looks like. Give one.",
				"response_format",
			);
		return format.type === "json_object"
			? { jsonObject: true }
			: { json: format.json_schema.schema };
	}
	if (!own) return undefined;
	const disableAnyWhitespace = own.disable_any_whitespace || undefined;
	return {
		...Object.fromEntries(asked),
		...(disableAnyWhitespace && { disableAnyWhitespace }),
	};
}

/** vLLM refuses what it could not finish instead of cutting it. @throws ApiError context_length_exceeded */
export function checkRoom(
	numPromptTokens: number,
	maxTokens: number | null | undefined,
	maxModelLen: number,
	param: string,
): void {
	const wanted = numPromptTokens + (maxTokens ?? 1);
	if (wanted <= maxModelLen) return;
	const output = maxTokens ? ` and ${maxTokens} of output` : "";
	throw badRequest(
		`the model's context holds ${maxModelLen} tokens, and this request asks for ${wanted}: ${numPromptTokens} of prompt${output}. Shorten one of them.`,
		param,
		"context_length_exceeded",
	);
}
