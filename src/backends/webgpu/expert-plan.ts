/**
 * The dispatches of a mixture of experts. Few tokens: router, routes, then pair by pair of token and expert. Many: tokens are sorted by
 * expert on the device, and grids are as large as the most tiles there may be; workgroups without a tile end at once.
 */
import type { Norm } from "../program.ts";
import type { Dispatch, Grid } from "./dispatch.ts";
import { type ExpertTiling, pairKernel } from "./expert-choice.ts";
import { createExpertRoom, type ExpertRoom } from "./expert-room.ts";
import {
	chunkTokens,
	downOf,
	type ExpertMatrix,
	type ExpertsOp,
	gateUpOf,
	routerSpec,
	sliceBuffers,
	stackOf,
	tilingOf,
} from "./expert-shapes.ts";
import { combineExperts } from "./kernels/combine-experts.ts";
import { gatherRows } from "./kernels/gather-rows.ts";
import { mostTiles, placeExperts } from "./kernels/place-experts.ts";
import { rowGrid } from "./kernels/rms-norm.ts";
import { routeTokens } from "./kernels/route-tokens.ts";
import { BYTES, stride } from "./layout.ts";
import { linearDispatches, splitOf } from "./linear-plan.ts";
import {
	type Bound,
	dispatchOf,
	matrixOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

/** What every part of the op's plan is made from. */
interface ExpertParts {
	readonly parts: PlanParts;
	readonly room: ExpertRoom;
	readonly op: ExpertsOp;
	readonly most: number;
}

/** `norm`: the kernels of few tokens do it themselves, on the residual; null: `activations.normed` holds the rows. */
export type DispatchExperts = (
	op: ExpertsOp,
	most: number,
	norm: Norm | null,
) => Promise<Dispatch>[];

/** `regimes`: the most tokens of steps that share their kernels. null: the program has no experts. */
export function openExperts(
	parts: PlanParts,
	regimes: readonly number[],
): DispatchExperts | null {
	const room = createExpertRoom(parts, regimes);
	if (room === null) return null;
	return (op, most, norm) => expertDispatches(parts, room, op, most, norm);
}

function expertDispatches(
	parts: PlanParts,
	room: ExpertRoom,
	op: ExpertsOp,
	most: number,
	norm: Norm | null,
): Promise<Dispatch>[] {
	const { activations } = parts;
	const all = { parts, room, op, most };
	const router = linearDispatches(parts, {
		...routerSpec(op, most, norm),
		input: norm ? activations.of(op.residual) : activations.normed,
		output: room.scores,
		outputBytes: BYTES.f32,
	});
	const tiling = tilingOf(parts, op, most);
	if (tiling === null) return [...router, ...pairDispatches(all, norm)];
	const tokens = chunkTokens(parts, op, tiling, most);
	const chunks = Array.from({ length: Math.ceil(most / tokens) }, (_, i) =>
		sortedDispatches(all, tiling, { first: i * tokens, tokens }),
	);
	return [...router, ...chunks.flat()];
}

function pairDispatches(
	all: ExpertParts,
	norm: Norm | null,
): Promise<Dispatch>[] {
	const { parts, room, op } = all;
	const { activations, storage, weights } = parts;
	const { topK, scale, residual } = op;
	const gated = gatedBuffer(all);
	const combine = combineExperts({
		width: residual.width,
		storage,
		topK,
		scale,
		isSorted: false,
	});
	const input = norm
		? [activations.of(residual), vectorOf(weights, norm.weight)]
		: [activations.normed];
	const eps = norm?.eps ?? null;
	return [
		routeDispatch(all, null, rowGrid),
		...pairLinear(all, gateUpOf(parts, op), topK, eps, input, gated),
		...pairLinear(all, downOf(parts, op), 1, null, [gated], room.rows),
		dispatchOf(
			parts,
			combine,
			[room.rows, room.routes, activations.of(residual)],
			rowGrid,
		),
	];
}

function pairLinear(
	{ parts, room, op }: ExpertParts,
	{ shape, weight, bias }: ExpertMatrix,
	pairsPerRow: number,
	eps: number | null,
	inputs: readonly Bound[],
	output: GPUBuffer,
): Promise<Dispatch>[] {
	const { gpu, weights } = parts;
	return matrixOf(weights, weight).slices.map((slice) => {
		const experts = stackOf(op, shape, slice, pairsPerRow);
		const own = { ...shape, experts };
		const { kernel, rowGroups } = pairKernel(gpu.abilities, own, eps);
		const bound = [
			...inputs,
			room.routes,
			...sliceBuffers(parts, slice, bias),
			output,
		];
		return dispatchOf(parts, kernel, bound, (numTokens) => [
			rowGroups,
			numTokens * op.topK,
		]);
	});
}

/** Some tokens of the step that go through together. */
interface Chunk {
	readonly first: number;
	readonly tokens: number;
}

type GridOf = (numTokens: number) => Grid | null;

/** The rows an expert reads and those it writes share a buffer: between the two they lie in `gated`. */
function sortedDispatches(
	all: ExpertParts,
	tiling: ExpertTiling,
	chunk: Chunk,
): Promise<Dispatch>[] {
	const { parts, room, op } = all;
	const { activations, storage } = parts;
	const { numExperts, topK, scale, residual } = op;
	const { width } = residual;
	const { tile } = tiling;
	const gated = gatedBuffer(all);
	/** The step's tokens that are the chunk's. */
	const grid =
		(gridOf: (numTokens: number) => Grid): GridOf =>
		(numTokens) => {
			const own = Math.min(chunk.tokens, numTokens - chunk.first);
			return own > 0 ? gridOf(own) : null;
		};
	const tiles = grid((numTokens) => [
		mostTiles({ numExperts, tile }, numTokens * topK),
	]);
	const { routes, counts, ranks, firstRows, tileExperts, places } = room;
	const normed = fromRow(activations.normed, chunk, width, BYTES[storage]);
	return [
		routeDispatch(all, chunk, grid(rowGrid)),
		dispatchOf(
			parts,
			placeExperts({ numExperts, tile }),
			[counts, firstRows, tileExperts],
			grid(() => [1]),
		),
		dispatchOf(
			parts,
			gatherRows({ width, storage, topK }),
			[normed, routes, ranks, firstRows, places, room.rows],
			grid((numTokens) => [numTokens, topK]),
		),
		...tiledLinear(all, gateUpOf(parts, op), tiling, tiles, room.rows, gated),
		...tiledLinear(all, downOf(parts, op), tiling, tiles, gated, room.rows),
		dispatchOf(
			parts,
			combineExperts({ width, storage, topK, scale, isSorted: true }),
			[
				room.rows,
				routes,
				places,
				fromRow(activations.of(residual), chunk, width, BYTES.f32),
			],
			grid(rowGrid),
		),
	];
}

function tiledLinear(
	{ parts, room, op }: ExpertParts,
	{ shape, weight, bias }: ExpertMatrix,
	tiling: ExpertTiling,
	tilesOf: GridOf,
	input: GPUBuffer,
	output: GPUBuffer,
): Promise<Dispatch>[] {
	return matrixOf(parts.weights, weight).slices.map((slice) => {
		const experts = stackOf(op, shape, slice);
		const { kernel, rowGroups } = tiling.kernel({ ...shape, experts });
		const bound = [
			input,
			room.tileExperts,
			...sliceBuffers(parts, slice, bias),
			output,
		];
		return dispatchOf(parts, kernel, bound, (numTokens) => {
			const tiles = tilesOf(numTokens);
			return tiles && [tiles[0], rowGroups];
		});
	});
}

/** Of a chunk that is to be sorted; null: of all tokens, which are not. */
function routeDispatch(
	{ parts, room, op, most }: ExpertParts,
	chunk: Chunk | null,
	grid: GridOf,
): Promise<Dispatch> {
	const { numExperts, topK, normalize, routerBias } = op;
	const split = splitOf(parts, routerSpec(op, most, null));
	const bias = split ? routerBias : null;
	const kernel = routeTokens({
		numExperts,
		topK,
		normalize,
		split,
		bias: bias !== null,
		isSorted: chunk !== null,
	});
	const { scores, routes, counts, ranks } = room;
	const bound = [
		chunk ? fromRow(scores, chunk, numExperts, BYTES.f32) : scores,
		...(bias ? [vectorOf(parts.weights, bias)] : []),
		routes,
		...(chunk ? [counts, ranks] : []),
	];
	return dispatchOf(parts, kernel, bound, grid);
}

/** A buffer of rows from the chunk's first one on. */
const fromRow = (
	buffer: GPUBuffer,
	{ first }: Chunk,
	width: number,
	bytes: number,
): GPUBufferBinding => ({ buffer, offset: first * stride(width) * bytes });

function gatedBuffer({
	room: { gated },
	op: { down },
}: ExpertParts): GPUBuffer {
	const buffer = gated.get(down.shape[1]);
	if (buffer === undefined) throw new Error(`no room for ${down.name}`);
	return buffer;
}
