/** What bench/kernels.ts times: small programs of one kind of op, laid out and filled as the backend would. */
import {
	depthOf,
	FORMATS,
	isQuantized,
	PANEL_COLUMNS,
	type WeightFormat,
} from "../../src/backends/cpu/format.ts";
import type { Kernels } from "../../src/backends/cpu/kernels.ts";
import {
	type Layout,
	layOut,
	type PackedMatrix,
} from "../../src/backends/cpu/plan.ts";
import type {
	Activation,
	Heads,
	Norm,
	Op,
	Program,
	Weight,
} from "../../src/backends/program.ts";

export interface KernelCase {
	readonly name: string;
	readonly format: WeightFormat;
	/** Tokens of a step, and of each sequence's context at its end. */
	readonly numTokens: number;
	readonly numSeqs: number;
	readonly contextLen: number;
	readonly sampling: Sampling | null;
	readonly program: Program;
	/** How often the step does the thing measured. */
	readonly repeats: number;
	/** Of one: products added up, and bytes that must come from memory. */
	readonly macs: number;
	readonly bytes: number;
}

export interface Sampling {
	readonly temperature: number;
	readonly topK: number;
	readonly topP: number;
}

export interface LinearShape {
	readonly name: string;
	readonly op: "normLinear" | "linearAdd" | "normGatedLinear";
	readonly columns: number;
	readonly rows: number;
	/** Tokens a step brings at most. */
	readonly maxTokens: number;
}

/** Qwen3-0.6B's. The output head never sees more rows at once than it makes logits for. */
export const LINEAR_SHAPES: readonly LinearShape[] = [
	shape("qkv", "normLinear", 1024, 4096),
	shape("o", "linearAdd", 2048, 1024),
	shape("gate_up", "normGatedLinear", 1024, 6144),
	shape("down", "linearAdd", 3072, 1024),
	shape("lm_head", "normLinear", 1024, 151_936, 64),
];

function shape(
	name: string,
	op: LinearShape["op"],
	columns: number,
	rows: number,
	maxTokens = 4096,
): LinearShape {
	return { name, op, columns, rows, maxTokens };
}

const HEADS: Heads = { numHeads: 16, numKvHeads: 8, headDim: 128 };
const VOCAB_SIZE = 151_936;
/** Together larger than the last-level cache, so that weights come from memory as in a model of many layers. */
const STREAMED_BYTES = 96 * 2 ** 20;
const MAX_REPEATS = 64;

export function linearCase(
	{ name, op, columns, rows }: LinearShape,
	format: WeightFormat,
	numTokens: number,
): KernelCase {
	const bytes = bytesPerWeight(format) * rows * columns;
	const repeats = repeatsOf(bytes);
	const input = activation("input", columns);
	const half = op === "normGatedLinear" ? 2 : 1;
	const output = activation("output", rows / half);
	const norm = normOf(columns);
	const ops = Array.from({ length: repeats }, (_, i): Op => {
		const weight = matrix(`${name}.${i}`, rows, columns);
		switch (op) {
			case "normLinear":
				return { op, input, norm, weight, bias: null, output };
			case "linearAdd":
				return { op, input, weight, bias: null, residual: output };
			case "normGatedLinear":
				return { op, input, norm, weight, output };
			default:
				return op satisfies never;
		}
	});
	return {
		name,
		format,
		numTokens,
		numSeqs: 0,
		contextLen: 0,
		sampling: null,
		program: programOf(ops, []),
		repeats,
		macs: numTokens * rows * columns,
		bytes,
	};
}

/** numSeqs sequences whose last `queries` tokens of `contextLen` are new. */
export function attentionCase(
	name: string,
	numSeqs: number,
	contextLen: number,
	queries: number,
): KernelCase {
	const { numHeads, numKvHeads, headDim } = HEADS;
	const bytes = numSeqs * contextLen * 2 * numKvHeads * headDim * 2;
	const repeats = repeatsOf(bytes);
	const qkv = activation("qkv", (numHeads + 2 * numKvHeads) * headDim);
	const output = activation("output", numHeads * headDim);
	const attention = (layer: number): Op => ({
		op: "attention",
		layer,
		heads: HEADS,
		scale: headDim ** -0.5,
		slidingWindow: null,
		qkv,
		output,
	});
	// A plan needs a matrix: this one's op costs next to nothing.
	const weight = matrix("table", 32, 32);
	const embed: Op = { op: "embed", weight, output: activation("rows", 32) };
	const layers = Array.from({ length: repeats }, (_, i) => attention(i));
	// The keys a query sees: all before it, and itself.
	const seen = queries * (contextLen - (queries - 1) / 2);
	return {
		name,
		format: "f16",
		numTokens: numSeqs * queries,
		numSeqs,
		contextLen,
		sampling: null,
		program: programOf([embed, ...layers], Array(repeats).fill(HEADS)),
		repeats,
		macs: numSeqs * numHeads * seen * headDim * 2,
		bytes,
	};
}

/** Logits from 32 columns cost little; without `sampling`, only they are made: the difference is the sampler. */
export function samplerCase(
	name: string,
	numRows: number,
	sampling: Sampling | null,
): KernelCase {
	const columns = 32;
	const input = activation("input", columns);
	const output: Activation = { name: "logits", rows: "R", width: VOCAB_SIZE };
	const weight = matrix("head", VOCAB_SIZE, columns);
	const norm = normOf(columns);
	const ops: Op[] =
		sampling === null
			? [{ op: "normLinear", input, norm, weight, bias: null, output }]
			: [
					{ op: "logits", input, norm, weight, output },
					{ op: "sample", logits: output },
				];
	return {
		name,
		format: "q8_0",
		numTokens: numRows,
		numSeqs: 0,
		contextLen: 0,
		sampling,
		program: programOf(ops, []),
		repeats: 1,
		macs: 0,
		bytes: numRows * VOCAB_SIZE * 4,
	};
}

