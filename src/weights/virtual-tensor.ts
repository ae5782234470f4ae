/** A tensor of full precision that is made of others while it is read, and the checks all kinds of it share. Knows no method of quantization. */
import type { TensorDtype, TensorInfo } from "../backends/backend.ts";
import { NanoVllmError } from "../errors.ts";
import type { RawTensors } from "./safetensors.ts";
import { type HeaderEntry, show } from "./safetensors-header.ts";

export interface VirtualTensor {
	readonly info: TensorInfo<TensorDtype>;
	/** Names of the tensors it is made of. */
	readonly parts: readonly string[];
	/** As WeightSource.read. The caller checks the range. */
	read(
		rowStart: number,
		rowEnd: number,
		signal?: AbortSignal,
	): Promise<Uint8Array>;
}

/** Virtual tensors by name, each checked and made when it is called for. @throws missing_tensor, shape_mismatch, unsupported_dtype, … */
export type VirtualTensors = ReadonlyMap<string, () => VirtualTensor>;

/** Elements made at a time, unless one row has more: what bounds the memory beyond the rows asked for. */
export const PIECE_ELEMENTS = 2 ** 20;

/** A tensor that `owner` needs beside it. @throws missing_tensor, unsupported_dtype */
export function companion(
	raw: RawTensors,
	name: string,
	owner: string,
	dtypes: readonly string[],
): HeaderEntry {
	const entry = raw.entries.get(name);
	if (entry === undefined)
		throw new NanoVllmError(
			"missing_tensor",
			`${show(name)}: wanted beside ${show(owner)}, found in none of the files. The checkpoint is incomplete or its quantization_config is of another one; load all again.`,
		);
	checkDtype(entry, dtypes);
	return entry;
}

/** The same, undefined where it is not there and need not be. */
export function optional(
	raw: RawTensors,
	name: string,
	owner: string,
	dtypes: readonly string[],
	isNeeded = false,
): HeaderEntry | undefined {
	if (!isNeeded && !raw.entries.has(name)) return undefined;
	return companion(raw, name, owner, dtypes);
}

/** @throws unsupported_dtype */
export function checkDtype(
	{ name, dtype }: HeaderEntry,
	dtypes: readonly string[],
): void {
	if (dtypes.includes(dtype)) return;
	throw new NanoVllmError(
		"unsupported_dtype",
		`${show(name)}: the checkpoint's quantization_config wants ${dtypes.join(" or ")}, the file has ${dtype}. Are config.json and files of the same checkpoint?`,
	);
}

/** `wanted` in words or as a shape. @throws shape_mismatch */
export function wrongShape(
	{ name, shape }: HeaderEntry,
	wanted: string,
): NanoVllmError {
	return new NanoVllmError(
		"shape_mismatch",
		`${show(name)}: wanted ${wanted}, got [${shape.join(", ")}]. Are config.json and files of the same checkpoint?`,
	);
}

/** @throws shape_mismatch */
export function checkShape(
	entry: HeaderEntry,
	wanted: readonly number[],
	why: string,
): void {
	if (entry.shape.join() !== wanted.join())
		throw wrongShape(entry, `shape [${wanted.join(", ")}] (${why})`);
}

/** The two sizes of a matrix. @throws shape_mismatch */
export function matrixShape(entry: HeaderEntry): readonly [number, number] {
	const [rows, columns] = entry.shape;
	if (entry.shape.length !== 2) throw wrongShape(entry, "a matrix");
	return [rows, columns];
}

export function notFinite(name: string, what: string): NanoVllmError {
	return new NanoVllmError(
		"nan_weights",
		`${show(name)}: ${what}. The checkpoint is damaged; download it again.`,
	);
}

/** Little-endian words of 32 bits; what `readRaw` gives is aligned. */
export function wordsOf({
	buffer,
	byteOffset,
	length,
}: Uint8Array): Int32Array {
	return new Int32Array(buffer, byteOffset, length / 4);
}
