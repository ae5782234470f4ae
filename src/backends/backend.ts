/**
 * The interface every backend implements, and the flat arrays that cross it. Knows no scheduler, no text, no file format.
 * A backend compiles a Program once; the Executable then replays it step after step (after nano-vLLM's CUDA graphs).
 */
import type { NanoVllmError } from "../errors.ts";
import type { Program } from "./program.ts";

/** Number types whose elements stand one by one. */
export type TensorDtype = "f32" | "f16" | "bf16";

/** ggml's block types: 32 or 256 neighbours of a row share their scales. weights/ggml-blocks.ts defines each. */
export type BlockDtype =
	| "q4_0"
	| "q4_1"
	| "q5_0"
	| "q5_1"
	| "q8_0"
	| "q2_k"
	| "q3_k"
	| "q4_k"
	| "q5_k"
	| "q6_k"
	| "iq4_nl"
	| "iq4_xs"
	| "mxfp4";

/** What a checkpoint may store a tensor in. */
export type StoredDtype = TensorDtype | BlockDtype;

export interface TensorInfo<D extends StoredDtype = StoredDtype> {
	readonly name: string;
	readonly dtype: D;
	/** In elements. A row of a block type is whole blocks. */
	readonly shape: readonly number[];
}

/** Where a backend reads weights from while it compiles. Tensors are row-major, little-endian; rows are slices of the first dimension. */
export interface WeightSource<D extends StoredDtype = StoredDtype> {
	readonly tensors: ReadonlyMap<string, TensorInfo<D>>;
	/** Raw bytes of rows [rowStart, rowEnd) of tensor `name`; the caller may keep the array. */
	read(
		name: string,
		rowStart: number,
		rowEnd: number,
		signal?: AbortSignal,
	): Promise<Uint8Array>;
	close(): Promise<void>;
}

/** What an executable must be able to hold; fixed for its life. */
export interface Limits {
	readonly blockSize: number;
	readonly maxModelLen: number;
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	/** null: as much as the device and `memoryUtilization` allow. */
	readonly kvCacheBytes: number | null;
	/** Share of the device's memory weights and cache may take together, 0..1. */
	readonly memoryUtilization: number;
}

export interface CompileOptions {
	readonly limits: Limits;
	readonly kvCacheDtype: "auto" | TensorDtype;
	readonly signal?: AbortSignal;
	/** Weights loaded so far, in bytes as the checkpoint stores them. */
	readonly onProgress?: (loadedBytes: number, totalBytes: number) => void;
}

export interface Backend {
	readonly name: "reference" | "cpu" | "webgpu";
	/**
	 * Loads the weights and makes everything a step needs.
	 * @throws missing_tensor, shape_mismatch, nan_weights, out_of_memory
	 */
	compile(
		program: Program,
		weights: WeightSource,
		options: CompileOptions,
	): Promise<Executable>;
}

/** W + b · a: what an adapter makes of a target W.  a: f32 [rank, columns]; b: f32 [rows, rank], the adapter's scale multiplied in */
export interface LowRank {
	readonly rank: number;
	readonly a: Float32Array;
	readonly b: Float32Array;
}

/** An adapter's matrices by the names of their targets, checked against the program; targets it leaves alone are absent. */
export interface AdapterWeights {
	/** The largest of its targets' ranks. */
	readonly rank: number;
	readonly targets: ReadonlyMap<string, LowRank>;
}

/** What a program would take of a device's memory. */
export interface MemoryNeed {
	readonly weightBytes: number;
	/** Activations, steps and scratch. */
	readonly stepBytes: number;
	/** Keys and values of a block of tokens in all layers. */
	readonly bytesPerBlock: number;
	readonly blockSize: number;
	/** What the device can hold at most, however much the machine has. */
	readonly deviceBytes: number;
}

export interface Executable {
	/** KV blocks the cache holds; block ids are 0..numBlocks-1. */
	readonly numBlocks: number;
	readonly weightBytes: number;
	readonly kvCacheBytes: number;
	/** True where `submit` returns before the step has run, so that the next one may be packed meanwhile. */
	readonly overlaps: boolean;
	/** Resolves when the device is lost or its threads have died, with steps under way or without; absent where that cannot be. */
	readonly lost?: Promise<NanoVllmError>;
	/**
	 * Runs one step. Steps run in the order submitted; the arrays of `input` are the caller's again once the call returns.
	 * @throws (rejects) device_lost, out_of_memory, backend_failed: the executable is then only good for `close`
	 */
	submit(input: StepInput): Promise<StepOutput>;
	/**
	 * Puts an adapter into a slot of a program that has some, in place of what was there: steps submitted before do not see it, those
	 * submitted once the promise is kept do.
	 * @throws (rejects) as submit
	 */
	writeAdapter(slot: number, adapter: AdapterWeights): Promise<void>;
	close(): Promise<void>;
}

