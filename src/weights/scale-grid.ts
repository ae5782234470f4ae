/** Scales (or zero points) of a matrix, one for each block of rows × columns, read for a few rows at a time. Knows no method of quantization. */
import { bytesPerElement, toFloat32 } from "./convert.ts";
import { float8E8m0Table } from "./float8.ts";
import type { RawTensors } from "./safetensors.ts";
import { type HeaderEntry, runnableDtypes } from "./safetensors-header.ts";
import { notFinite, wrongShape } from "./virtual-tensor.ts";

/** What part of a matrix shares a scale. */
export type ScaleLayout =
	| { readonly kind: "tensor" }
	/** A row. */
	| { readonly kind: "channel" }
	/** `size` elements of a row. */
	| { readonly kind: "group"; readonly size: number }
	| { readonly kind: "block"; readonly rows: number; readonly columns: number };

/** Dtypes a scale may have. */
export const scaleDtypes = ["F32", "F16", "BF16", "F8_E8M0"] as const;

/** Scale [r, c] is for rows blockRows · r … and columns blockColumns · c … of the matrix. */
export interface ScaleGrid {
	readonly entry: HeaderEntry;
	readonly blockRows: number;
	readonly blockColumns: number;
	/** Scales a row of blocks has. */
	readonly numColumns: number;
}

/** The grid that `layout` makes of a matrix, null where the tensor's shape is not its. */
export function gridOf(
	entry: HeaderEntry,
	layout: ScaleLayout,
	rows: number,
	columns: number,
): ScaleGrid | null {
	const [blockRows, blockColumns] = blockOf(layout, rows, columns);
	const numRows = Math.ceil(rows / blockRows);
	const numColumns = Math.ceil(columns / blockColumns);
	const shape = entry.shape.join();
	const fits =
		shape === `${numRows},${numColumns}` ||
		// A scale a row may be a vector; one alone need not even be that.
		(numColumns === 1 && shape === `${numRows}`) ||
		(layout.kind === "tensor" && shape === "");
	return fits ? { entry, blockRows, blockColumns, numColumns } : null;
}

function blockOf(
	layout: ScaleLayout,
	rows: number,
	columns: number,
): [number, number] {
	// An empty matrix has a block all the same.
	const [allRows, allColumns] = [Math.max(1, rows), Math.max(1, columns)];
	switch (layout.kind) {
		case "tensor":
			return [allRows, allColumns];
		case "channel":
			return [1, allColumns];
		case "group":
			return [1, layout.size];
		case "block":
			return [layout.rows, layout.columns];
		default:
			return layout satisfies never;
	}
}

/** The first of the layouts that fits. @throws shape_mismatch */
export function fitGrid(
	entry: HeaderEntry,
	layouts: readonly ScaleLayout[],
	rows: number,
	columns: number,
): ScaleGrid {
	for (const layout of layouts) {
		const grid = gridOf(entry, layout, rows, columns);
		if (grid !== null) return grid;
	}
	const wanted = layouts.map((layout) => nameOf(layout)).join(" or ");
	throw wrongShape(entry, `${wanted} of a matrix [${rows}, ${columns}]`);
}

function nameOf(layout: ScaleLayout): string {
	switch (layout.kind) {
		case "tensor":
			return "one scale";
		case "channel":
			return "one scale a row";
		case "group":
			return `one scale for ${layout.size} elements of a row`;
		case "block":
			return `one scale for a block of ${layout.rows} × ${layout.columns}`;
		default:
			return layout satisfies never;
	}
}

/** Bytes of the blocks that rows rowStart to rowEnd of the matrix lie in, block row after block row. */
export function readBlocks(
	raw: RawTensors,
	{ entry, blockRows }: ScaleGrid,
	rowStart: number,
	rowEnd: number,
	signal: AbortSignal | undefined,
): Promise<Uint8Array> {
	const first = Math.floor(rowStart / blockRows);
	const end = Math.ceil(rowEnd / blockRows);
	return raw.readRaw(entry.name, first, end, signal);
}

/** The same as f32. @throws nan_weights */
export async function readScales(
	raw: RawTensors,
	grid: ScaleGrid,
	rowStart: number,
	rowEnd: number,
	signal: AbortSignal | undefined,
): Promise<Float32Array> {
	const bytes = await readBlocks(raw, grid, rowStart, rowEnd, signal);
	return scaleValues(grid.entry, bytes);
}

/** @throws nan_weights */
export function scaleValues(
	{ name, dtype }: HeaderEntry,
	bytes: Uint8Array,
): Float32Array {
	const runnable = runnableDtypes.get(dtype);
	const values = runnable
		? toFloat32(bytes, runnable)
		: Float32Array.from(bytes, (byte) => e8m0[byte]);
	const wrong = values.findIndex((value) => !Number.isFinite(value));
	if (wrong >= 0) throw notFinite(name, "a scale is not a finite number");
	return values;
}

const e8m0: Float32Array = /* @__PURE__ */ float8E8m0Table();

/** Bytes of an element of a scale. */
export function scaleBytes(dtype: string): number {
	const runnable = runnableDtypes.get(dtype);
	return runnable ? bytesPerElement[runnable] : 1;
}
