/** Ragged steps over a random paged cache, run through attention kernels, and what plain f64 loops make of them. */
import type { Limits, StepInput } from "../../src/backends/backend.ts";
import type { Heads, Program } from "../../src/backends/program.ts";
import {
	type AttentionWork,
	type AttentionWorkOptions,
	createAttentionWork,
} from "../../src/backends/webgpu/attention-work.ts";
import type { Gpu } from "../../src/backends/webgpu/device.ts";
import type { Grid } from "../../src/backends/webgpu/dispatch.ts";
import {
	bindGroupOf,
	type Kernel,
	type KernelCompiler,
} from "../../src/backends/webgpu/kernel.ts";
import type { AttentionOptions } from "../../src/backends/webgpu/kernels/attention-text.ts";
import { stride, stride8 } from "../../src/backends/webgpu/layout.ts";
import { randomSource } from "./random.ts";
import { bufferOf } from "./webgpu.ts";
import { randomActivation } from "./webgpu-matrices.ts";

/** Of a sequence: tokens in the step, and cached tokens with them. */
export type Span = readonly [numTokens: number, contextLen: number];

export interface AttentionScene {
	readonly input: StepInput;
	readonly work: AttentionWork;
	/** By the names of the kernels' bindings. */
	readonly buffers: Readonly<Record<string, GPUBuffer>>;
	/** f32 [numHeads] */
	readonly sinks: Float32Array;
	/** [T][numHeads · headDim] */
	readonly wanted: Float64Array;
	readonly outputWidth: number;
}

/** Keys and values with outliers in scattered blocks, NaN wherever no token of the step's sequences lies. */
export function attentionScene(
	gpu: Gpu,
	options: AttentionOptions,
	spans: readonly Span[],
	seed: number,
	tuning: Partial<AttentionWorkOptions> = {},
): AttentionScene {
	const { heads, blockSize, storage } = options;
	const { numHeads, numKvHeads, headDim } = heads;
	const random = randomSource(seed);
	const input = stepOf(spans, blockSize, seed);
	const T = input.numTokens;
	const width = (numHeads + 2 * numKvHeads) * headDim;
	const qkv = randomActivation(random, storage, T, width);
	const numBlocks = input.blockTables.length + 2;
	const row = stride8(headDim);
	const cache = [0, 1].map(() =>
		new Float16Array(numBlocks * numKvHeads * blockSize * row).fill(NaN),
	);
	for (let s = 0; s < input.numSeqs; s++)
		for (let p = 0; p < input.contextLens[s]; p++)
			for (let h = 0; h < numKvHeads; h++) {
				const at = rowAt(input, heads, blockSize, s, p, h);
				for (const array of cache) {
					array.fill(0, at, at + row);
					array.set(random.vector(headDim, 3), at);
				}
			}
	const work = createAttentionWork(
		gpu,
		programOf(heads),
		limitsFor(input, blockSize),
		tuning,
	);
	work.write(input);
	const tokens = new Uint32Array(4 * T);
	for (let t = 0; t < T; t++) {
		tokens[4 * t + 1] = input.positions[t];
		tokens[4 * t + 2] = input.slotMapping[t];
	}
	const sinks = random.vector(numHeads).map((x) => 3 * x + 1);
	const outputWidth = stride(numHeads * headDim);
	const bits = (array: Float16Array) => new Uint16Array(array.buffer);
	return {
		input,
		work,
		buffers: {
			qkv: bufferOf(gpu, qkv.data),
			keys: bufferOf(gpu, bits(cache[0])),
			values: bufferOf(gpu, bits(cache[1])),
			tokens: bufferOf(gpu, tokens),
			output: bufferOf(gpu, new Float32Array(T * outputWidth).fill(NaN)),
			blockTables: work.blockTables,
			decodeItems: work.decodeItems,
			decodeMerges: work.decodeMerges,
			prefillItems: work.prefillItems,
			partials: work.partials,
			sinks: bufferOf(gpu, sinks),
		},
		sinks,
		wanted: plainAttention(options, input, qkv.elements, cache, sinks),
		outputWidth,
	};
}

export const programOf = (heads: Heads): Program => ({
	name: "attention",
	vocabSize: 1,
	kvLayers: [heads],
	ops: [],
});

export const limitsFor = (input: StepInput, blockSize: number): Limits => ({
	blockSize,
	maxModelLen: Math.max(...input.contextLens),
	maxNumSeqs: input.numSeqs,
	maxNumBatchedTokens: input.numTokens,
	kvCacheBytes: null,
	memoryUtilization: 1,
});

