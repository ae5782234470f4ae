/** Engine options and sampling parameters: one table of defaults, one validation each. Names and meanings are vLLM's, camelCased. */
import { NanoVllmError } from "./errors.ts";
import {
	checkStructuredOutputs,
	type StructuredOutputs,
} from "./structured-outputs.ts";

export interface EngineConfig {
	/** Where to run. `auto` takes the fastest backend that works here. */
	device: "auto" | "webgpu" | "cpu" | "reference";
	/** Type weights are computed in where the backend has a choice. */
	dtype: "auto" | "f32" | "f16" | "bf16";
	/** Quantize weights while loading; null keeps them as stored. */
	quantization: "q8_0" | "q4_0" | null;
	loadFormat: "auto" | "safetensors" | "gguf" | "dummy";
	/** Branch, tag or commit of a model on the hub; null: the default branch, main. */
	revision: string | null;
	/** Longest prompt + output, in tokens; null: the model's own limit, or what the cache holds if that is less. */
	maxModelLen: number | null;
	/** Sequences running at once. */
	maxNumSeqs: number;
	/** Tokens of one step (the token budget); null: what suits the device. */
	maxNumBatchedTokens: number | null;
	/** Tokens of one KV block. */
	blockSize: number;
	/** Size of the KV cache; null: what the device allows. */
	kvCacheMemoryBytes: number | null;
	/** Share of the device's memory for weights and cache together. */
	gpuMemoryUtilization: number;
	kvCacheDtype: "auto" | "f32" | "f16" | "bf16";
	enablePrefixCaching: boolean;
	enableChunkedPrefill: boolean;
	/** Schedule step n + 1 while step n runs. */
	asyncScheduling: boolean;
	/** Order of waiting requests: by arrival, or by (priority, arrival) with the smaller number first. */
	schedulingPolicy: "fcfs" | "priority";
	/** Make room for LoRA adapters; the options below count only then. */
	enableLora: boolean;
	/** Different adapters in one step. */
	maxLoras: number;
	/** Largest rank of an adapter: the device keeps room for it. */
	maxLoraRank: number;
	/** Adapters kept in memory, those of unfinished requests aside; null: maxLoras. */
	maxCpuLoras: number | null;
	/** Seed of requests that bring none, and of dummy weights. */
	seed: number;
	/** Largest `logprobs` and `promptLogprobs` a request may ask for; -1: no limit. */
	maxLogprobs: number;
	/** Compute threads of the cpu device; null: one per core. */
	threads: number | null;
	/** Let V8 join pairs of SIMD operations where it can (x64, Node 24 and later). */
	wasmRevectorize: boolean;
	/** Load no tokenizer: prompts are token ids, outputs have no text. */
	skipTokenizerInit: boolean;
}

export const ENGINE_DEFAULTS: Readonly<EngineConfig> = {
	device: "auto",
	dtype: "auto",
	quantization: null,
	loadFormat: "auto",
	revision: null,
	maxModelLen: null,
	maxNumSeqs: 256,
	maxNumBatchedTokens: null,
	blockSize: 16,
	kvCacheMemoryBytes: null,
	gpuMemoryUtilization: 0.9,
	kvCacheDtype: "auto",
	enablePrefixCaching: true,
	enableChunkedPrefill: true,
	asyncScheduling: true,
	schedulingPolicy: "fcfs",
	enableLora: false,
	maxLoras: 1,
	maxLoraRank: 16,
	maxCpuLoras: null,
	seed: 0,
	maxLogprobs: 20,
	threads: null,
	wasmRevectorize: true,
	skipTokenizerInit: false,
};

