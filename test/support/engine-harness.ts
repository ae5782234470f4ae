/** What engine tests share: sampling parameters, sinks that remember, an executable that only counts, a tiny random model. */
import type {
	Executable,
	Limits,
	StepInput,
	StepOutput,
} from "../../src/backends/backend.ts";
import { checkpointTensors } from "../../src/backends/program.ts";
import { referenceBackend } from "../../src/backends/reference/backend.ts";
import {
	resolveSamplingParams,
	type SamplingParamsInput,
} from "../../src/config.ts";
import type { LlmEngineConfig } from "../../src/engine/llm-engine.ts";
import type { EngineRequest, LogprobEntry } from "../../src/engine/request.ts";
import type { Sequence } from "../../src/engine/sequence.ts";
import { sequenceParams } from "../../src/engine/sequence-params.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";

export const TINY_CONFIG = {
	architectures: ["Qwen3ForCausalLM"],
	vocab_size: 61,
	hidden_size: 24,
	intermediate_size: 40,
	num_hidden_layers: 2,
	num_attention_heads: 4,
	num_key_value_heads: 2,
	head_dim: 8,
	max_position_embeddings: 256,
	rms_norm_eps: 1e-6,
	rope_theta: 10_000,
	tie_word_embeddings: true,
};

export function engineConfig(
	overrides: Partial<LlmEngineConfig> = {},
): LlmEngineConfig {
	return {
		blockSize: 4,
		maxNumSeqs: 8,
		maxNumBatchedTokens: 32,
		enablePrefixCaching: true,
		enableChunkedPrefill: true,
		asyncScheduling: true,
		seed: 0,
		vocabSize: TINY_CONFIG.vocab_size,
		now: () => performance.now(),
		yieldToEventLoop: () => new Promise((resolve) => setImmediate(resolve)),
		...overrides,
	};
}

/** The tiny model on the reference backend; weights depend on nothing but the seed. */
export async function tinyExecutable(
	config: LlmEngineConfig,
	numBlocks: number,
	seed = 7,
): Promise<Executable> {
	const program = buildProgram(parseModelConfig(TINY_CONFIG));
	const tensors = checkpointTensors(program);
	const kvBytes = program.kvLayers.length * 2 * 2 * 8 * 4 * config.blockSize;
	const limits: Limits = {
		blockSize: config.blockSize,
		maxModelLen: TINY_CONFIG.max_position_embeddings,
		maxNumSeqs: config.maxNumSeqs,
		maxNumBatchedTokens: config.maxNumBatchedTokens,
		kvCacheBytes: numBlocks * kvBytes,
		memoryUtilization: 1,
	};
	return referenceBackend.compile(
		program,
		dummyWeights(tensors, { seed, dtype: "f32" }),
		{ limits, kvCacheDtype: "auto" },
	);
}

/** The same executable, telling the engine that steps overlap, and answering late. */
export function overlapping(executable: Executable): Executable {
	return {
		...executable,
		overlaps: true,
		submit: async (input) => {
			const output = await executable.submit(input);
			await new Promise((resolve) => setImmediate(resolve));
			return output;
		},
	};
}

/** Computes nothing: row r samples the token `choose` says. For tests of the control plane. */
export function countingExecutable(
	numBlocks: number,
	choose: (input: StepInput, row: number) => number = () => 1,
): Executable & { steps: number } {
	return {
		steps: 0,
		numBlocks,
		weightBytes: 0,
		kvCacheBytes: 0,
		overlaps: false,
		async submit(input): Promise<StepOutput> {
			this.steps++;
			const tokenIds = Int32Array.from(
				{ length: input.numSampleRows },
				(_, row) => choose(input, row),
			);
			return { tokenIds, failedRows: new Map(), logprobs: null };
		},
		async writeAdapter() {},
		async close() {},
	};
}

export interface Remembered {
	readonly tokenIds: number[][];
	readonly logprobs: LogprobEntry[][][];
	readonly promptLogprobs: (readonly LogprobEntry[])[];
	readonly ends: Sequence["status"][];
	readonly cachedTokens: (number | null)[];
	readonly done: Promise<void>;
}

export const FACTS = {
	vocabSize: TINY_CONFIG.vocab_size,
	maxModelLen: TINY_CONFIG.max_position_embeddings,
	maxLogprobs: -1,
	eosTokenIds: [] as number[],
	encode: null,
};

/** A request whose sink keeps everything it is handed. */
export function request(
	requestId: string,
	promptTokenIds: readonly number[],
	params: SamplingParamsInput = {},
	options: { priority?: number; eosTokenIds?: number[] } = {},
): EngineRequest & { seen: Remembered } {
	const resolved = resolveSamplingParams({ temperature: 0, ...params });
	const { promise: done, resolve } = Promise.withResolvers<void>();
	const perOutput = <T>() => Array.from({ length: resolved.n }, (): T[] => []);
	const seen: Remembered = {
		tokenIds: perOutput(),
		logprobs: perOutput(),
		promptLogprobs: [],
		ends: [],
		cachedTokens: [],
		done,
	};
	let numFinished = 0;
	return {
		requestId,
		promptTokenIds: Int32Array.from(promptTokenIds),
		params: sequenceParams(resolved, promptTokenIds.length, {
			...FACTS,
			eosTokenIds: options.eosTokenIds ?? [],
		}),
		priority: options.priority ?? 0,
		seen,
		sink: {
			onToken(seq, tokenId, _isStop, logprobs) {
				seen.tokenIds[seq.index].push(tokenId);
				if (logprobs !== null) seen.logprobs[seq.index].push([...logprobs]);
				return null;
			},
			onPromptLogprobs(position, entries) {
				seen.promptLogprobs[position] = entries;
			},
			onFinish(seq) {
				seen.ends[seq.index] = seq.status;
				seen.cachedTokens[seq.index] = seq.numCachedTokens;
				if (++numFinished === resolved.n) resolve();
			},
		},
	};
}
