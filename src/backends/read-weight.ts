/** How every backend reads a weight: checked against the program, a few rows at a time, never two copies of a tensor. */
import { NanoVllmError } from "../errors.ts";
import { bytesPerElement, findNonFinite } from "../weights/convert.ts";
import type { TensorDtype, WeightSource } from "./backend.ts";
import type { Weight } from "./program.ts";

/** Bytes of a chunk at most, unless one row is more. Small enough to stay in a core's cache on the way from file to device. */
export const CHUNK_BYTES = 2 * 2 ** 20;

/**
 * Hands the weight's elements to `consume` in row-major order, part after part. `offset`: where in the weight the chunk
 * begins, in elements. The next chunk is read when `consume` is done with this one.
 * @throws missing_tensor, shape_mismatch, unsupported_dtype, nan_weights
 */
export async function readWeight(
	source: WeightSource,
	weight: Weight,
	signal: AbortSignal | undefined,
	consume: (
		bytes: Uint8Array,
		dtype: TensorDtype,
		offset: number,
	) => void | Promise<void>,
): Promise<void> {
	const columns = weight.shape.slice(1).reduce((product, n) => product * n, 1);
	let offset = 0;
	for (const { tensor, rows } of weight.parts) {
		const dtype = await checkTensor(source, tensor, [
			rows,
			...weight.shape.slice(1),
		]);
		const rowBytes = columns * bytesPerElement[dtype];
		const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
		for (let row = 0; row < rows; row += rowsPerChunk) {
			signal?.throwIfAborted();
			const end = Math.min(rows, row + rowsPerChunk);
			const bytes = await source.read(tensor, row, end, signal);
			checkFinite(bytes, dtype, tensor, row * columns);
			await consume(bytes, dtype, offset);
			offset += (end - row) * columns;
		}
	}
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
	for (const { parts, shape } of weights)
		for (const { tensor, rows } of parts)
			await checkTensor(source, tensor, [rows, ...shape.slice(1)]);
}

async function checkTensor(
	source: WeightSource,
	name: string,
	shape: readonly number[],
): Promise<TensorDtype> {
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

function checkFinite(
	bytes: Uint8Array,
	dtype: TensorDtype,
	tensor: string,
	offset: number,
): void {
	const index = findNonFinite(bytes, dtype);
	if (index === undefined) return;
	throw new NanoVllmError(
		"nan_weights",
		`tensor ${tensor}: element ${offset + index} is not a finite number. The checkpoint is damaged; download it again.`,
	);
}