export interface SamplingParams {
	/** Outputs per prompt. */
	n: number;
	/** 0 takes the most likely token; values in (0, 0.01) count as 0.01. */
	temperature: number;
	/** Keep the smallest set of tokens whose probability reaches topP. */
	topP: number;
	/** Keep the k best tokens; 0 or -1: all. */
	topK: number;
	/** Keep tokens at least minP times as likely as the best. */
	minP: number;
	/** Same seed, same tokens, whatever else is in the batch. */
	seed: number | null;
	/** Subtracted once from the logit of every token in the output. */
	presencePenalty: number;
	/** Subtracted once per occurrence in the output. */
	frequencyPenalty: number;
	/** Divides positive and multiplies negative logits of tokens in prompt or output. */
	repetitionPenalty: number;
	/** Texts that end the output; not part of it unless includeStopStrInOutput. */
	stop: readonly string[];
	stopTokenIds: readonly number[];
	/** Go on past the end-of-sequence token. */
	ignoreEos: boolean;
	/** Tokens to generate at most; null: up to maxModelLen. */
	maxTokens: number | null;
	/** No end-of-sequence, stop token or stop string before this many tokens. */
	minTokens: number;
	/** Log-probabilities of the k best tokens per output token, the chosen one always included; null: none, -1: all. */
	logprobs: number | null;
	/** The same for the prompt's tokens. */
	promptLogprobs: number | null;
	/** Added to the logits, by token id. */
	logitBias: Readonly<Record<string, number>> | null;
	/** Only these tokens may be sampled. */
	allowedTokenIds: readonly number[] | null;
	/** Texts whose tokens are never completed. */
	badWords: readonly string[];
	/** The answer's form: a JSON schema, a regular expression, one of some texts, a grammar. */
	structuredOutputs: StructuredOutputs | null;
	/** Produce text, not only token ids. */
	detokenize: boolean;
	skipSpecialTokens: boolean;
	includeStopStrInOutput: boolean;
}

export const SAMPLING_DEFAULTS: Readonly<SamplingParams> = {
	n: 1,
	temperature: 1,
	topP: 1,
	topK: 0,
	minP: 0,
	seed: null,
	presencePenalty: 0,
	frequencyPenalty: 0,
	repetitionPenalty: 1,
	stop: [],
	stopTokenIds: [],
	ignoreEos: false,
	maxTokens: 16,
	minTokens: 0,
	logprobs: null,
	promptLogprobs: null,
	logitBias: null,
	allowedTokenIds: null,
	badWords: [],
	structuredOutputs: null,
	detokenize: true,
	skipSpecialTokens: true,
	includeStopStrInOutput: false,
};

/** What a user passes: any subset, and `stop` may be a single string. */
export type SamplingParamsInput = Partial<Omit<SamplingParams, "stop">> & {
	stop?: string | readonly string[];
};

interface Rule {
	readonly wanted: string;
	readonly holds: (value: unknown) => boolean;
}

const isInt = (v: unknown, low: number, high: number) =>
	Number.isSafeInteger(v) && (v as number) >= low && (v as number) <= high;
const isNumber = (v: unknown, low: number, high: number) =>
	typeof v === "number" && v >= low && v <= high;
const isToken = (v: unknown) => isInt(v, 0, 2 ** 31 - 1);

const MAX_INT = Number.MAX_SAFE_INTEGER;
const integer = (low: number, high = MAX_INT): Rule => ({
	wanted:
		high === MAX_INT
			? `an integer of at least ${low}`
			: `an integer from ${low} to ${high}`,
	holds: (v) => isInt(v, low, high),
});
const number = (low: number, high: number, hint = ""): Rule => ({
	wanted: `a number from ${low} to ${high}${hint}`,
	holds: (v) => isNumber(v, low, high),
});
const positive = (high: number): Rule => ({
	wanted: `a number above 0 and at most ${high}`,
	holds: (v) => isNumber(v, Number.MIN_VALUE, high),
});
const boolean: Rule = {
	wanted: "true or false",
	holds: (v) => typeof v === "boolean",
};
const oneOf = (...values: readonly unknown[]): Rule => ({
	wanted: `one of ${values.map((v) => JSON.stringify(v)).join(", ")}`,
	holds: (v) => values.includes(v),
});
const nullOr = (rule: Rule): Rule => ({
	wanted: `${rule.wanted}, or null`,
	holds: (v) => v === null || rule.holds(v),
});
const listOf = (
	what: string,
	holds: (v: unknown) => boolean,
	least = 0,
): Rule => ({
	wanted: `${least > 0 ? "a non-empty" : "a"} list of ${what}`,
	holds: (v) => Array.isArray(v) && v.length >= least && v.every(holds),
});

