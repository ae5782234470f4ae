/** Where the rows of each expert lie when tokens are sorted by expert, in whole tiles. One workgroup. */
import type { Kernel } from "../kernel.ts";

export interface PlaceOptions {
	readonly numExperts: number;
	/** Rows of a tile. */
	readonly tile: number;
}

const THREADS = 128;

/** Tiles that `pairs` pairs of token and expert take at most: every expert's last one may be nearly empty. */
export const mostTiles = (
	{ numExperts, tile }: PlaceOptions,
	pairs: number,
): number => Math.min(numExperts, pairs) + Math.floor(pairs / tile);

/**
 * Of counts[e] rows for each expert e: firstRows[e], a multiple of `tile`; tileExperts[0], the number of tiles, and tileExperts[1 + i], the
 * expert of tile i. Counts are zero again afterwards.
 * bindings: counts, firstRows: u32 [numExperts]; tileExperts: u32. Grid: one workgroup.
 */
export function placeExperts({ numExperts, tile }: PlaceOptions): Kernel {
	return {
		label: `place_experts_${numExperts}_tile${tile}`,
		bindings: [
			["counts", "write", "array<u32>"],
			["firstRows", "write", "array<u32>"],
			["tileExperts", "write", "array<u32>"],
		],
		code: `
var<workgroup> tiles: array<u32, ${numExperts}>;
@compute @workgroup_size(${THREADS}) fn main(@builtin(local_invocation_index) thread: u32) {
  for (var e = thread; e < ${numExperts}u; e += ${THREADS}u) {
    tiles[e] = (counts[e] + ${tile - 1}u) / ${tile}u;
    counts[e] = 0u;
  }
  workgroupBarrier();
  for (var e = thread; e < ${numExperts}u; e += ${THREADS}u) {
    var first = 0u;
    for (var j = 0u; j < e; j++) { first += tiles[j]; }
    firstRows[e] = first * ${tile}u;
    for (var i = 0u; i < tiles[e]; i++) { tileExperts[1u + first + i] = e; }
    if (e == ${numExperts - 1}u) { tileExperts[0] = first + tiles[e]; }
  }
}`,
	};
}
