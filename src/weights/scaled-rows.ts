/**
 * A matrix stored row by row as codes of a few bits with a grid of scales: value = scale · (code − zero). Reads it piece by piece.
 * Knows no checkpoint format: fp8.ts and compressed-tensors.ts say what the codes are.
 */

import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { readScales, type ScaleGrid } from "./scale-grid.ts";
import { allocateBytes } from "./source.ts";
import {
	PIECE_ELEMENTS,
	toHalves,
	type VirtualTensor,
} from "./virtual-tensor.ts";

export interface ScaledRows {
	/** The virtual tensor's. */
	readonly name: string;
	readonly rows: number;
	readonly columns: number;
	/** One row of it is one row of the matrix. */
	readonly codes: HeaderEntry;
	/** Codes of whole rows → numbers as they are before scaling. `firstRow`: of the matrix. */
	decode(bytes: Uint8Array, out: Float32Array, firstRow: number): void;
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
 * f16 [rows, columns]: the f32 product rounded once more. Beyond the rows asked for it takes 7 bytes an element of a piece (a row,
 * or PIECE_ELEMENTS), and its scales.
 */
export function scaledRowsTensor(
	raw: RawTensors,
	matrix: ScaledRows,
): VirtualTensor {
	const { name, rows, columns, codes, scales } = matrix;
	const rowsPerPiece = Math.max(
		1,
		Math.floor(PIECE_ELEMENTS / Math.max(1, columns)),
	);
	return {
		info: { name, dtype: "f16", shape: [rows, columns] },
		parts: [codes.name, scales.entry.name, ...matrix.others],
		async read(rowStart, rowEnd, signal) {
			const out = allocateBytes(name, (rowEnd - rowStart) * columns * 2);
			const halves = new Uint16Array(out.buffer);
			const groups = (await matrix.readColumnGroups?.(signal)) ?? null;
			for (let row = rowStart; row < rowEnd; row += rowsPerPiece) {
				const end = Math.min(rowEnd, row + rowsPerPiece);
				const values = await readPiece(raw, matrix, groups, row, end, signal);
				const offset = (row - rowStart) * columns;
				toHalves(name, values, halves.subarray(offset, offset + values.length));
			}
			return out;
		},
	};
}

async function readPiece(
	raw: RawTensors,
	matrix: ScaledRows,
	groups: Int32Array | null,
	row: number,
	end: number,
	signal: AbortSignal | undefined,
): Promise<Float32Array> {
	const { columns, codes, scales } = matrix;
	const bytes = await raw.readRaw(codes.name, row, end, signal);
	const factors = await readScales(raw, scales, row, end, signal);
	const zeros = (await matrix.readZeros?.(row, end, signal)) ?? null;
	const values = new Float32Array((end - row) * columns);
	matrix.decode(bytes, values, row);
	const firstBlock = Math.floor(row / scales.blockRows);
	for (let r = row; r < end; r++) {
		const block = Math.floor(r / scales.blockRows) - firstBlock;
		const offset = block * scales.numColumns;
		const line = values.subarray((r - row) * columns, (r - row + 1) * columns);
		if (groups === null) scaleInOrder(line, scales, factors, zeros, offset);
		else scaleByGroup(line, groups, factors, zeros, offset);
	}
	return values;
}

function scaleInOrder(
	line: Float32Array,
	{ blockColumns, numColumns }: ScaleGrid,
	factors: Float32Array,
	zeros: Float32Array | null,
	offset: number,
): void {
	for (let block = 0; block < numColumns; block++) {
		const factor = factors[offset + block];
		const zero = zeros === null ? 0 : zeros[offset + block];
		const start = block * blockColumns;
		const end = Math.min(line.length, start + blockColumns);
		for (let c = start; c < end; c++) line[c] = factor * (line[c] - zero);
	}
}

function scaleByGroup(
	line: Float32Array,
	groups: Int32Array,
	factors: Float32Array,
	zeros: Float32Array | null,
	offset: number,
): void {
	for (let c = 0; c < line.length; c++) {
		const group = offset + groups[c];
		const zero = zeros === null ? 0 : zeros[group];
		line[c] = factors[group] * (line[c] - zero);
	}
}