/**
 * One ragged batch. Decodes come first, prefill chunks after. Arrays may be longer than the counts say.
 * T numTokens, S numSeqs, R numRows, Q numSampleRows ≤ R.
 */
export interface StepInput {
	numTokens: number;
	numSeqs: number;
	/** The first numDecodes sequences have exactly one token in this step. */
	numDecodes: number;
	numRows: number;
	numSampleRows: number;
	/** [T] */
	tokenIds: Int32Array;
	/** [T] place of the token in its sequence */
	positions: Int32Array;
	/** [T] block id · blockSize + offset in the block */
	slotMapping: Int32Array;
	/** [S+1] sequence s owns tokens queryStart[s] .. queryStart[s+1]-1 */
	queryStart: Int32Array;
	/** [S] cached tokens of the sequence once this step has written its own */
	contextLens: Int32Array;
	/** [S+1] block ids of sequence s: blockTables[blockTableStart[s] .. blockTableStart[s+1]-1] */
	blockTableStart: Int32Array;
	blockTables: Int32Array;
	/** [R] index of the token whose logits row r is; the sampling rows first, then rows that only score a known token */
	logitRows: Int32Array;
	/** tokenIds[carryTo[i]] is not known here: it is what row carryFrom[i] of the step before sampled. */
	numCarried: number;
	carryTo: Int32Array;
	carryFrom: Int32Array;
	/** Tokens that go through the adapter in slot s: adapterTokens[adapterStart[s] .. adapterStart[s+1]-1], ascending. The others are in no list. */
	adapterTokens: Int32Array;
	/** [number of slots + 1] */
	adapterStart: Int32Array;
	sampling: SamplingInput;
}

/** Per sampling row [Q] unless said otherwise. The meaning of each number is vLLM's SamplingParams. */
export interface SamplingInput {
	/** 0: greedy */
	temperature: Float32Array;
	/** 0: off */
	topK: Int32Array;
	topP: Float32Array;
	minP: Float32Array;
	presencePenalty: Float32Array;
	frequencyPenalty: Float32Array;
	repetitionPenalty: Float32Array;
	/** [2Q] high and low word; with outputPosition the whole state of the random source */
	seeds: Uint32Array;
	/** index of the token to sample among the sequence's output tokens */
	outputPosition: Int32Array;
	/**
	 * [Q+1] the row's tokens so far, for penalties: historyTokens[historyStart[r] .. historyStart[r+1]-1], empty where
	 * no penalty is set. A carried token of the row counts too, as an output token, though it is not listed.
	 */
	historyStart: Int32Array;
	historyTokens: Int32Array;
	/** how many tokens of the history are prompt; the rest are output */
	historyPromptLen: Int32Array;
	/** [Q+1] biasTokens/biasValues[biasStart[r] .. biasStart[r+1]-1] are added to the logits; -Infinity forbids */
	biasStart: Int32Array;
	biasTokens: Int32Array;
	biasValues: Float32Array;
	/** Row maskRows[m] may only sample tokens whose bit is set in masks[m · ⌈V/32⌉ ..]. */
	numMasks: number;
	maskRows: Int32Array;
	masks: Uint32Array;
	/** [R] logprob entries wanted of the row: 0 none, 1 the chosen token's, 1 + k also the k best */
	logprobEntries: Int32Array;
	/** [R - Q] the token whose logprob scoring row Q + i is asked for */
	scoredTokens: Int32Array;
}

/**
 * nan: the logits held one; forbidden: no token was allowed; too_large: the row's sequence asks for more logprobs, bias or
 * penalised tokens than the device has room for in this step.
 */
export type RowFailure = "nan" | "forbidden" | "too_large";

export interface StepOutput {
	/** [Q] */
	readonly tokenIds: Int32Array;
	/** Rows that could not be sampled or scored; their token ids mean nothing, and they have no logprobs. */
	readonly failedRows: ReadonlyMap<number, RowFailure>;
	readonly logprobs: LogprobTable | null;
}

/**
 * Log-softmax of the raw logits (before bias, penalties, temperature), as vLLM's `raw_logprobs`.
 * Row r owns entries start[r] .. start[r+1]-1: the chosen or scored token first, then the best ones in order.
 * rank: 1 + the number of tokens with a greater logit.
 */
export interface LogprobTable {
	readonly start: Int32Array;
	readonly tokenIds: Int32Array;
	readonly logprobs: Float32Array;
	readonly ranks: Int32Array;
}
