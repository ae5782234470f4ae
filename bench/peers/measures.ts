/** What the engines are asked to do and what they answer, and the goals. Knows none of the engines. */

/** Requests at once, prompt and output tokens of each. */
export interface Shape {
	readonly batchSize: number;
	readonly inputLen: number;
	readonly outputLen: number;
}

export interface Speeds {
	/** Prompt tokens until every request has its first token. */
	readonly prefill: number;
	/** Output tokens after that; null where there are none. */
	readonly decode: number | null;
	/** Output tokens over the whole time, prompts included. */
	readonly output: number;
}

/** Tokens of all requests together, times in milliseconds since the start. */
export function speedsOf(
	{ batchSize, inputLen, outputLen }: Shape,
	run: {
		readonly firstMs: number;
		readonly endMs: number;
		readonly numDecoded: number;
	},
): Speeds {
	const { firstMs, endMs, numDecoded } = run;
	return {
		prefill: (1000 * batchSize * inputLen) / firstMs,
		decode: numDecoded > 0 ? (1000 * numDecoded) / (endMs - firstMs) : null,
		output: (1000 * batchSize * outputLen) / endMs,
	};
}

export const ENGINES = ["ours", "llama", "onnx"] as const;
export type EngineName = (typeof ENGINES)[number];

export const TITLES: Readonly<Record<EngineName, string>> = {
	ours: "nano-vllm",
	llama: "llama.cpp",
	onnx: "ONNX Runtime",
};

export const MEASURES = ["prefill", "decode", "streams", "matrices"] as const;
export type Measure = (typeof MEASURES)[number];
/** What the engines do with a whole model; the matrices are measured without one. */
export type ModelMeasure = Exclude<Measure, "matrices">;

export interface Case {
	readonly name: string;
	/** Weights of each engine; null where it has none like ours. */
	readonly formats: Readonly<Record<EngineName, string | null>>;
	/** How many times llama.cpp's speed ours is to have. */
	readonly goals: Readonly<Record<ModelMeasure, number | null>>;
}

const NO_GOALS = { prefill: null, decode: null, streams: null };

export const CASES: readonly Case[] = [
	{
		name: "q8_0",
		formats: { ours: "q8_0", llama: "q8_0", onnx: "q8_0" },
		goals: { prefill: 1.0, decode: 1.3, streams: 2.5 },
	},
	{
		name: "q4_0",
		formats: { ours: "q4_0", llama: "q4_0", onnx: "q4_0" },
		goals: { prefill: 0.8, decode: 1.2, streams: 1.5 },
	},
	{
		name: "bf16",
		formats: { ours: "bf16", llama: "f16", onnx: null },
		goals: { prefill: 0.8, decode: 1.1, streams: null },
	},
	{
		name: "f16",
		formats: { ours: "f16", llama: "f16", onnx: null },
		goals: NO_GOALS,
	},
	{
		name: "f32",
		formats: { ours: "f32", llama: null, onnx: "f32" },
		goals: NO_GOALS,
	},
];

export interface MeasureShapes {
	readonly single: Shape;
	readonly streams: Shape;
}

export const SHAPES: MeasureShapes = {
	single: { batchSize: 1, inputLen: 512, outputLen: 128 },
	streams: { batchSize: 16, inputLen: 128, outputLen: 64 },
};

/** Enough to see that everything works; the figures mean nothing. */
export const TINY_SHAPES: MeasureShapes = {
	single: { batchSize: 1, inputLen: 32, outputLen: 4 },
	streams: { batchSize: 4, inputLen: 16, outputLen: 4 },
};

export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1
		? sorted[middle]
		: (sorted[middle - 1] + sorted[middle]) / 2;
}
