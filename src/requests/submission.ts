/** What a call asks for, checked: its prompts as token ids, its parameters as the engine needs them. Starts nothing. */
import {
	type EngineConfig,
	resolveSamplingParams,
	type SamplingParams,
	type SamplingParamsInput,
	show,
} from "../config.ts";
import type { SequenceParams } from "../engine/sequence.ts";
import { type ModelFacts, sequenceParams } from "../engine/sequence-params.ts";
import { NanoVllmError } from "../errors.ts";
import type { TokenizedPrompt } from "../prompt.ts";
import { checkThought } from "../structured/thought.ts";
import type { StructuredOutputs, Thought } from "../structured-outputs.ts";
import { type GenerateOptions, isList, type OneOrMany } from "./options.ts";

/** What the options say of every request of a call. */
interface Manner {
	readonly priority: number;
	readonly cacheSalt: string | null;
	readonly thought: Thought | null;
}

export interface Submission {
	readonly prompt: TokenizedPrompt;
	readonly params: SequenceParams;
	readonly manner: Manner;
	/** null: the answer may have any form. */
	readonly form: StructuredOutputs | null;
}

/** What the model and the engine allow. */
export interface SubmissionRules {
	readonly facts: ModelFacts;
	readonly schedulingPolicy: EngineConfig["schedulingPolicy"];
	readonly hasTokenizer: boolean;
	/** Where a call gives no parameters. */
	readonly defaultSamplingParams: SamplingParamsInput;
}

/**
 * The submissions of a call, in the order of its prompts, or the error of the first that is wrong.
 * @throws invalid_prompt, prompt_too_long, invalid_sampling_params, invalid_option
 */
export function createSubmissions<P>(
	list: readonly P[],
	tokenize: (prompt: P) => TokenizedPrompt,
	samplingParams: OneOrMany<SamplingParamsInput> | undefined,
	options: GenerateOptions,
	rules: SubmissionRules,
): Submission[] {
	const perPrompt = isList(samplingParams) ? samplingParams : null;
	if (perPrompt !== null && perPrompt.length !== list.length)
		throw new NanoVllmError(
			"invalid_sampling_params",
			`${perPrompt.length} sampling parameters for ${list.length} prompts. Give one for all, or one for each.`,
		);
	const manner = mannerOf(options, rules);
	const resolve = (params: SamplingParamsInput | undefined) =>
		resolveSamplingParams(params ?? rules.defaultSamplingParams);
	const shared = isList(samplingParams) ? null : resolve(samplingParams);
	return list.map((item, i) =>
		labelled(list.length > 1 ? `prompt ${i}: ` : "", () => {
			const prompt = tokenize(item);
			const params = shared ?? resolve(perPrompt?.[i]);
			const length = prompt.tokenIds.length;
			return {
				prompt,
				params: sequenceParams(params, length, rules.facts),
				manner,
				form: formOf(params, rules),
			};
		}),
	);
}

function mannerOf(
	{ priority = 0, cacheSalt = null, thought = null }: GenerateOptions,
	rules: SubmissionRules,
): Manner {
	if (!Number.isSafeInteger(priority))
		throw new NanoVllmError(
			"invalid_option",
			`priority must be an integer, got ${show(priority)}.`,
		);
	if (priority !== 0 && rules.schedulingPolicy !== "priority")
		throw new NanoVllmError(
			"invalid_option",
			`priority ${priority} has no meaning under schedulingPolicy "fcfs". Load with schedulingPolicy "priority", or leave it out.`,
		);
	if (cacheSalt !== null && (typeof cacheSalt !== "string" || !cacheSalt))
		throw new NanoVllmError(
			"invalid_option",
			`cacheSalt must be a non-empty string, got ${show(cacheSalt)}.`,
		);
	if (thought !== null) checkThought(thought, rules.facts.vocabSize);
	return { priority, cacheSalt, thought };
}

function formOf(
	{ structuredOutputs }: SamplingParams,
	{ hasTokenizer, facts }: SubmissionRules,
): StructuredOutputs | null {
	if (structuredOutputs === null) return null;
	if (!hasTokenizer)
		throw new NanoVllmError(
			"invalid_sampling_params",
			"structuredOutputs are about text, and no tokenizer is loaded. Use allowedTokenIds, or load without skipTokenizerInit.",
		);
	if (facts.eosTokenIds.length === 0)
		throw new NanoVllmError(
			"invalid_sampling_params",
			"structuredOutputs end with an end-of-sequence token, and neither the model nor its tokenizer names one. Add eos_token_id to its config.json.",
		);
	return structuredOutputs;
}

/** The same error, saying which of many inputs it is about. */
export function labelled<T>(label: string, make: () => T): T {
	try {
		return make();
	} catch (cause) {
		if (!(cause instanceof NanoVllmError) || label === "") throw cause;
		throw new NanoVllmError(cause.code, label + cause.message, { cause });
	}
}