/** Beyond this the float arithmetic of a sampler has no digits left. */
const MAX_LOGIT_SHIFT = 1e6;
/** Outputs of one prompt: a bound on what one small request can cost. */
const MAX_N = 16_384;

/** More threads than any machine has cores: a mistake, not a wish. */
const MAX_THREADS = 1024;

/** Each takes room on the device whether it is used or not. */
const MAX_LORAS = 4096;
/** vLLM's largest; beyond it an adapter is as slow as a second model. */
const MAX_LORA_RANK = 512;

const ENGINE_RULES: Record<keyof EngineConfig, Rule> = {
	device: oneOf("auto", "webgpu", "cpu", "reference"),
	dtype: oneOf("auto", "f32", "f16", "bf16"),
	quantization: oneOf(null, "q8_0", "q4_0"),
	loadFormat: oneOf("auto", "safetensors", "gguf", "dummy"),
	revision: nullOr({
		wanted: "a branch, tag or commit",
		holds: (v) => typeof v === "string" && /^[^\s:]+$/.test(v),
	}),
	maxModelLen: nullOr(integer(2, 2 ** 30)),
	maxNumSeqs: integer(1, 65_536),
	maxNumBatchedTokens: nullOr(integer(1, 2 ** 20)),
	blockSize: integer(1, 1024),
	kvCacheMemoryBytes: nullOr(integer(1)),
	gpuMemoryUtilization: positive(1),
	kvCacheDtype: oneOf("auto", "f32", "f16", "bf16"),
	enablePrefixCaching: boolean,
	enableChunkedPrefill: boolean,
	asyncScheduling: boolean,
	schedulingPolicy: oneOf("fcfs", "priority"),
	enableLora: boolean,
	maxLoras: integer(1, MAX_LORAS),
	maxLoraRank: integer(1, MAX_LORA_RANK),
	maxCpuLoras: nullOr(integer(1, MAX_LORAS)),
	seed: integer(0),
	maxLogprobs: integer(-1),
	threads: nullOr(integer(1, MAX_THREADS)),
	wasmRevectorize: boolean,
	skipTokenizerInit: boolean,
};

const SAMPLING_RULES: Record<keyof SamplingParams, Rule> = {
	n: integer(1, MAX_N),
	temperature: number(0, 1e4),
	topP: positive(1),
	topK: integer(-1, 2 ** 31 - 1),
	minP: number(0, 1),
	seed: nullOr(integer(0)),
	presencePenalty: number(-2, 2),
	frequencyPenalty: number(-2, 2),
	repetitionPenalty: positive(1e4),
	stop: listOf(
		"non-empty strings",
		(v) => typeof v === "string" && v.length > 0,
	),
	stopTokenIds: listOf("token ids", isToken),
	ignoreEos: boolean,
	maxTokens: nullOr(integer(1)),
	minTokens: integer(0),
	logprobs: nullOr(integer(-1)),
	promptLogprobs: nullOr(integer(-1)),
	logitBias: nullOr({
		wanted: `an object of token id → number from ${-MAX_LOGIT_SHIFT} to ${MAX_LOGIT_SHIFT} (or -Infinity)`,
		holds: (v) =>
			typeof v === "object" &&
			v !== null &&
			!Array.isArray(v) &&
			!(v instanceof Map) &&
			Object.entries(v).every(
				([id, bias]) =>
					isToken(Number(id)) &&
					String(Number(id)) === id &&
					(bias === -Infinity ||
						isNumber(bias, -MAX_LOGIT_SHIFT, MAX_LOGIT_SHIFT)),
			),
	}),
	allowedTokenIds: nullOr(listOf("token ids", isToken, 1)),
	badWords: listOf(
		"non-empty strings",
		(v) => typeof v === "string" && v.length > 0,
	),
	structuredOutputs: nullOr({
		wanted: "an object",
		holds: (v) => typeof v === "object" && !Array.isArray(v),
	}),
	detokenize: boolean,
	skipSpecialTokens: boolean,
	includeStopStrInOutput: boolean,
};

