/** A GGUF's tensors as a WeightSource under the names of checkpoints. What converters did to rows is undone as they are read. */
import type {
	StoredDtype,
	TensorInfo,
	WeightSource,
} from "../backends/backend.ts";
import { assert, NanoVllmError } from "../errors.ts";
import { decode, isBlockDtype, storedBytes } from "./ggml-blocks.ts";
import type { GgufTensor } from "./gguf-header.ts";
import { type NamedTensor, reorderedRow } from "./gguf-names.ts";
import { show } from "./safetensors-header.ts";
import { allocateBytes, type RandomAccessFile } from "./source.ts";

/** @param fileOf the file that a named tensor lies in */
export function ggufWeightSource(
	label: string,
	named: ReadonlyMap<string, NamedTensor>,
	fileOf: (stored: GgufTensor) => RandomAccessFile,
	close: () => Promise<void>,
): WeightSource {
	const tensors = new Map<string, TensorInfo>();
	for (const [name, tensor] of named) {
		const dtype = dtypeOf(tensor);
		if (dtype === null) continue;
		const { shape, undo } = tensor;
		const given = undo.kind === "plus_one" ? "f32" : dtype;
		tensors.set(name, { name, dtype: given, shape });
	}
	let closed = false;
	return {
		tensors,
		async read(name, rowStart, rowEnd, signal) {
			if (closed)
				throw new NanoVllmError(
					"engine_closed",
					`${label}: wanted ${show(name)}, but the weights are closed.`,
				);
			const tensor = named.get(name);
			if (tensor === undefined) throw missingTensor(label, name, named.size);
			const dtype = dtypeOf(tensor);
			if (dtype === null) throw unsupported(label, tensor);
			const numRows = tensor.shape[0] ?? 1;
			assert(
				0 <= rowStart && rowStart <= rowEnd && rowEnd <= numRows,
				`rows ${rowStart} to ${rowEnd} of ${name}, which has ${numRows}`,
			);
			const file = fileOf(tensor.stored);
			const rows = createRows(file, tensor, dtype, signal);
			return readRows(tensor, rows, dtype, rowStart, rowEnd);
		},
		async close() {
			if (closed) return;
			closed = true;
			await close();
		},
	};
}

/** null for what we do not run: types without a format, and vectors in blocks, whose elements are no rows. */
function dtypeOf({
	shape,
	stored: { dtype },
}: NamedTensor): StoredDtype | null {
	if (dtype === null || (isBlockDtype(dtype) && shape.length < 2)) return null;
	return dtype;
}

interface Rows {
	/** Bytes a row takes. */
	readonly size: number;
	/** Stored rows [start, end) of the tensor. */
	read(start: number, end: number): Promise<Uint8Array>;
}

function createRows(
	file: RandomAccessFile,
	{ shape, stored, rowStart }: NamedTensor,
	dtype: StoredDtype,
	signal: AbortSignal | undefined,
): Rows {
	const rowElements = shape.slice(1).reduce((product, n) => product * n, 1);
	const size = storedBytes(dtype, rowElements);
	// rowStart counts runs of the stored tensor's contiguous dimension.
	const run = storedBytes(dtype, stored.shape.at(-1) ?? 1);
	const from = stored.offset + rowStart * run;
	return {
		size,
		read: (start, end) =>
			file.read(from + start * size, (end - start) * size, signal),
	};
}

async function readRows(
	{ stored, undo }: NamedTensor,
	rows: Rows,
	dtype: StoredDtype,
	start: number,
	end: number,
): Promise<Uint8Array> {
	switch (undo.kind) {
		case "none":
			return rows.read(start, end);
		case "heads":
			return readHeads(stored.name, rows, undo.rows, start, end);
		case "plus_one":
			return lessOne(await rows.read(start, end), dtype);
		default:
			return undo satisfies never;
	}
}

/** Reads the whole heads that rows [start, end) are of, and puts the rows back in a checkpoint's order. */
async function readHeads(
	name: string,
	{ size, read }: Rows,
	headRows: number,
	start: number,
	end: number,
): Promise<Uint8Array> {
	const first = Math.floor(start / headRows) * headRows;
	const stored = await read(first, Math.ceil(end / headRows) * headRows);
	const out = allocateBytes(name, (end - start) * size);
	for (let row = start; row < end; row++) {
		const from = (reorderedRow(row, headRows) - first) * size;
		out.set(stored.subarray(from, from + size), (row - start) * size);
	}
	return out;
}

/** f32, one less each. */
function lessOne(bytes: Uint8Array, dtype: StoredDtype): Uint8Array {
	const values = decode(bytes, dtype).slice();
	for (let i = 0; i < values.length; i++) values[i] -= 1;
	return new Uint8Array(values.buffer);
}

function missingTensor(
	label: string,
	name: string,
	count: number,
): NanoVllmError {
	return new NanoVllmError(
		"missing_tensor",
		`${label}: wanted tensor ${show(name)}, found it under no name of ggml's (${count} tensors). The file is of another model or incomplete.`,
	);
}

function unsupported(
	label: string,
	{ name, stored, shape }: NamedTensor,
): NanoVllmError {
	return new NanoVllmError(
		"unsupported_dtype",
		`${label}: ${show(stored.name)} (${name}) is of type ${stored.type} with shape ${show(shape)}, which is not run. Use a file of another quantization, like Q8_0, Q6_K, Q4_K_M or Q4_0.`,
	);
}
