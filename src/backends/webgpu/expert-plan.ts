/**
 * The dispatches of a mixture of experts. Few tokens: router, routes, then pair by pair of token and expert. Many: tokens are sorted by
 * expert on the device, and grids are as large as the most tiles there may be; workgroups without a tile end at once.
 */
import type { Gating, Norm, Op, Weight } from "../program.ts";
import type { Dispatch, Grid } from "./dispatch.ts";
import {
	chooseTiling,
	type ExpertTiling,
	pairKernel,
} from "./expert-choice.ts";
import type { ExpertRoom } from "./expert-room.ts";
import { combineExperts } from "./kernels/combine-experts.ts";
import { gatherRows } from "./kernels/gather-rows.ts";
import type { ExpertStack, LinearShape } from "./kernels/linear.ts";
import { mostTiles, placeExperts } from "./kernels/place-experts.ts";
import { rowGrid } from "./kernels/rms-norm.ts";
import { routeTokens } from "./kernels/route-tokens.ts";
import { BYTES, paddedRows, stride } from "./layout.ts";
import { MOST_VECTOR_TOKENS } from "./linear-choice.ts";
import { type LinearSpec, linearDispatches, splitOf } from "./linear-plan.ts";
import type { MatrixSlice } from "./load-weights.ts";
import {
	type Bound,
	dispatchOf,
	matrixOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

export type ExpertsOp = Extract<Op, { op: "mixtureOfExperts" }>;

/** Some tokens of the step that go through together. */
interface Chunk {
	readonly first: number;
	readonly tokens: number;
}

/** Of buffers for sorted rows; more tokens go through in chunks. */
const MOST_ROW_BYTES = 256 * 2 ** 20;
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

/** null: pair by pair. */
export function tilingOf(
	parts: PlanParts,
	op: ExpertsOp,
	most: number,
): ExpertTiling | null {
	if (most <= MOST_VECTOR_TOKENS) return null;
	const shapes = [gateUpShape(parts, op), downShape(parts, op)];
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
export function chunkOf(
	{ gpu, storage }: PlanParts,
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

/** `norm`: few tokens' kernels do it themselves, on the residual; null: `activations.normed` holds the rows. */
export function expertDispatches(
	parts: PlanParts,
	room: ExpertRoom,
	op: ExpertsOp,
	most: number,
	norm: Norm | null,
): Promise<Dispatch>[] {
	const { activations } = parts;
	const input = norm ? activations.of(op.residual) : activations.normed;
	const router = linearDispatches(parts, {
		...routerSpec(op, most, norm),
		input,
		output: room.scores,
		outputBytes: BYTES.f32,
	});
	const tiling = tilingOf(parts, op, most);
	if (tiling === null)
		return [...router, ...pairDispatches(parts, room, op, norm, input)];
	const tokens = chunkOf(parts, op, tiling, most);
	const chunks = Array.from({ length: Math.ceil(most / tokens) }, (_, i) =>
		sortedDispatches(parts, room, op, most, tiling, {
			first: i * tokens,
			tokens,
		}),
	);
	return [...router, ...chunks.flat()];
}

function pairDispatches(
	parts: PlanParts,
	room: ExpertRoom,
	op: ExpertsOp,
	norm: Norm | null,
	input: GPUBuffer,
): Promise<Dispatch>[] {
	const { gpu, weights, activations, storage } = parts;
	const { numExperts, topK, normalize, scale, residual } = op;
	const { scores, routes, rows, gated } = room;
	const route = routeTokens({
		numExperts,
		topK,
		normalize,
		split: null,
		bias: false,
		isSorted: false,
	});
	const combine = combineExperts({
		width: residual.width,
		storage,
		topK,
		scale,
		isSorted: false,
	});
	const multiply = (
		shape: LinearShape,
		[weight, bias]: readonly [Weight, Weight | null],
		pairsPerRow: number,
		eps: number | null,
		inputs: readonly Bound[],
		output: GPUBuffer,
	) =>
		matrixOf(weights, weight).slices.map((slice) => {
			const experts = stackOf(op, shape, slice, pairsPerRow);
			const { kernel, rowGroups } = pairKernel(
				gpu.abilities,
				{ ...shape, experts },
				eps,
			);
			const bound = [...inputs, routes, ...sliceBuffers(parts, slice, bias)];
			return dispatchOf(parts, kernel, [...bound, output], (numTokens) => [
				rowGroups,
				numTokens * topK,
			]);
		});
	const normed = norm ? [input, vectorOf(weights, norm.weight)] : [input];
	const up = [op.gateUp, op.gateUpBias] as const;
	const down = [op.down, op.downBias] as const;
	const eps = norm?.eps ?? null;
	return [
		dispatchOf(parts, route, [scores, routes], rowGrid),
		...multiply(gateUpShape(parts, op), up, topK, eps, normed, gated),
		...multiply(downShape(parts, op), down, 1, null, [gated], rows),
		dispatchOf(
			parts,
			combine,
			[rows, routes, activations.of(residual)],
			rowGrid,
		),
	];
}

/** The rows an expert reads and those it writes share a buffer: between the two they lie in `gated`. */
function sortedDispatches(
	parts: PlanParts,
	room: ExpertRoom,
	op: ExpertsOp,
	most: number,
	tiling: ExpertTiling,
	chunk: Chunk,
): Promise<Dispatch>[] {
	const { weights, activations, storage } = parts;
	const { numExperts, topK, normalize, scale, routerBias, residual } = op;
	const { width } = residual;
	const { tile } = tiling;
	const split = splitOf(parts, routerSpec(op, most, null));
	const bias = split ? routerBias : null;
	const from = (buffer: GPUBuffer, elements: number, bytes: number) => ({
		buffer,
		offset: chunk.first * stride(elements) * bytes,
	});
	const grid = (gridOf: (numTokens: number) => Grid) => (all: number) => {
		const numTokens = Math.min(chunk.tokens, all - chunk.first);
		return numTokens > 0 ? gridOf(numTokens) : null;
	};
	const route = routeTokens({
		numExperts,
		topK,
		normalize,
		split,
		bias: bias !== null,
		isSorted: true,
	});
	const multiply = (
		shape: LinearShape,
		[weight, bias]: readonly [Weight, Weight | null],
		input: GPUBuffer,
		output: GPUBuffer,
	) =>
		matrixOf(weights, weight).slices.map((slice) => {
			const experts = stackOf(op, shape, slice, 1);
			const { kernel, rowGroups } = tiling.kernel({ ...shape, experts });
			const bound = [input, room.tileExperts];
			return dispatchOf(
				parts,
				kernel,
				[...bound, ...sliceBuffers(parts, slice, bias), output],
				grid((numTokens) => [
					mostTiles({ numExperts, tile }, numTokens * topK),
					rowGroups,
				]),
			);
		});
	const { scores, routes, counts, ranks, firstRows, tileExperts, places } =
		room;
	return [
		dispatchOf(
			parts,
			route,
			[
				from(scores, numExperts, BYTES.f32),
				...(bias ? [vectorOf(weights, bias)] : []),
				routes,
				counts,
				ranks,
			],
			grid(rowGrid),
		),
		dispatchOf(
			parts,
			placeExperts({ numExperts, tile }),
			[counts, firstRows, tileExperts],
			grid(() => [1]),
		),
		dispatchOf(
			parts,
			gatherRows({ width, storage, topK }),
			[
				from(activations.normed, width, BYTES[storage]),
				routes,
				ranks,
				firstRows,
				places,
				room.rows,
			],
			grid((numTokens) => [numTokens, topK]),
		),
		...multiply(
			gateUpShape(parts, op),
			[op.gateUp, op.gateUpBias],
			room.rows,
			room.gated,
		),
		...multiply(
			downShape(parts, op),
			[op.down, op.downBias],
			room.gated,
			room.rows,
		),
		dispatchOf(
			parts,
			combineExperts({ width, storage, topK, scale, isSorted: true }),
			[
				room.rows,
				routes,
				places,
				from(activations.of(residual), width, BYTES.f32),
			],
			grid(rowGrid),
		),
	];
}

/** Of one expert. */
function gateUpShape(
	{ weights, storage }: PlanParts,
	{ gateUp, gateUpBias, numExperts, gating }: ExpertsOp,
): LinearShape {
	const [rows, columns] = gateUp.shape;
	return {
		rows: rows / numExperts,
		columns,
		outputStride: stride(rows / numExperts / 2),
		format: matrixOf(weights, gateUp).format,
		storage,
		epilogue: "gated",
		gating: isSilu(gating) ? undefined : gating,
		bias: gateUpBias !== null,
	};
}

const isSilu = (gating: Gating): boolean =>
	gating.kind === "gated" && gating.activation === "silu";

function downShape(
	{ weights, storage }: PlanParts,
	{ down, downBias, numExperts }: ExpertsOp,
): LinearShape {
	const [rows, columns] = down.shape;
	return {
		rows: rows / numExperts,
		columns,
		outputStride: stride(rows / numExperts),
		format: matrixOf(weights, down).format,
		storage,
		epilogue: "store",
		bias: downBias !== null,
	};
}

/** The experts of a slice. */
function stackOf(
	{ numExperts }: ExpertsOp,
	{ rows }: LinearShape,
	slice: MatrixSlice,
	pairsPerRow: number,
): ExpertStack {
	const pitch = paddedRows(rows);
	return {
		first: slice.rowStart / pitch,
		count: slice.rows / pitch,
		total: numExperts,
		pairsPerRow,
	};
}

function sliceBuffers(
	{ weights }: PlanParts,
	{ values, scales, rowStart }: MatrixSlice,
	bias: Weight | null,
): Bound[] {
	return [
		values,
		...(scales ? [scales] : []),
		...(bias
			? [{ buffer: vectorOf(weights, bias), offset: 4 * rowStart }]
			: []),
	];
}
