/**
 * A matrix stored row by row as codes of a few bits with a grid of scales: value = scale · (code − zero). Reads it piece by piece.
 * Knows no checkpoint format: fp8.ts and compressed-tensors.ts say what the codes are.
 */

import { createHalfTables, groupsInOrder } from "./half-tables.ts";
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { readScales, type ScaleGrid } from "./scale-grid.ts";
import { allocateBytes } from "./source.ts";
import { PIECE_ELEMENTS, type VirtualTensor } from "./virtual-tensor.ts";

export interface ScaledRows {
	/** The virtual tensor's. */
	readonly name: string;
	readonly rows: number;
	readonly columns: number;
	/** One row of it is one row of the matrix. */
	readonly codes: HeaderEntry;
	/** Bytes of whole rows → a byte a code; null: they are codes. */
	readonly unpack: ((bytes: Uint8Array) => Uint8Array) | null;
	/** What each code stands for before scaling. */
	readonly numbers: Float32Array;
	readonly scales: ScaleGrid;
	/** Zero points of rows, in the grid of the scales; null where all are 0. */
	readonly readZeros:
		| ((
				rowStart: number,
				rowEnd: number,
				signal?: AbortSignal,
		  ) => Promise<Float32Array>)
		| null;
	/** The scale's column of each matrix column; null where columns are in the order of the grid. */
	readonly readColumnGroups:
		| ((signal?: AbortSignal) => Promise<Int32Array | null>)
		| null;
	/** Further tensors it is made of. */
	readonly others: readonly string[];
}

/**
 * f16 [rows, columns]. Beyond the rows asked for it takes two bytes an element of a piece (a row, or PIECE_ELEMENTS), its scales, and
 * the tables of a row.
 */
export function scaledRowsTensor(
	raw: RawTensors,
	matrix: ScaledRows,
): VirtualTensor {
	const { name, rows, columns, codes, scales } = matrix;
	const piece = Math.max(1, Math.floor(PIECE_ELEMENTS / Math.max(1, columns)));
	return {
		info: { name, dtype: "f16", shape: [rows, columns] },
		parts: [codes.name, scales.entry.name, ...matrix.others],
		async read(rowStart, rowEnd, signal) {
			const out = allocateBytes(name, (rowEnd - rowStart) * columns * 2);
			const halves = new Uint16Array(out.buffer);
			const groups =
				(await matrix.readColumnGroups?.(signal)) ??
				groupsInOrder(columns, scales.blockColumns);
			for (let row = rowStart; row < rowEnd; row += piece) {
				const end = Math.min(rowEnd, row + piece);
				const from = (row - rowStart) * columns;
				const to = halves.subarray(from, (end - rowStart) * columns);
				await readPiece(raw, matrix, groups, row, end, to, signal);
			}
			return out;
		},
	};
}

async function readPiece(
	raw: RawTensors,
	matrix: ScaledRows,
	groups: Int32Array,
	row: number,
	end: number,
	out: Uint16Array,
	signal: AbortSignal | undefined,
): Promise<void> {
	const { name, columns, numbers, scales, unpack } = matrix;
	const bytes = await raw.readRaw(matrix.codes.name, row, end, signal);
	const factors = await readScales(raw, scales, row, end, signal);
	const zeros = (await matrix.readZeros?.(row, end, signal)) ?? null;
	const codes = unpack === null ? bytes : unpack(bytes);
	const tables = createHalfTables(name, numbers, scales.numColumns);
	const firstBlock = Math.floor(row / scales.blockRows);
	let filled = -1;
	for (let r = row; r < end; r++) {
		const block = Math.floor(r / scales.blockRows) - firstBlock;
		if (block !== filled)
			tables.fill(factors, zeros, block * scales.numColumns, 1);
		filled = block;
		const from = (r - row) * columns;
		tables.lookUp(
			codes.subarray(from, from + columns),
			groups,
			out.subarray(from, from + columns),
		);
	}
}
