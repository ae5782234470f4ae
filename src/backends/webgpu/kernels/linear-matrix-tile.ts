/**
 * How a matrix kernel cuts its work: the options it is written with, and what follows from them and a shape. Knows no WGSL.
 * The words: a workgroup computes `tokens` × `rows` of the output from slabs of K that lie in workgroup memory.
 */
import { BLOCK, paddedRows, stride } from "../layout.ts";
import type { LinearShape } from "./linear.ts";

/** Side of the matrices a subgroup multiplies. */
export const SIDE = 16;
/** Lanes of a subgroup. */
export const LANES = 32;

export interface MatrixTile {
	/** Subgroups along tokens, along rows of the weight, and along K, whose sums are added up at the end. */
	readonly subgroups: readonly [tokens: number, rows: number, k: number];
	/** Matrices each subgroup computes along tokens and along rows. */
	readonly matrices: readonly [tokens: number, rows: number];
	/** Elements of K in workgroup memory at a time: 32, 64, 128 or 256. */
	readonly slab: number;
	/** Slabs in workgroup memory: two take one barrier a slab, one takes two. */
	readonly buffers: 1 | 2;
	/** Slabs on their way through registers while one is multiplied, 0 .. 4. */
	readonly ahead: number;
}

/** Counts of vec4<u32> (eight halves) unless said otherwise. */
export interface TileSizes {
	readonly threads: number;
	/** Tokens and rows of the output that a workgroup computes. */
	readonly tokens: number;
	readonly rows: number;
	/** Slabs that a workgroup walks through. */
	readonly slabs: number;
	/** From one row of a slab to the next: one more than the row has, so that rows start in different banks. */
	readonly pitch: number;
	/** One slab of tokens and rows. */
	readonly buffer: number;
	/** Rows of matrices that each subgroup stages for the epilogue at a time, and where they lie: pitch, and a subgroup's share. */
	readonly stagedMatrices: number;
	readonly stagePitch: number;
	readonly stage: number;
	/** All workgroup memory. */
	readonly memory: number;
}

export function tileSizes(shape: LinearShape, tile: MatrixTile): TileSizes {
	const [alongTokens, alongRows, alongK] = tile.subgroups;
	const [tokenMatrices, rowMatrices] = tile.matrices;
	const subgroups = alongTokens * alongRows * alongK;
	const tokens = alongTokens * tokenMatrices * SIDE;
	const rows = alongRows * rowMatrices * SIDE;
	const pitch = tile.slab / 8 + 1;
	const buffer = (tokens + rows) * pitch;
	const stagePitch = rowMatrices * 4 + 1;
	const oneStage = SIDE * stagePitch;
	const memory = Math.max(tile.buffers * buffer, subgroups * oneStage);
	const stagedMatrices = Math.min(
		tokenMatrices,
		Math.floor(memory / subgroups / oneStage),
	);
	return {
		threads: subgroups * LANES,
		tokens,
		rows,
		slabs: stride(shape.columns) / splitsOf(shape) / tile.slab,
		pitch,
		buffer,
		stagedMatrices,
		stagePitch,
		stage: stagedMatrices * oneStage,
		memory,
	};
}

export const splitsOf = (shape: LinearShape): number =>
	shape.split?.splits ?? 1;

/** Columns of the product that have a place in the output. */
export function columnsWritten({ rows, epilogue }: LinearShape): number {
	return epilogue === "gated" ? 2 * stride(rows / 2) : stride(rows);
}

/** Bytes of workgroup memory. */
export const tileBytes = (shape: LinearShape, tile: MatrixTile): number =>
	tileSizes(shape, tile).memory * 16;

/** Whether the kernel can be written: whole tiles and slabs, and every subgroup along K with a part of each slab. */
export function tileFits(shape: LinearShape, tile: MatrixTile): boolean {
	const { tokens, rows, slabs, threads } = tileSizes(shape, tile);
	return (
		128 % tokens === 0 &&
		paddedRows(shape.rows) % rows === 0 &&
		Number.isInteger(slabs) &&
		tile.slab % BLOCK === 0 &&
		tile.slab % (SIDE * tile.subgroups[2]) === 0 &&
		threads % (tile.slab / 8) === 0
	);
}

/** Workgroups for `numTokens` tokens. Tiles of tokens come first, so that those which read the same weights run together. */
export function matrixGrid(
	shape: LinearShape,
	tile: MatrixTile,
	numTokens: number,
): [number, number, number] {
	const { tokens, rows } = tileSizes(shape, tile);
	return [
		Math.ceil(numTokens / tokens),
		Math.ceil(columnsWritten(shape) / rows),
		splitsOf(shape),
	];
}

/** `2x2x1_4x4_s64_b1_a1`: subgroups, matrices, slab, buffers, slabs ahead. */
export function tileLabel(tile: MatrixTile): string {
	return [
		tile.subgroups.join("x"),
		tile.matrices.join("x"),
		`s${tile.slab}`,
		`b${tile.buffers}`,
		`a${tile.ahead}`,
	].join("_");
}
