/** SamplingParams → what the engine needs of them: text as token ids, ids checked against the vocabulary. Knows tokenizers as a function. */
import type { SamplingParams } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { SequenceParams } from "./sequence.ts";

export interface ModelFacts {
	readonly vocabSize: number;
	readonly maxModelLen: number;
	readonly maxLogprobs: number;
	readonly eosTokenIds: readonly number[];
	/** Text → ids without special tokens; null where no tokenizer is loaded. */
	readonly encode: ((text: string) => number[]) | null;
}

/** @throws invalid_sampling_params */
export function sequenceParams(
	params: SamplingParams,
	numPromptTokens: number,
	model: ModelFacts,
): SequenceParams {
	const { vocabSize } = model;
	const room = model.maxModelLen - numPromptTokens;
	const bias = Object.entries(params.logitBias ?? {});
	const biasTokens = bias.map(([id]) => Number(id));
	checkIds("stopTokenIds", params.stopTokenIds, vocabSize);
	checkIds("logitBias", biasTokens, vocabSize);
	checkIds("allowedTokenIds", params.allowedTokenIds ?? [], vocabSize);
	checkCount("logprobs", params.logprobs, model);
	checkCount("promptLogprobs", params.promptLogprobs, model);
	if (params.stop.length > 0 && model.encode === null)
		throw new NanoVllmError(
			"invalid_sampling_params",
			"stop strings are found in text, and no tokenizer is loaded. Use stopTokenIds, or load without skipTokenizerInit.",
		);
	return {
		...params,
		maxOutputTokens: Math.min(params.maxTokens ?? room, room),
		eosTokenIds: params.ignoreEos ? [] : model.eosTokenIds,
		biasTokens: Int32Array.from(biasTokens),
		biasValues: Float32Array.from(bias, ([, value]) => value),
		allowedMask:
			params.allowedTokenIds && bitMask(params.allowedTokenIds, vocabSize),
		badWordIds: badWordIds(params.badWords, model),
	};
}

function checkIds(
	name: string,
	ids: readonly number[],
	vocabSize: number,
): void {
	const wrong = ids.find((id) => id >= vocabSize);
	if (wrong !== undefined)
		throw new NanoVllmError(
			"invalid_sampling_params",
			`${name} holds token id ${wrong}, the model's vocabulary ends at ${vocabSize - 1}.`,
		);
}

function checkCount(
	name: string,
	count: number | null,
	{ maxLogprobs }: ModelFacts,
): void {
	if (count === null || maxLogprobs === -1) return;
	if (count === -1 || count > maxLogprobs)
		throw new NanoVllmError(
			"invalid_sampling_params",
			`${name} is ${count}, the engine gives at most ${maxLogprobs}. Load it with a larger maxLogprobs (-1: no limit).`,
		);
}

function bitMask(ids: readonly number[], vocabSize: number): Uint32Array {
	const mask = new Uint32Array(Math.ceil(vocabSize / 32));
	for (const id of ids) mask[id >>> 5] |= 1 << (id & 31);
	return mask;
}

/** A word as it stands at the start of a text and after a space, where that is another token (vLLM's update_from_tokenizer). */
function badWordIds(
	words: readonly string[],
	{ encode, vocabSize }: ModelFacts,
): number[][] {
	if (words.length === 0) return [];
	if (encode === null)
		throw new NanoVllmError(
			"invalid_sampling_params",
			"badWords are texts, and no tokenizer is loaded. Use logitBias with token ids, or load without skipTokenizerInit.",
		);
	return words.flatMap((word) => {
		const plain = encode(word.trimStart());
		const spaced = encode(` ${word.trimStart()}`);
		const differs = spaced[0] !== plain[0] && spaced.length === plain.length;
		// A tokenizer may know tokens the model has no logit for: those are never sampled anyway.
		return (differs ? [plain, spaced] : [plain]).filter(
			(ids) => ids.length > 0 && ids.every((id) => id < vocabSize),
		);
	});
}
