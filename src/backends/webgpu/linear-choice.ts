/**
 * Which kernel does a linear op, and with which options: by the device, the shape and the most tokens a step may have. One pass
 * over the weight for few tokens; beyond, subgroup matrices where there are any, else tiles.
 */
import type { Abilities } from "./device.ts";
import type { Kernel } from "./kernel.ts";
import type { LinearShape, Split } from "./kernels/linear.ts";
import { linearMatrix } from "./kernels/linear-matrix.ts";
import { chooseMatrix } from "./kernels/linear-matrix-choice.ts";
import { matrixGrid } from "./kernels/linear-matrix-tile.ts";
import {
	linearTiles,
	type TileOptions,
	tilesGrid,
} from "./kernels/linear-tiles.ts";
import { linearVector } from "./kernels/linear-vector.ts";
import {
	rowsPerWord,
	type VectorOptions,
	vectorGrid,
} from "./kernels/linear-vector-plan.ts";
import { UNITS } from "./kernels/weight-unit.ts";
import { BLOCK, paddedRows, stride } from "./layout.ts";

export interface LinearChoice {
	readonly kernel: Kernel;
	/** What the kernel was written for: of an `add` that is split, `partial` and without the bias. */
	readonly shape: LinearShape;
	grid(numTokens: number): readonly [number, number, number];
	/** The partial sums an `add` is left in; null where the kernel does all of it. */
	readonly split: Split | null;
}

/** One pass over the weight is worth it up to so many tokens. */
export const MOST_VECTOR_TOKENS = 8;

/** Subgroups that keep the memory of a large device busy: 16 for each of an H100's processors. */
const BUSY_SUBGROUPS = 2048;
/** Weights of so many rows keep every device busy, however they are cut. */
const VOCABULARY_ROWS = 32_768;
/** Loads of a lane in flight. */
const LOADS = 8;
/** Workgroups of tiles under which K is split, and slabs of 32 a share has at least. */
const BUSY_GROUPS = 128;
const LEAST_SLABS = 4;

/**
 * For steps of up to `most` tokens, a plan's regime. `normEps`: x is the f32 residual and the kernel shall norm it; only up
 * to MOST_VECTOR_TOKENS. An `add` may come back split where `maySplit`.
 */
export function chooseLinear(
	abilities: Abilities,
	shape: LinearShape,
	most: number,
	normEps: number | null,
	maySplit = shape.epilogue === "add",
): LinearChoice {
	if (most <= MOST_VECTOR_TOKENS || normEps !== null)
		return vectorChoice(abilities, shape, most, normEps);
	return (
		matrixChoice(abilities, shape, most, maySplit) ??
		tilesChoice(shape, most, maySplit)
	);
}

function vectorChoice(
	abilities: Abilities,
	shape: LinearShape,
	most: number,
	normEps: number | null,
): LinearChoice {
	const options = chooseVector(abilities, shape, most, normEps);
	const grid = vectorGrid(shape, options, abilities);
	return {
		kernel: linearVector(shape, options, abilities),
		shape,
		grid: () => grid,
		split: null,
	};
}

/** The largest that is no more than n, at least 1. */
const powerOfTwo = (n: number) => 2 ** Math.max(0, Math.floor(Math.log2(n)));

/**
 * One or two tokens: teams of four rows with so many lanes that each has one load of a row. More: few rows take small teams of rows and
 * several subgroups along K; many rows, teams that read x once for four of them.
 */
export function chooseVector(
	{ subgroupSize, maxInvocations }: Abilities,
	shape: LinearShape,
	most: number,
	normEps: number | null,
): VectorOptions {
	const tokens = 2 ** Math.ceil(Math.log2(most));
	const units = stride(shape.columns) / UNITS[shape.format].elements;
	if (tokens <= 2 && subgroupSize >= 32 && shape.rows < VOCABULARY_ROWS) {
		const subgroupsPerTeam = Math.min(8, powerOfTwo(units / subgroupSize));
		const threads = Math.max(128, subgroupSize * subgroupsPerTeam);
		return {
			tokens,
			subgroupsPerTeam,
			threads,
			normEps,
			rowsPerTeam: 4,
			unroll: LOADS / 4,
		};
	}
	const few = tokens < 4 ? 1 : 2;
	const rowsPerTeam =
		shape.rows >= 6144 && (subgroupSize > 1 || tokens < 8)
			? 4
			: shape.rows >= 2048
				? 2
				: few;
	let subgroupsPerTeam = subgroupSize > 1 ? 1 : 32;
	const wants = () =>
		(shape.rows / rowsPerTeam) * subgroupsPerTeam < BUSY_SUBGROUPS &&
		units >= 4 * subgroupSize * subgroupsPerTeam &&
		subgroupsPerTeam < 8;
	while (wants()) subgroupsPerTeam *= 2;
	const teamLanes = subgroupSize * subgroupsPerTeam;
	const teams = Math.max(1, rowsPerWord(shape) / rowsPerTeam);
	const threads = Math.max(128, teamLanes * teams);
	const options = { tokens, subgroupsPerTeam, threads, normEps };
	if (threads <= maxInvocations)
		return { ...options, rowsPerTeam, unroll: LOADS / rowsPerTeam };
	return { ...options, threads: teamLanes, rowsPerTeam: 4, unroll: LOADS / 4 };
}

/** null where the device has no subgroup matrices, x or w are no halves, or no tile fits. */
function matrixChoice(
	abilities: Abilities,
	shape: LinearShape,
	most: number,
	maySplit: boolean,
): LinearChoice | null {
	const { storage, format } = shape;
	const halves = storage === "f16" && format !== "f32";
	if (!abilities.subgroupMatrix || !halves) return null;
	const choice = chooseMatrix(shape, most, maySplit, abilities);
	if (choice === null) return null;
	const { tile, splits } = choice;
	const { split, part } = splitOf(shape, splits, most);
	return {
		kernel: linearMatrix(part, tile),
		shape: part,
		grid: (numTokens) => matrixGrid(part, tile, numTokens),
		split,
	};
}

/** Tiles of 64 × 64 take 16 KiB of workgroup memory, what every device has. */
function tilesChoice(
	shape: LinearShape,
	most: number,
	maySplit: boolean,
): LinearChoice {
	const tile: TileOptions =
		most <= 32
			? { tokens: 32, rows: 64, threadTokens: 4, threadRows: 4 }
			: { tokens: 64, rows: 64, threadTokens: 8, threadRows: 4 };
	const [alongTokens, alongRows] = tilesGrid(shape, tile, most);
	const wanted = Math.floor(BUSY_GROUPS / (alongTokens * alongRows));
	const slabs = stride(shape.columns) / BLOCK;
	const possible = Math.max(1, Math.floor(slabs / LEAST_SLABS));
	const splits = maySplit ? Math.max(1, Math.min(8, wanted, possible)) : 1;
	const { split, part } = splitOf(shape, splits, most);
	return {
		kernel: linearTiles(part, tile),
		shape: part,
		grid: (numTokens) => tilesGrid(part, tile, numTokens),
		split,
	};
}

function splitOf(
	shape: LinearShape,
	splits: number,
	most: number,
): { readonly split: Split | null; readonly part: LinearShape } {
	if (splits === 1) return { split: null, part: shape };
	const split = { splits, rows: paddedRows(most) };
	return {
		split,
		part: {
			...shape,
			epilogue: "partial",
			bias: false,
			scale: undefined,
			softCap: undefined,
			split,
		},
	};
}