export function layOutCase(
	one: KernelCase,
	numThreads: number,
	blockSize: number,
): Layout {
	const { numSeqs, contextLen, numTokens } = one;
	return layOut(one.program, {
		limits: {
			blockSize,
			maxModelLen: Math.max(contextLen, blockSize),
			maxNumSeqs: Math.max(1, numSeqs),
			maxNumBatchedTokens: numTokens,
			kvCacheBytes: null,
			memoryUtilization: 1,
		},
		cacheType: "f16",
		numThreads,
		formatOf: () => one.format,
	});
}

/** Every matrix, vector, activation and cached key with ordinary values. */
export function fillCase(
	one: KernelCase,
	{ plan, matrices, vectors, staging, kvCacheBytes }: Layout,
	kernels: Kernels,
	memory: WebAssembly.Memory,
): void {
	for (const packed of matrices) fillMatrix(packed, staging, kernels, memory);
	for (const { weight, address } of vectors.values())
		new Float32Array(memory.buffer, address, weight.shape[0]).fill(1);
	const values = (address: number, count: number) => {
		const array = new Float32Array(memory.buffer, address, count);
		for (let i = 0; i < count; i++) array[i] = noise(i);
	};
	for (const task of plan.tasks) {
		if (task.kind === "linear") values(task.input, task.width * one.numTokens);
		else if (task.kind === "sample")
			values(task.linear.input, task.linear.width * one.numTokens);
		else if (task.kind === "attention")
			values(task.qkv, task.width * one.numTokens);
	}
	const caches = plan.tasks.filter((task) => task.kind === "attention");
	const cacheBytes = kvCacheBytes / Math.max(1, caches.length);
	for (const { cache } of caches)
		spread(new Uint16Array(memory.buffer, cache, cacheBytes / 2), halfBits);
}

/** The first panels are packed from noise, the others are copies. */
function fillMatrix(
	{ format, weight, address, depth, panelBytes }: PackedMatrix,
	staging: number,
	kernels: Kernels,
	memory: WebAssembly.Memory,
): void {
	const [rows, columns] = weight.shape;
	const numPanels = Math.ceil(rows / PANEL_COLUMNS);
	const is16 = format === "f16" || format === "bf16";
	const first = Math.min(8, numPanels);
	const width = isQuantized(format)
		? depthOf(format, columns) * FORMATS[format].blockColumns
		: columns;
	const count = first * PANEL_COLUMNS * width;
	if (is16) {
		const bitsOf = format === "f16" ? halfBits : bfloatBits;
		spread(new Uint16Array(memory.buffer, staging, count), bitsOf);
	} else {
		const array = new Float32Array(memory.buffer, staging, count);
		for (let i = 0; i < count; i++) array[i] = noise(i);
	}
	const { id } = FORMATS[format];
	const rowBytes = width * (is16 ? 2 : 4);
	const numRows = first * PANEL_COLUMNS;
	kernels.pack_rows(
		id,
		staging,
		rowBytes,
		numRows,
		0,
		depth,
		address,
		panelBytes,
		1,
	);
	const all = new Uint8Array(memory.buffer, address, numPanels * panelBytes);
	for (let done = first * panelBytes; done < all.length; done *= 2)
		all.copyWithin(done, 0, Math.min(done, all.length - done));
}

/** −1..1, the same for the same index. */
function noise(i: number): number {
	let h = Math.imul(i + 1, 0x9e3779b1);
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	return ((h ^ (h >>> 13)) >> 8) / 2 ** 23;
}

/** A sign, an exponent a little below 1's, and any fraction. */
const halfBits = (i: number) => bitsOf(i, 0x2800, 0x0fff);
const bfloatBits = (i: number) => bitsOf(i, 0x3d80, 0x01ff);

function bitsOf(i: number, base: number, mask: number): number {
	const h = (noise(i) * 2 ** 23) | 0;
	return (h & 0x8000) | (base + (h & mask));
}

function spread(target: Uint16Array, bitsAt: (i: number) => number): void {
	const made = Math.min(target.length, 2 ** 16);
	for (let i = 0; i < made; i++) target[i] = bitsAt(i);
	for (let done = made; done < target.length; done *= 2)
		target.copyWithin(done, 0, Math.min(done, target.length - done));
}

function bytesPerWeight(format: WeightFormat): number {
	const { panelStep, blockColumns } = FORMATS[format];
	return panelStep / blockColumns / PANEL_COLUMNS;
}

function repeatsOf(bytes: number): number {
	return Math.min(MAX_REPEATS, Math.max(1, Math.ceil(STREAMED_BYTES / bytes)));
}

const activation = (name: string, width: number): Activation => ({
	name,
	rows: "T",
	width,
});

const normOf = (length: number): Norm => ({
	weight: { name: "norm", shape: [length], parts: [] },
	eps: 1e-6,
});

const matrix = (name: string, rows: number, columns: number): Weight => ({
	name,
	shape: [rows, columns],
	parts: [],
});

const programOf = (
	ops: readonly Op[],
	kvLayers: readonly Heads[],
): Program => ({
	name: "kernels",
	vocabSize: VOCAB_SIZE,
	kvLayers,
	ops,
});
