/**
 * Which tile a matrix kernel gets, and in how many splits: by the number of tokens, and by how many workgroups then run. Small
 * tiles read x and w more often, large ones leave processors idle.
 */
import type { Abilities } from "../device.ts";
import type { LinearShape, Split } from "./linear.ts";
import {
	type MatrixTile,
	matrixGrid,
	tileBytes,
	tileFits,
} from "./linear-matrix-tile.ts";

export interface MatrixChoice {
	readonly tile: MatrixTile;
	/** 1 unless `maySplit`. */
	readonly splits: number;
}

/** Token counts up to which one choice holds; the last one holds for any number beyond. */
export const MATRIX_REGIMES = [16, 32, 64, 128, 256, Infinity] as const;

/** So many keep an H100's 132 processors busy enough; K is split until there are two for each, or no more shares. */
const WORKGROUPS = 90;
const SPLIT_WORKGROUPS = 250;
const SPLITS = [1, 2, 3, 4, 6, 8];
/** Of more tokens a step has work enough without. */
const MOST_SPLIT_TOKENS = 256;

interface Candidate {
	/** Only for weights of so many rows or more. */
	readonly leastRows: number;
	readonly tile: MatrixTile;
}

const tile = (
	leastRows: number,
	subgroups: MatrixTile["subgroups"],
	matrices: MatrixTile["matrices"],
	slab: number,
	buffers: 1 | 2,
	ahead: number,
): Candidate => ({
	leastRows,
	tile: { subgroups, matrices, slab, buffers, ahead },
});

const VOCABULARY = 32_768;

/** For up to so many tokens: the first with enough workgroups. */
// biome-ignore format: a table
const TILES: readonly (readonly [number, readonly Candidate[]])[] = [
	[16, [
		tile(VOCABULARY, [1, 2, 4], [1, 2], 128, 1, 1),
		tile(6144, [1, 2, 4], [1, 1], 128, 1, 2),
		tile(2048, [1, 2, 4], [1, 1], 256, 1, 1),
		tile(0, [1, 1, 4], [1, 1], 256, 1, 1),
	]],
	[32, [
		tile(VOCABULARY, [1, 4, 1], [2, 1], 64, 1, 2),
		tile(6144, [1, 2, 2], [2, 1], 128, 1, 1),
		tile(2048, [1, 2, 4], [2, 1], 128, 2, 1),
		tile(0, [1, 4, 1], [2, 1], 128, 1, 1),
		tile(0, [1, 1, 4], [2, 1], 128, 1, 1),
	]],
	[64, [
		tile(VOCABULARY, [2, 2, 1], [2, 2], 64, 1, 2),
		tile(6144, [1, 1, 4], [2, 3], 128, 1, 2),
		tile(2048, [2, 1, 4], [2, 2], 128, 1, 2),
		tile(0, [2, 2, 1], [2, 2], 64, 2, 3),
		tile(0, [2, 1, 4], [2, 2], 128, 1, 1),
	]],
	[128, [
		tile(VOCABULARY, [2, 4, 1], [4, 2], 64, 1, 2),
		tile(6144, [2, 2, 2], [2, 3], 128, 1, 2),
		tile(2048, [2, 2, 2], [2, 2], 128, 1, 2),
		tile(0, [2, 2, 1], [2, 2], 64, 1, 3),
		tile(0, [2, 1, 4], [4, 2], 64, 1, 1),
	]],
	[256, [
		tile(VOCABULARY, [2, 4, 1], [4, 2], 64, 1, 2),
		tile(6144, [4, 2, 1], [2, 3], 64, 1, 3),
		tile(2048, [4, 2, 1], [2, 2], 64, 1, 3),
		tile(0, [2, 2, 1], [2, 2], 64, 1, 2),
		tile(0, [2, 2, 2], [2, 2], 128, 1, 1),
	]],
	[Infinity, [
		tile(2048, [2, 4, 1], [4, 2], 64, 1, 2),
		tile(0, [2, 2, 2], [4, 4], 64, 1, 1),
		tile(0, [2, 4, 1], [4, 2], 64, 1, 2),
		tile(0, [2, 2, 1], [4, 2], 64, 1, 1),
		tile(0, [2, 2, 1], [2, 2], 64, 1, 1),
	]],
];

/** Where nothing else fits in workgroup memory. */
const LEAST = tile(0, [2, 2, 1], [2, 2], 32, 1, 0).tile;

/** The tile with its slab cut until it divides K and fits in workgroup memory; null where it cannot. */
function fitted(
	shape: LinearShape,
	wanted: MatrixTile,
	{ workgroupBytes, maxInvocations }: Abilities,
): MatrixTile | null {
	const [tokens, rows, k] = wanted.subgroups;
	for (let slab = wanted.slab; slab >= 32; slab /= 2) {
		const subgroups = [tokens, rows, Math.min(k, slab / 16)] as const;
		const cut = { ...wanted, slab, subgroups };
		const threads = 32 * subgroups[0] * subgroups[1] * subgroups[2];
		const fits =
			tileFits(shape, cut) && tileBytes(shape, cut) <= workgroupBytes;
		if (fits && threads <= maxInvocations) return cut;
	}
	return null;
}

const withSplits = (shape: LinearShape, splits: number): LinearShape => {
	const split: Split | undefined =
		splits === 1 ? undefined : { splits, rows: 0 };
	return { ...shape, split };
};

/** For so many tokens and a weight that keeps the device busy by itself; null where it does not fit in workgroup memory. */
export function tileForMany(
	shape: LinearShape,
	numTokens: number,
	abilities: Abilities,
): MatrixTile | null {
	const candidates = TILES.find(([most]) => numTokens <= most)?.[1] ?? [];
	return fitted(shape, candidates[0].tile, abilities);
}

/**
 * For a step of up to `numTokens` tokens. `maySplit`: the sums may come as partial ones. null where no tile fits in workgroup
 * memory.
 */
export function chooseMatrix(
	shape: LinearShape,
	numTokens: number,
	maySplit: boolean,
	abilities: Abilities,
): MatrixChoice | null {
	const candidates = TILES.find(([most]) => numTokens <= most)?.[1] ?? [];
	const splitting = maySplit && numTokens <= MOST_SPLIT_TOKENS;
	const tiles = candidates
		.filter(({ leastRows }) => shape.rows >= leastRows)
		.map((candidate) => candidate.tile);
	let best: MatrixChoice | null = null;
	let most = 0;
	for (const wanted of tiles) {
		for (const splits of splitting ? SPLITS : [1]) {
			const part = withSplits(shape, splits);
			const cut = fitted(part, wanted, abilities);
			if (cut === null) continue;
			const workgroups = matrixGrid(part, cut, numTokens).reduce(
				(product, n) => product * n,
			);
			if (workgroups <= most) continue;
			best = { tile: cut, splits };
			most = workgroups;
			if (workgroups >= SPLIT_WORKGROUPS) break;
		}
		if (most >= WORKGROUPS) break;
	}
	if (best !== null) return best;
	const least = fitted(shape, LEAST, abilities);
	return least && { tile: least, splits: 1 };
}
