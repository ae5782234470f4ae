/** Brings a program's weights into memory as the kernels read them: matrices into panels, vectors as f32. */
import { NanoVllmError } from "../../errors.ts";
import {
	float32ToBfloat16,
	float32ToFloat16,
	toFloat32,
} from "../../weights/convert.ts";
import { storedBytes } from "../../weights/ggml-blocks.ts";
import type { CompileOptions, TensorDtype, WeightSource } from "../backend.ts";
import type { Weight } from "../program.ts";
import { readWeight } from "../read-weight.ts";
import { FORMATS, isQuantized } from "./format.ts";
import type { Kernels } from "./kernels.ts";
import { type Layout, STAGING_BYTES } from "./layout.ts";
import type { PackedMatrix } from "./places.ts";

/** @throws missing_tensor, shape_mismatch, nan_weights, unsupported_dtype */
export async function loadWeights(
	layout: Layout,
	kernels: Kernels,
	memory: WebAssembly.Memory,
	source: WeightSource,
	{ signal, onProgress }: CompileOptions,
): Promise<void> {
	const vectors = [...layout.vectors.values()];
	const totalBytes =
		vectors.reduce((sum, { weight }) => sum + 4 * weight.shape[0], 0) +
		layout.matrices.reduce((sum, matrix) => sum + bytesOf(matrix), 0);
	let loadedBytes = 0;
	const report = (bytes: number) => {
		loadedBytes += bytes;
		onProgress?.(loadedBytes, totalBytes);
	};
	for (const { weight, address } of vectors) {
		const target = new Float32Array(memory.buffer, address, weight.shape[0]);
		await readWeight(source, weight, signal, (bytes, dtype, offset) =>
			target.set(toFloat32(bytes, dtype), offset),
		);
		report(target.byteLength);
	}
	for (const matrix of layout.matrices) {
		const { format, weight } = matrix;
		const pack = createPacker(matrix, layout.staging, kernels, memory);
		const takes = isQuantized(format) ? format : undefined;
		await readWeight(source, weight, signal, pack, takes);
		report(bytesOf(matrix));
	}
}

/** @throws unsupported_dtype */
function checkRange(weight: Weight, numOverflowed: number): void {
	if (numOverflowed === 0) return;
	throw new NanoVllmError(
		"unsupported_dtype",
		`weight ${weight.name} holds numbers above 65,504, the largest of f16. Load with dtype "bf16" or "f32".`,
	);
}

function bytesOf({ numExperts, numPanels, panelBytes }: PackedMatrix): number {
	return numExperts * numPanels * panelBytes;
}

/** q8_0 and q4_0 come where the matrix is of that format, and only there. */
type RowDtype = TensorDtype | "q8_0" | "q4_0";

const isBlocks = (dtype: RowDtype): dtype is "q8_0" | "q4_0" =>
	dtype === "q8_0" || dtype === "q4_0";

/** Takes whole rows, some at a time, in order. Rows in blocks of the matrix's own format keep them bit for bit. */
function createPacker(
	matrix: PackedMatrix,
	staging: number,
	kernels: Kernels,
	memory: WebAssembly.Memory,
): (bytes: Uint8Array, dtype: RowDtype, offset: number) => void {
	const { format, columns, weight, interleaved } = matrix;
	const expertRows = weight.shape[0] / matrix.numExperts;
	/** Rows that follow one another in their panels. */
	const run = interleaved ? expertRows / 2 : expertRows;
	const padded = isQuantized(format)
		? matrix.depth * FORMATS[format].blockColumns
		: columns;
	const elementBytes = format === "f16" || format === "bf16" ? 2 : 4;
	const rowBytes = padded * elementBytes;
	/** Of a row in the staging area. */
	const stagedBytes = (dtype: RowDtype) =>
		isBlocks(dtype) ? storedBytes(dtype, columns) : rowBytes;

	const stage = (bytes: Uint8Array, dtype: RowDtype, count: number) => {
		if (dtype === format || isBlocks(dtype)) {
			new Uint8Array(memory.buffer, staging, bytes.length).set(bytes);
			return;
		}
		const inputRow = bytes.length / count;
		for (let r = 0; r < count; r++) {
			const row = bytes.subarray(r * inputRow, (r + 1) * inputRow);
			const at = staging + r * rowBytes;
			const values = toFloat32(row, dtype);
			if (format === "bf16")
				float32ToBfloat16(values, new Uint16Array(memory.buffer, at, columns));
			else if (format === "f16") {
				const target = new Uint16Array(memory.buffer, at, columns);
				checkRange(weight, float32ToFloat16(values, target).numOverflowed);
			} else {
				const target = new Float32Array(memory.buffer, at, padded);
				target.set(values);
				target.fill(0, columns);
			}
		}
	};
	/** Rows of one expert, and of its gate or its up alone. */
	const packRows = (
		dtype: RowDtype,
		first: number,
		count: number,
		from: number,
	) => {
		const expert = Math.floor(first / expertRows);
		const inExpert = first - expert * expertRows;
		const second = inExpert >= run;
		const panel = expert * matrix.numPanels + (second ? 1 : 0);
		const pack = isBlocks(dtype) ? kernels.pack_block_rows : kernels.pack_rows;
		pack(
			FORMATS[format].id,
			from,
			stagedBytes(dtype),
			count,
			second ? inExpert - run : inExpert,
			matrix.depth,
			matrix.address + panel * matrix.panelBytes,
			matrix.panelBytes,
			interleaved ? 2 : 1,
		);
	};
	// Narrow rows grow when they are padded to blocks: a chunk may be more than the staging area holds.
	const rowsAtOnce = Math.max(1, Math.floor(STAGING_BYTES / rowBytes));
	return (bytes, dtype, offset) => {
		const inputRow = storedBytes(dtype, columns);
		const numChunkRows = bytes.length / inputRow;
		for (let row = 0; row < numChunkRows; row += rowsAtOnce) {
			const count = Math.min(rowsAtOnce, numChunkRows - row);
			const first = offset / columns + row;
			const from = row * inputRow;
			stage(bytes.subarray(from, from + count * inputRow), dtype, count);
			// They may end one expert's or one gate's rows and begin the next's.
			for (let done = 0; done < count; ) {
				const left = run - ((first + done) % run);
				const some = Math.min(left, count - done);
				packRows(
					dtype,
					first + done,
					some,
					staging + done * stagedBytes(dtype),
				);
				done += some;
			}
		}
	};
}