/** Runs kernels one after another on the scene's buffers; each label is compiled once by `compile`. */
export async function runOn(
	{ device }: Gpu,
	compile: KernelCompiler,
	{ buffers }: AttentionScene,
	kernels: readonly (readonly [Kernel, Grid])[],
): Promise<void> {
	const encoder = device.createCommandEncoder();
	const pass = encoder.beginComputePass();
	for (const [kernel, grid] of kernels) {
		const compiled = await compile(kernel);
		const bound = kernel.bindings.map(([name]) => buffers[name]);
		pass.setPipeline(compiled.pipeline);
		pass.setBindGroup(0, bindGroupOf(device, compiled, bound));
		pass.dispatchWorkgroups(...grid);
	}
	pass.end();
	device.queue.submit([encoder.finish()]);
}

/** Only what attention reads of a step is filled in. */
export function stepOf(
	spans: readonly Span[],
	blockSize: number,
	seed: number,
): StepInput {
	const starts = (lengths: readonly number[]) =>
		Int32Array.from([
			0,
			...lengths.map((_, i) => sum(lengths.slice(0, i + 1))),
		]);
	const blocks = spans.map(([, length]) => Math.ceil(length / blockSize));
	const ids = randomSource(seed).shuffled([...Array(sum(blocks) + 2).keys()]);
	const positions = spans.flatMap(([n, length]) =>
		Array.from({ length: n }, (_, i) => length - n + i),
	);
	const blockTableStart = starts(blocks);
	const slots = spans.flatMap(([n, length], s) =>
		Array.from({ length: n }, (_, i) => {
			const position = length - n + i;
			const block = ids[blockTableStart[s] + Math.floor(position / blockSize)];
			return block * blockSize + (position % blockSize);
		}),
	);
	return {
		numTokens: positions.length,
		numSeqs: spans.length,
		positions: Int32Array.from(positions),
		slotMapping: Int32Array.from(slots),
		queryStart: starts(spans.map(([n]) => n)),
		contextLens: Int32Array.from(spans, ([, length]) => length),
		blockTableStart,
		blockTables: Int32Array.from(ids.slice(0, sum(blocks))),
	} as StepInput;
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

function rowAt(
	{ blockTables, blockTableStart }: StepInput,
	{ numKvHeads, headDim }: Heads,
	blockSize: number,
	s: number,
	position: number,
	kvHead: number,
): number {
	const index = blockTableStart[s] + Math.floor(position / blockSize);
	const place = (blockTables[index] * numKvHeads + kvHead) * blockSize;
	return (place + (position % blockSize)) * stride8(headDim);
}

/** The rows a step's attention makes of q, k and v, f64 [T][numHeads · headDim], with all its tokens in the cache. */
export function plainAttention(
	options: AttentionOptions,
	input: StepInput,
	qkv: Float64Array,
	[keys, values]: readonly Float16Array[],
	sinks: Float32Array,
): Float64Array {
	const { heads, blockSize, scale, slidingWindow, softCap, hasSinks } = options;
	const { numHeads, numKvHeads, headDim } = heads;
	const width = (numHeads + 2 * numKvHeads) * headDim;
	const output = new Float64Array(input.numTokens * numHeads * headDim);
	for (let s = 0; s < input.numSeqs; s++)
		for (let t = input.queryStart[s]; t < input.queryStart[s + 1]; t++)
			for (let h = 0; h < numHeads; h++) {
				const kvHead = Math.floor(h / (numHeads / numKvHeads));
				const last = input.positions[t];
				const first = Math.max(0, last - (slidingWindow ?? last + 1) + 1);
				const scores: number[] = [];
				for (let p = first; p <= last; p++) {
					const at = rowAt(input, heads, blockSize, s, p, kvHead);
					let score = 0;
					for (let d = 0; d < headDim; d++)
						score += qkv[t * width + h * headDim + d] * keys[at + d];
					score *= scale;
					scores.push(
						softCap === null ? score : softCap * Math.tanh(score / softCap),
					);
				}
				const sink = hasSinks ? sinks[h] : -Infinity;
				const most = scores.reduce((a, b) => Math.max(a, b), sink);
				const weights = scores.map((score) => Math.exp(score - most));
				const total = sum(weights) + Math.exp(sink - most);
				for (const [i, weight] of weights.entries()) {
					const at = rowAt(input, heads, blockSize, s, first + i, kvHead);
					for (let d = 0; d < headDim; d++)
						output[(t * numHeads + h) * headDim + d] +=
							(weight / total) * values[at + d];
				}
			}
	return output;
}
