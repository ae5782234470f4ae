/** Gathers the rows of a matrix that lies inside a larger tensor: one expert of a stack, every second row, columns in place of rows. */

import { assert } from "../errors.ts";
import { bytesPerElement } from "../weights/convert.ts";
import { isBlockDtype, storedBytes } from "../weights/ggml-blocks.ts";
import type { StoredDtype, WeightSource } from "./backend.ts";
import type { TensorView } from "./program.ts";

/** Bytes of rows [start, end) of the part, row-major. */
type ReadRows = (
	start: number,
	end: number,
	signal?: AbortSignal,
) => Promise<Uint8Array>;

/** A matrix of a tensor as it is stored; a vector is one column. */
interface Slab {
	readonly bytes: Uint8Array;
	/** Elements from one row of the part to the next, and from one column to the next. */
	readonly rowStride: number;
	readonly columnStride: number;
}

/**
 * Reads parts with views, one after another. The matrix that holds a part is read whole where rows cannot be read by themselves, and
 * kept until another is wanted: gate and up come from the same one.
 */
export function viewReader(
	source: WeightSource,
): (tensor: string, view: TensorView, columns: number) => ReadRows {
	let key = "";
	let kept: Uint8Array | null = null;
	const readKept = async (
		tensor: string,
		[start, end]: readonly [number, number],
		signal?: AbortSignal,
	): Promise<Uint8Array> => {
		const wanted = `${start} ${end} ${tensor}`;
		if (kept !== null && key === wanted) return kept;
		kept = null;
		kept = await source.read(tensor, start, end, signal);
		key = wanted;
		return kept;
	};
	return (tensor, view, columns) => {
		const dtype = source.tensors.get(tensor)?.dtype ?? "f32";
		const { shape, index, transposed, first, step } = view;
		const stackRows = shape[index === null ? 0 : 1];
		const strides = transposed
			? { rowStride: 1, columnStride: shape[shape.length - 1] }
			: { rowStride: columns, columnStride: 1 };
		return async (start, end, signal) => {
			const at = { first: first + start * step, step, numRows: end - start };
			if (index === null && !transposed) {
				const last = first + (end - 1) * step + 1;
				const bytes = await source.read(tensor, at.first, last, signal);
				return gather(
					{ bytes, ...strides },
					{ ...at, first: 0 },
					columns,
					dtype,
				);
			}
			const span = index === null ? [0, stackRows] : [index, index + 1];
			const bytes = await readKept(tensor, [span[0], span[1]], signal);
			return gather({ bytes, ...strides }, at, columns, dtype);
		};
	};
}

interface RowRange {
	readonly first: number;
	readonly step: number;
	readonly numRows: number;
}

/** Rows first, first + step, … of a slab. */
function gather(
	slab: Slab,
	rows: RowRange,
	columns: number,
	dtype: StoredDtype,
): Uint8Array {
	if (slab.columnStride === 1)
		return gatherRuns(slab.bytes, rows, columns, dtype);
	assert(!isBlockDtype(dtype), "a tensor in blocks is never stored transposed");
	return gatherElements(slab, rows, columns, bytesPerElement[dtype]);
}

/** Rows that lie in one piece each, of any type. */
function gatherRuns(
	bytes: Uint8Array,
	{ first, step, numRows }: RowRange,
	columns: number,
	dtype: StoredDtype,
): Uint8Array {
	const size = storedBytes(dtype, columns);
	const to = new Uint8Array(numRows * size);
	for (let row = 0; row < numRows; row++) {
		const from = (first + row * step) * size;
		to.set(bytes.subarray(from, from + size), row * size);
	}
	return to;
}

function gatherElements(
	{ bytes, rowStride, columnStride }: Slab,
	{ first, step, numRows }: RowRange,
	columns: number,
	size: number,
): Uint8Array {
	const ArrayOf = size === 4 ? Uint32Array : Uint16Array;
	const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
	const { buffer, byteOffset, byteLength } = aligned;
	const from = new ArrayOf(
		buffer as ArrayBuffer,
		byteOffset,
		byteLength / size,
	);
	const to = new ArrayOf(numRows * columns);
	for (let row = 0; row < numRows; row++) {
		const start = (first + row * step) * rowStride;
		for (let c = 0; c < columns; c++)
			to[row * columns + c] = from[start + c * columnStride];
	}
	return new Uint8Array(to.buffer);
}
