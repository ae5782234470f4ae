/**
 * How every backend reads a weight: checked against the program, a few rows at a time, never two copies of a tensor. Block types that
 * a backend does not take as they are come to it as f32.
 */
import { NanoVllmError } from "../errors.ts";
import { findNonFinite } from "../weights/convert.ts";
import {
	decode,
	findNonFiniteBlock,
	isBlockDtype,
	storedBytes,
} from "../weights/ggml-blocks.ts";
import type {
	BlockDtype,
	StoredDtype,
	TensorDtype,
	WeightSource,
} from "./backend.ts";
import { tensorShape, type Weight } from "./program.ts";
import { viewReader } from "./read-view.ts";

/** Bytes of a chunk at most, unless one row is more. Small enough to stay in a core's cache on the way from file to device. */
export const CHUNK_BYTES = 2 * 2 ** 20;

type Consume<D extends BlockDtype> = (
	bytes: Uint8Array,
	dtype: TensorDtype | D,
	offset: number,
) => void | Promise<void>;

/**
 * Hands the weight's elements to `consume` in row-major order, part after part. `offset`: where in the weight the chunk
 * begins, in elements. The next chunk is read when `consume` is done with this one.
 * @param takes the block type that `consume` takes as the checkpoint has it
 * @throws missing_tensor, shape_mismatch, unsupported_dtype, nan_weights
 */
export async function readWeight<D extends BlockDtype = never>(
	source: WeightSource,
	weight: Weight,
	signal: AbortSignal | undefined,
	consume: Consume<D>,
	takes?: D,
): Promise<void> {
	const columns = weight.shape.slice(1).reduce((product, n) => product * n, 1);
	const { plus } = weight;
	const take: Consume<D> =
		plus === undefined
			? consume
			: (bytes, dtype, offset) =>
					consume(increased(bytes, dtype, plus), "f32", offset);
	const openView = viewReader(source);
	let offset = 0;
	for (const part of weight.parts) {
		const { tensor, rows, view } = part;
		const dtype = await checkTensor(source, tensor, tensorShape(weight, part));
		const isTaken = !isBlockDtype(dtype) || dtype === takes;
		const given = isTaken ? (dtype as TensorDtype | D) : "f32";
		const rowBytes = storedBytes(given, columns);
		const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
		const read = view
			? openView(tensor, view, columns)
			: (start: number, end: number) => source.read(tensor, start, end, signal);
		for (let row = 0; row < rows; row += rowsPerChunk) {
			signal?.throwIfAborted();
			const end = Math.min(rows, row + rowsPerChunk);
			const stored = await read(row, end, signal);
			const bytes = isTaken ? stored : asFloats(stored, dtype);
			checkFinite(bytes, given, tensor, view ? null : row * columns);
			await take(bytes, given, offset);
			offset += (end - row) * columns;
		}
	}
}

/** The elements as f32, `plus` added to each. */
function increased(
	bytes: Uint8Array,
	dtype: StoredDtype,
	plus: number,
): Uint8Array {
	const values = decode(bytes, dtype).slice();
	for (let i = 0; i < values.length; i++) values[i] += plus;
	return new Uint8Array(values.buffer);
}

/**
 * Every tensor of the program is there in the shape it wants. Run before a backend makes room for them, so that sizes are
 * believed only where config and checkpoint agree on them.
 * @throws missing_tensor, shape_mismatch, unsupported_dtype
 */
export async function checkWeights(
	source: WeightSource,
	weights: readonly Weight[],
): Promise<void> {
	for (const weight of weights)
		for (const part of weight.parts)
			await checkTensor(source, part.tensor, tensorShape(weight, part));
}

async function checkTensor(
	source: WeightSource,
	name: string,
	shape: readonly number[],
): Promise<StoredDtype> {
	const info = source.tensors.get(name);
	if (info === undefined) {
		// The source knows better why: absent, or of a type nobody here can read.
		await source.read(name, 0, 0);
		throw new NanoVllmError(
			"missing_tensor",
			`the checkpoint has no tensor ${name}. config.json asks for it: is this the checkpoint of that config?`,
		);
	}
	if (info.shape.join() !== shape.join())
		throw new NanoVllmError(
			"shape_mismatch",
			`tensor ${name}: config.json wants shape [${shape.join(", ")}], the checkpoint has [${info.shape.join(", ")}]. Is this the checkpoint of that config?`,
		);
	return info.dtype;
}

function asFloats(stored: Uint8Array, dtype: StoredDtype): Uint8Array {
	const { buffer, byteOffset, byteLength } = decode(stored, dtype);
	return new Uint8Array(buffer, byteOffset, byteLength);
}

function checkFinite(
	bytes: Uint8Array,
	dtype: StoredDtype,
	tensor: string,
	/** null: the bytes were gathered from many places. */
	offset: number | null,
): void {
	const index = isBlockDtype(dtype)
		? findNonFiniteBlock(bytes, dtype)
		: findNonFinite(bytes, dtype);
	if (index === undefined) return;
	const which = offset === null ? "an element" : `element ${offset + index}`;
	throw new NanoVllmError(
		"nan_weights",
		`tensor ${tensor}: ${which} is not a finite number. The checkpoint is damaged; download it again.`,
	);
}
