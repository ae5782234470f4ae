/** What of a mixture of experts is the same for all its kernels: shapes of the experts' matrices, tilings, how many tokens go through together. */
import type { Gating, Norm, Op, Weight } from "../program.ts";
import { chooseTiling, type ExpertTiling } from "./expert-choice.ts";
import type { ExpertStack, LinearShape } from "./kernels/linear.ts";
import { mostTiles } from "./kernels/place-experts.ts";
import { BYTES, paddedRows, stride } from "./layout.ts";
import { MOST_VECTOR_TOKENS } from "./linear-choice.ts";
import type { LinearSpec } from "./linear-plan.ts";
import type { MatrixSlice } from "./load-weights.ts";
import {
	type Bound,
	matrixOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

export type ExpertsOp = Extract<Op, { op: "mixtureOfExperts" }>;

/** One of an op's two stacks of matrices. */
export interface ExpertMatrix {
	/** Of one expert, its `experts` still to be named. */
	readonly shape: LinearShape;
	readonly weight: Weight;
	readonly bias: Weight | null;
}

/** Of buffers for sorted rows; more tokens go through in chunks. */
const MOST_ROW_BYTES = 256 * 2 ** 20;
/** Chunks begin at multiples of so many tokens, where a binding may. */
const CHUNK_TOKENS = 128;

export const routerSpec = (
	{ router, routerBias }: ExpertsOp,
	most: number,
	norm: Norm | null,
): LinearSpec => ({
	weight: router,
	bias: routerBias,
	epilogue: "logits",
	most,
	norm,
	maySplit: true,
});

export function gateUpOf(
	{ weights, storage }: PlanParts,
	{ gateUp: weight, gateUpBias: bias, numExperts, gating }: ExpertsOp,
): ExpertMatrix {
	const rows = weight.shape[0] / numExperts;
	const shape: LinearShape = {
		rows,
		columns: weight.shape[1],
		outputStride: stride(rows / 2),
		format: matrixOf(weights, weight).format,
		storage,
		epilogue: "gated",
		gating: isSilu(gating) ? undefined : gating,
		bias: bias !== null,
	};
	return { shape, weight, bias };
}

const isSilu = (gating: Gating): boolean =>
	gating.kind === "gated" && gating.activation === "silu";

export function downOf(
	{ weights, storage }: PlanParts,
	{ down: weight, downBias: bias, numExperts }: ExpertsOp,
): ExpertMatrix {
	const rows = weight.shape[0] / numExperts;
	const shape: LinearShape = {
		rows,
		columns: weight.shape[1],
		outputStride: stride(rows),
		format: matrixOf(weights, weight).format,
		storage,
		epilogue: "store",
		bias: bias !== null,
	};
	return { shape, weight, bias };
}

/** The experts of a slice. */
export function stackOf(
	{ numExperts }: ExpertsOp,
	{ rows }: LinearShape,
	slice: MatrixSlice,
	pairsPerRow = 1,
): ExpertStack {
	const pitch = paddedRows(rows);
	return {
		first: slice.rowStart / pitch,
		count: slice.rows / pitch,
		total: numExperts,
		pairsPerRow,
	};
}

/** Weight, (scales), (bias) of a slice. */
export function sliceBuffers(
	{ weights }: PlanParts,
	{ values, scales, rowStart }: MatrixSlice,
	bias: Weight | null,
): Bound[] {
	const offset = BYTES.f32 * rowStart;
	return [
		values,
		...(scales ? [scales] : []),
		...(bias ? [{ buffer: vectorOf(weights, bias), offset }] : []),
	];
}

/** For steps of up to `most` tokens; null: pair by pair of token and expert. */
export function tilingOf(
	parts: PlanParts,
	op: ExpertsOp,
	most: number,
): ExpertTiling | null {
	if (most <= MOST_VECTOR_TOKENS) return null;
	const shapes = [gateUpOf(parts, op).shape, downOf(parts, op).shape];
	const rowsPerExpert = (most * op.topK) / op.numExperts;
	return chooseTiling(parts.gpu.abilities, shapes, rowsPerExpert);
}

/** Rows of experts' inputs and outputs for so many tokens. */
export function expertRows(
	{ numExperts, topK }: ExpertsOp,
	tiling: ExpertTiling | null,
	tokens: number,
): number {
	if (tiling === null) return tokens * topK;
	const { tile } = tiling;
	return tile * mostTiles({ numExperts, tile }, tokens * topK);
}

/** Tokens that go through together, of `most`. */
export function chunkTokens(
	{ gpu, storage }: Pick<PlanParts, "gpu" | "storage">,
	op: ExpertsOp,
	tiling: ExpertTiling | null,
	most: number,
): number {
	const width = Math.max(op.residual.width, op.down.shape[1]);
	const bytes = (tokens: number) =>
		expertRows(op, tiling, tokens) * stride(width) * BYTES[storage];
	const allowed = Math.min(MOST_ROW_BYTES, gpu.abilities.bindingBytes);
	let tokens = most;
	while (tokens > CHUNK_TOKENS && bytes(tokens) > allowed)
		tokens = Math.ceil(tokens / 2 / CHUNK_TOKENS) * CHUNK_TOKENS;
	return tokens;
}
