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

/** About one for each of an H100's 132 processors. */
const WORKGROUPS = 120;
/** More of them cost more than they bring: each writes a whole output. */
const SPLITS = [1, 2, 3, 4];

const tile = (
	subgroups: MatrixTile["subgroups"],
	matrices: MatrixTile["matrices"],
	slab: number,
	buffers: 1 | 2,
	ahead: number,
): MatrixTile => ({ subgroups, matrices, slab, buffers, ahead });

/** For up to so many tokens, the widest first. */
const TILES: readonly (readonly [number, readonly MatrixTile[]])[] = [
	[
		16,
		[tile([1, 2, 4], [1, 1], 256, 1, 1), tile([1, 1, 4], [1, 1], 256, 1, 1)],
	],
	[
		32,
		[tile([1, 2, 4], [2, 1], 128, 1, 1), tile([1, 1, 4], [2, 1], 128, 1, 1)],
	],
	[
		64,
		[tile([2, 2, 2], [2, 2], 128, 1, 1), tile([2, 1, 4], [2, 2], 128, 1, 1)],
	],
	[
		128,
		[
			tile([2, 2, 1], [4, 4], 64, 1, 0),
			tile([2, 2, 2], [4, 2], 64, 1, 1),
			tile([2, 1, 4], [4, 2], 64, 1, 1),
		],
	],
	[
		256,
		[
			tile([2, 2, 1], [4, 4], 64, 1, 0),
			tile([2, 2, 1], [4, 3], 64, 1, 1),
			tile([2, 2, 2], [4, 2], 64, 1, 1),
			tile([2, 2, 2], [2, 2], 128, 1, 1),
		],
	],
	[
		Infinity,
		[
			tile([2, 2, 1], [4, 4], 64, 1, 0),
			tile([2, 2, 1], [4, 2], 64, 1, 1),
			tile([2, 2, 1], [2, 2], 64, 1, 1),
		],
	],
];

/** Where nothing else fits in workgroup memory. */
const LEAST = tile([2, 2, 1], [2, 2], 32, 1, 0);

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
	const tiles = TILES.find(([most]) => numTokens <= most)?.[1] ?? [];
	let best: MatrixChoice | null = null;
	let most = 0;
	for (const wanted of tiles)
		for (const splits of maySplit ? SPLITS : [1]) {
			const part = withSplits(shape, splits);
			const cut = fitted(part, wanted, abilities);
			if (cut === null) continue;
			const workgroups = matrixGrid(part, cut, numTokens).reduce(
				(product, n) => product * n,
			);
			if (workgroups <= most) continue;
			best = { tile: cut, splits };
			most = workgroups;
			if (workgroups >= WORKGROUPS) return best;
		}
	if (best !== null) return best;
	const least = fitted(shape, LEAST, abilities);
	return least && { tile: least, splits: 1 };
}