/** @throws invalid_option */
export function resolveEngineConfig(
	options: Partial<EngineConfig>,
): EngineConfig {
	const config = resolve(
		options,
		ENGINE_DEFAULTS,
		ENGINE_RULES,
		"invalid_option",
		"option",
	);
	const { maxNumBatchedTokens: budget, maxNumSeqs } = config;
	if (budget !== null && budget < maxNumSeqs)
		throw new NanoVllmError(
			"invalid_option",
			`maxNumBatchedTokens is ${budget}, less than maxNumSeqs ${maxNumSeqs}: a step could not decode every running sequence. Raise the one or lower the other.`,
		);
	const { maxLoras, maxCpuLoras } = config;
	if (maxCpuLoras !== null && maxCpuLoras < maxLoras)
		throw new NanoVllmError(
			"invalid_option",
			`maxCpuLoras is ${maxCpuLoras}, less than maxLoras ${maxLoras}: adapters of one step must be in memory. Raise the one or lower the other.`,
		);
	return config;
}

/** Fills in vLLM's defaults. @throws invalid_sampling_params */
export function resolveSamplingParams(
	input: SamplingParamsInput,
): SamplingParams {
	const given =
		typeof input?.stop === "string" ? { ...input, stop: [input.stop] } : input;
	const params = resolve(
		given as Partial<SamplingParams>,
		SAMPLING_DEFAULTS,
		SAMPLING_RULES,
		"invalid_sampling_params",
		"sampling parameter",
	);
	const { minTokens, maxTokens, detokenize } = params;
	if (maxTokens !== null && minTokens > maxTokens)
		throw new NanoVllmError(
			"invalid_sampling_params",
			`minTokens is ${minTokens}, more than maxTokens ${maxTokens}. Lower minTokens or raise maxTokens.`,
		);
	if (params.stop.length > 0 && !detokenize)
		throw new NanoVllmError(
			"invalid_sampling_params",
			"stop strings are found in text, and detokenize is false. Use stopTokenIds, or set detokenize.",
		);
	if (params.structuredOutputs !== null) {
		checkStructuredOutputs(params.structuredOutputs);
		if (params.ignoreEos)
			throw new NanoVllmError(
				"invalid_sampling_params",
				"structuredOutputs end with the end-of-sequence token, and ignoreEos forbids it. Leave one of them out.",
			);
	}
	if (params.temperature > 0 && params.temperature < 0.01)
		return { ...params, temperature: 0.01 };
	return params;
}

function resolve<T extends object>(
	given: Partial<T>,
	defaults: Readonly<T>,
	rules: Record<keyof T, Rule>,
	code: "invalid_option" | "invalid_sampling_params",
	noun: string,
): T {
	if (typeof given !== "object" || given === null || Array.isArray(given))
		throw new NanoVllmError(
			code,
			`wanted an object of ${noun}s, got ${show(given)}.`,
		);
	const result: T = { ...defaults };
	for (const key of Object.keys(given) as (keyof T & string)[]) {
		if (!Object.hasOwn(rules, key))
			throw new NanoVllmError(
				code,
				`there is no ${noun} ${JSON.stringify(key)}. Known: ${Object.keys(rules).join(", ")}.`,
			);
		const value = given[key];
		if (value === undefined) continue;
		if (!rules[key].holds(value))
			throw new NanoVllmError(
				code,
				`${key} must be ${rules[key].wanted}, got ${show(value)}.`,
			);
		result[key] = value as T[typeof key];
	}
	return result;
}

/** A value as a message shows it, cut to a line. */
export function show(value: unknown): string {
	const text =
		typeof value === "string" || (typeof value === "object" && value !== null)
			? (JSON.stringify(value) ?? String(value))
			: String(value);
	return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
