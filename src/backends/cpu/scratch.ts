/** What the kernels want beside their inputs and outputs, in bytes. */
import type { Program } from "../program.ts";
import { GROUP_ROWS, isQuantized } from "./format.ts";
import type { PackedMatrix } from "./places.ts";
import { QUERY_TILE } from "./plan.ts";

/** Heads are stored 16 elements at a time. */
export function paddedHead(headDim: number): number {
	return Math.ceil(headDim / 16) * 16;
}

/** One thread's scratch: a padded row, a tile, or the queries, sums and scores of an attention item. */
export function threadScratchOf(
	program: Program,
	matrices: readonly PackedMatrix[],
): number {
	const row = Math.max(...matrices.map((m) => (m.columns + 32) * 4));
	const attention = Math.max(
		...program.kvLayers.map(({ headDim, numHeads, numKvHeads }) => {
			const one = (8 * paddedHead(headDim) + 4 * 64 + 64) * 4;
			const rows = QUERY_TILE * (numHeads / numKvHeads);
			return Math.max(one, tilesScratch(rows, headDim));
		}),
	);
	return Math.ceil((Math.max(row, attention, 512) + 256) / 64) * 64;
}

/** What assembly/attention-tiles.ts's attend_tiles wants. */
export function tilesScratch(rows: number, headDim: number): number {
	const groups = Math.ceil(rows / GROUP_ROWS);
	const padded = paddedHead(headDim);
	return groups * 32 * padded + groups * 48 + 64 * padded * 8 + 4096;
}

/** What assembly/sample.ts's sample_row wants: counts, raw logits, a list, the maxima of 64 logits each, bins, and what says where they are. */
export function samplerScratchOf(vocabSize: number): number {
	const words = 3 * vocabSize + Math.ceil(vocabSize / 64);
	return Math.ceil((words * 4 + 2048 * 8 + 64) / 64) * 64;
}

/** One row of weights as it stands before it is packed. */
export function stagingRowOf(matrices: readonly PackedMatrix[]): number {
	const bytes = matrices.map(
		({ columns, format }) => (isQuantized(format) ? columns + 32 : columns) * 4,
	);
	return Math.max(0, ...bytes);
}
