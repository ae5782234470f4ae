/**
 * Attention as a plan would dispatch it, over layers with a cache each. A fused step's kernel also norms, turns and caches its
 * tokens; the others find them cached.
 */
import { type BenchStep, stepOf } from "../../bench-step.ts";
import {
	ATTENTION_HEADS,
	ATTENTION_SHAPES,
	type AttentionShape,
} from "../../kernel-bench.ts";
import type { Activation, Op, Program } from "../../program.ts";
import { attentionKernels, fusedKernel } from "../attention-kernels.ts";
import { createAttentionWork } from "../attention-work.ts";
import { ropeTable } from "../kernels/rope-table.ts";
import { BYTES, paddedRows, stride } from "../layout.ts";
import {
	copiesOf,
	dispatchOf,
	inTurn,
	type KernelCase,
	peakOf,
} from "./case.ts";
import type { Room } from "./room.ts";

/** Besides those of every device, what fills a large one. */
const LARGE_SHAPES: readonly AttentionShape[] = [
	{ name: "attention, decode", numSeqs: 256, contextLen: 512, numQueries: 1 },
	{
		name: "attention, prefill",
		numSeqs: 16,
		contextLen: 512,
		numQueries: 512,
	},
];

const BLOCK_SIZE = 16;
const EPS = 1e-6;
const { numHeads, numKvHeads, headDim } = ATTENTION_HEADS;
const SCALE = headDim ** -0.5;

export const attentionCases = (): KernelCase[] =>
	[...ATTENTION_SHAPES, ...LARGE_SHAPES].map(attentionCase);

function attentionCase(shape: AttentionShape): KernelCase {
	const { name, numSeqs, contextLen, numQueries } = shape;
	const bytes = numSeqs * contextLen * 2 * numKvHeads * headDim * BYTES.f16;
	// The keys a query sees: all before it, and itself.
	const seen = numQueries * (contextLen - (numQueries - 1) / 2);
	const step: BenchStep = {
		numTokens: numSeqs * numQueries,
		numSeqs,
		contextLen,
		sampling: null,
	};
	return {
		name,
		format: "f16",
		numTokens: step.numTokens,
		macs: numSeqs * numHeads * seen * headDim * 2,
		bytes,
		open: (room) => open(room, step, copiesOf(bytes)),
	};
}

async function open(room: Room, step: BenchStep, layers: number) {
	const { gpu } = room;
	const { contextLen, numSeqs, numTokens } = step;
	const work = createAttentionWork(gpu, PROGRAM, {
		blockSize: BLOCK_SIZE,
		maxModelLen: contextLen,
		maxNumSeqs: numSeqs,
		maxNumBatchedTokens: numTokens,
		kvCacheBytes: null,
		memoryUtilization: 1,
	});
	const input = stepOf(step, BLOCK_SIZE);
	work.write(input);
	room.onClear(() => work.destroy());
	const options = {
		heads: ATTENTION_HEADS,
		scale: SCALE,
		slidingWindow: null,
		softCap: null,
		hasSinks: false,
		blockSize: BLOCK_SIZE,
		storage: "f16",
	} as const;
	const rope = { ropeDims: headDim, qNormEps: EPS, kNormEps: EPS };
	const wanted = [
		...work.fuses.map((kind) =>
			fusedKernel(gpu.abilities, { ...options, ...rope, kind }),
		),
		...attentionKernels(gpu.abilities, options, work.tileHeights),
	].flatMap(({ kernel, grid }) => {
		const size = grid(work);
		return size === null ? [] : [{ kernel, size }];
	});
	const width = (numHeads + 2 * numKvHeads) * headDim;
	const rows = paddedRows(numTokens) * BYTES.f16;
	const norm = room.noise(stride(headDim) * BYTES.f32);
	const shared = {
		decodeItems: work.decodeItems,
		decodeMerges: work.decodeMerges,
		prefillItems: work.prefillItems,
		blockTables: work.blockTables,
		partials: work.partials,
		qkv: room.noise(rows * stride(width)),
		output: room.zeros(rows * stride(numHeads * headDim)),
		tokens: room.upload(tokenWords(input.positions)),
		ropeTable: room.upload(
			ropeTable({ inverseFrequencies: FREQUENCIES, scale: 1 }, contextLen),
		),
		qNorm: norm,
		kNorm: norm,
	};
	const cacheBytes =
		input.blockTables.length * BLOCK_SIZE * numKvHeads * headDim * BYTES.f16;
	const made = Array.from({ length: layers }, () => {
		const keys = room.noise(cacheBytes);
		const values = room.noise(cacheBytes);
		const buffers = { ...shared, keys, values };
		return Promise.all(
			wanted.map(({ kernel, size }) => dispatchOf(room, kernel, buffers, size)),
		);
	});
	const encode = inTurn(await Promise.all(made));
	return { encode, peak: peakOf(wanted.map(({ kernel }) => kernel)) };
}

/** vec4<u32> [T]: see layout.ts. All tokens are id 0, cached at slot 0. */
function tokenWords(positions: Int32Array): Uint32Array<ArrayBuffer> {
	const words = new Uint32Array(4 * positions.length);
	for (const [t, position] of positions.entries()) words[4 * t + 1] = position;
	return words;
}

const FREQUENCIES = Float32Array.from(
	{ length: headDim / 2 },
	(_, i) => 1e6 ** ((-2 * i) / headDim),
);

/** One layer: what tells the work which kernels there may be. */
const PROGRAM = ((): Program => {
	const activation = (name: string, width: number): Activation => ({
		name,
		rows: "T",
		width,
	});
	const qkv = activation("qkv", (numHeads + 2 * numKvHeads) * headDim);
	const heads = ATTENTION_HEADS;
	const weight = { name: "norm", shape: [headDim], parts: [] };
	const norm = { weight, eps: EPS };
	const ops: Op[] = [
		{
			op: "ropeAndCache",
			layer: 0,
			heads,
			qNorm: norm,
			kNorm: norm,
			rope: { inverseFrequencies: FREQUENCIES, scale: 1 },
			qkv,
		},
		{
			op: "attention",
			layer: 0,
			heads,
			scale: SCALE,
			slidingWindow: null,
			softCap: null,
			sinks: null,
			qkv,
			output: activation("output", numHeads * headDim),
		},
	];
	return { name: "attention", vocabSize: 1, kvLayers: [heads], ops };
})();
