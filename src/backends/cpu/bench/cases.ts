/** What is timed: small programs of one kind of op, laid out as the backend would. */
import {
	ATTENTION_HEADS,
	type AttentionShape,
	type LinearShape,
	type SamplerShape,
	VOCAB_SIZE,
} from "../../kernel-bench.ts";
import type {
	Activation,
	Heads,
	Norm,
	Op,
	Program,
	Weight,
} from "../../program.ts";
import { FORMATS, PANEL_COLUMNS, type WeightFormat } from "../format.ts";
import { type Layout, layOut } from "../layout.ts";

export interface KernelCase {
	readonly name: string;
	readonly format: WeightFormat;
	/** Tokens of a step, and of each sequence's context at its end. */
	readonly numTokens: number;
	readonly numSeqs: number;
	readonly contextLen: number;
	readonly sampling: SamplerShape["sampling"];
	readonly program: Program;
	/** How often the step does the thing measured. */
	readonly repeats: number;
	/** Of one: products added up, and bytes that must come from memory. */
	readonly macs: number;
	readonly bytes: number;
}

/** Together larger than the last-level cache, so that weights come from memory as in a model of many layers. */
const STREAMED_BYTES = 96 * 2 ** 20;
const MAX_REPEATS = 64;

export function linearCase({
	shape: { name, op, columns, rows },
	format,
	numTokens,
}: {
	readonly shape: LinearShape;
	readonly format: WeightFormat;
	readonly numTokens: number;
}): KernelCase {
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
				return {
					op,
					input,
					weight,
					bias: null,
					postNorm: null,
					scale: 1,
					residual: output,
				};
			case "normGatedLinear":
				return {
					op,
					input,
					norm,
					weight,
					bias: null,
					activation: "silu",
					output,
				};
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

export function attentionCase({
	name,
	numSeqs,
	contextLen,
	numQueries,
}: AttentionShape): KernelCase {
	const { numHeads, numKvHeads, headDim } = ATTENTION_HEADS;
	const bytes = numSeqs * contextLen * 2 * numKvHeads * headDim * 2;
	const repeats = repeatsOf(bytes);
	const qkv = activation("qkv", (numHeads + 2 * numKvHeads) * headDim);
	const output = activation("output", numHeads * headDim);
	const attention = (layer: number): Op => ({
		op: "attention",
		layer,
		heads: ATTENTION_HEADS,
		scale: headDim ** -0.5,
		slidingWindow: null,
		softCap: null,
		sinks: null,
		qkv,
		output,
	});
	// A plan needs a matrix: this one's op costs next to nothing.
	const weight = matrix("table", 32, 32);
	const embed: Op = {
		op: "embed",
		weight,
		scale: 1,
		output: activation("rows", 32),
	};
	const layers = Array.from({ length: repeats }, (_, i) => attention(i));
	// The keys a query sees: all before it, and itself.
	const seen = numQueries * (contextLen - (numQueries - 1) / 2);
	return {
		name,
		format: "f16",
		numTokens: numSeqs * numQueries,
		numSeqs,
		contextLen,
		sampling: null,
		program: programOf(
			[embed, ...layers],
			Array(repeats).fill(ATTENTION_HEADS),
		),
		repeats,
		macs: numSeqs * numHeads * seen * headDim * 2,
		bytes,
	};
}

/** Logits from 32 columns cost little. */
export function samplerCase({
	name,
	numRows,
	sampling,
}: SamplerShape): KernelCase {
	const columns = 32;
	const input = activation("input", columns);
	const output: Activation = { name: "logits", rows: "R", width: VOCAB_SIZE };
	const weight = matrix("head", VOCAB_SIZE, columns);
	const norm = normOf(columns);
	const ops: Op[] =
		sampling === null
			? [{ op: "normLinear", input, norm, weight, bias: null, output }]
			: [
					{
						op: "logits",
						input,
						norm,
						weight,
						scale: 1,
						softCap: null,
						output,
					},
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
