/** A model's weights as numbers to count: how many, and what each format takes. */
import { type Program, weightsOf } from "../backends/program.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Stored } from "./checkpoint.ts";

export type WeightFormatName = "f16" | "q8_0" | "q4_0";

/** Bytes of 32 elements of a matrix; vectors stay in f32. The block formats are GGUF's. */
const BLOCK_BYTES: Readonly<Record<WeightFormatName, number>> = {
	f16: 64,
	q8_0: 34,
	q4_0: 18,
};

export const FORMATS = ["f16", "q8_0", "q4_0"] as const;

export interface Experts {
	readonly numExperts: number;
	readonly expertsPerToken: number;
	/** Parameters that one token meets. */
	readonly numActiveParameters: number;
}

const elements = (shape: readonly number[]): number =>
	shape.reduce((product, n) => product * n, 1);

/** How a device keeps a weight: vectors and routers in f32; embeddings and the output head at eight bits where others have four. */
export interface Sized {
	readonly shape: readonly number[];
	readonly kind: "f32" | "table" | "matrix" | "expert";
}

export function programWeights(program: Program): Sized[] {
	const weights = new Map<string, Sized>();
	for (const op of program.ops)
		for (const { name, shape } of weightsOf({ ...program, ops: [op] })) {
			const isExperts = op.op === "mixtureOfExperts";
			const isF32 = shape.length < 2 || (isExperts && name === op.router.name);
			const isTable = op.op === "embed" || op.op === "logits";
			const of = isExperts ? "expert" : isTable ? "table" : "matrix";
			weights.set(name, { shape, kind: isF32 ? "f32" : of });
		}
	return [...weights.values()];
}

/** Of a model nobody here knows. Packed numbers cannot be counted. */
export function storedWeights(
	json: unknown,
	stored: readonly Stored[] | null,
): Sized[] | null {
	const isQuantized = (json as { quantization_config?: unknown } | null)
		?.quantization_config;
	if (stored === null || isQuantized) return null;
	return stored.map(({ shape }) => ({
		shape,
		kind: shape.length < 2 ? "f32" : "matrix",
	}));
}

export const countOf = (weights: readonly Sized[]): number =>
	weights.reduce((sum, { shape }) => sum + elements(shape), 0);

export function expertsOf(
	config: ModelConfig | null,
	weights: readonly Sized[],
): Experts | null {
	if (!config?.experts) return null;
	const { numExperts, topK } = config.experts;
	const inExperts = countOf(weights.filter(({ kind }) => kind === "expert"));
	const idle = (inExperts / numExperts) * (numExperts - topK);
	return {
		numExperts,
		expertsPerToken: topK,
		numActiveParameters: countOf(weights) - idle,
	};
}

export function sizes(
	weights: readonly Sized[],
): Record<WeightFormatName, number> {
	const bytesOf = (format: WeightFormatName) =>
		weights.reduce((sum, { shape, kind }) => {
			if (kind === "f32") return sum + 4 * elements(shape);
			const isCoarse = kind === "table" && format === "q4_0";
			const blockBytes = BLOCK_BYTES[isCoarse ? "q8_0" : format];
			const columns = shape[shape.length - 1] ?? 0;
			const rows = columns === 0 ? 0 : elements(shape) / columns;
			return sum + rows * Math.ceil(columns / 32) * blockBytes;
		}, 0);
	return { f16: bytesOf("f16"), q8_0: bytesOf("q8_0"), q4_0: bytesOf("q4_0") };
}
