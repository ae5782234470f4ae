/**
 * Reads the header of one safetensors file and checks every claim in it. Knows nothing of shards, or of what a tensor is for.
 * The format: https://huggingface.co/docs/safetensors — u64 header length, JSON header, data; offsets count from the data's start.
 */
import type { TensorDtype } from "../backends/backend.ts";
import { NanoVllmError } from "../errors.ts";
import { bytes, grouped } from "./source.ts";

/** The reference implementation's limit. Real headers have at most a few MB. */
export const maxHeaderBytes = 100_000_000;

/** Bits an element, for every dtype the format names. */
const bitsOfDtype: ReadonlyMap<string, number> = new Map([
	["F4", 4],
	["F6_E2M3", 6],
	["F6_E3M2", 6],
	["BOOL", 8],
	["U8", 8],
	["I8", 8],
	["F8_E4M3", 8],
	["F8_E5M2", 8],
	["F8_E8M0", 8],
	["F8_E4M3FNUZ", 8],
	["F8_E5M2FNUZ", 8],
	["I16", 16],
	["U16", 16],
	["F16", 16],
	["BF16", 16],
	["I32", 32],
	["U32", 32],
	["F32", 32],
	["I64", 64],
	["U64", 64],
	["F64", 64],
	["C64", 64],
]);

/** The dtypes we run. */
export const runnableDtypes: ReadonlyMap<string, TensorDtype> = new Map([
	["F32", "f32"],
	["F16", "f16"],
	["BF16", "bf16"],
]);

/** One tensor's place in a file. */
export interface HeaderEntry {
	readonly name: string;
	/** As the header spells it: "BF16", "I64", … */
	readonly dtype: string;
	readonly shape: readonly number[];
	/** From the file's start. */
	readonly offset: number;
	readonly byteLength: number;
}

/** The first 8 bytes → the header's length, at most what the file holds. @throws invalid_weights */
export function parseHeaderLength(
	file: string,
	first8: Uint8Array,
	fileSize: number,
): number {
	const view = new DataView(first8.buffer, first8.byteOffset, 8);
	const length = view.getBigUint64(0, true);
	if (length > BigInt(maxHeaderBytes))
		throw invalid(
			file,
			`header wants ${bytes(length)}, the format allows ${grouped(maxHeaderBytes)}. This is not a safetensors file, or it is damaged.`,
		);
	if (length > BigInt(fileSize - 8))
		throw invalid(
			file,
			`header wants ${bytes(length)}, file has ${grouped(fileSize)}. The download was cut; delete it and load again.`,
		);
	return Number(length);
}

/**
 * The header's bytes → its tensors in the order of their data. A name that stands twice in the JSON counts once, the last time;
 * what the first one claimed is then found as a hole.
 * @throws invalid_weights, unsupported_dtype for a dtype of unknown size
 */
export function parseHeader(
	file: string,
	header: Uint8Array,
	fileSize: number,
): HeaderEntry[] {
	const dataStart = 8 + header.byteLength;
	const entries: HeaderEntry[] = [];
	for (const [name, value] of Object.entries(parseObject(file, header))) {
		if (name === "__metadata__") checkMetadata(file, value);
		else entries.push(parseEntry(file, name, value, dataStart));
	}
	entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
	checkCoverage(file, entries, dataStart, fileSize);
	return entries;
}

function parseObject(file: string, header: Uint8Array): object {
	if (header[0] !== 0x7b)
		throw invalid(
			file,
			"wanted a header that begins with {, got something else. This is not a safetensors file, or it is damaged.",
		);
	let value: unknown;
	try {
		const text = new TextDecoder("utf-8", { fatal: true }).decode(header);
		value = JSON.parse(text);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw invalid(
			file,
			`header is not JSON in UTF-8 (${reason}). The file is damaged; delete it and load again.`,
			cause,
		);
	}
	// What begins with { and parses is an object.
	return value as object;
}

function checkMetadata(file: string, value: unknown): void {
	if (isRecord(value) && Object.values(value).every(isString)) return;
	throw invalid(
		file,
		`__metadata__: wanted an object of strings, got ${show(value)}. Write the file again with a current safetensors.`,
	);
}

function parseEntry(
	file: string,
	name: string,
	value: unknown,
	dataStart: number,
): HeaderEntry {
	const where = `${file}: ${show(name)}`;
	if (!isRecord(value))
		throw invalid(
			where,
			`wanted {dtype, shape, data_offsets}, got ${show(value)}.`,
		);
	const { dtype, shape, data_offsets: offsets } = value;
	if (!isString(dtype))
		throw invalid(where, `dtype: wanted a string, got ${show(dtype)}.`);
	if (!Array.isArray(shape) || !shape.every(isCount))
		throw invalid(
			where,
			`shape: wanted whole numbers of 0 or more, got ${show(shape)}.`,
		);
	if (!isOffsets(offsets))
		throw invalid(
			where,
			`data_offsets: wanted [begin, end] with begin ≤ end, got ${show(offsets)}.`,
		);
	const [begin, end] = offsets;
	const wanted = byteLengthOf(where, dtype, shape);
	if (end - begin !== wanted)
		throw invalid(
			where,
			`${dtype} ${show(shape)} wants ${bytes(wanted)}, data_offsets give ${grouped(end - begin)}. The file was written wrongly; get it again from its source.`,
		);
	return { name, dtype, shape, offset: dataStart + begin, byteLength: wanted };
}

function byteLengthOf(
	where: string,
	dtype: string,
	shape: readonly number[],
): number {
	const bitsPerElement = bitsOfDtype.get(dtype);
	if (bitsPerElement === undefined)
		throw new NanoVllmError(
			"unsupported_dtype",
			`${where}: wanted a dtype among ${[...bitsOfDtype.keys()].join(", ")}, got ${show(dtype)}. Convert the model to BF16.`,
		);
	let bits = bitsPerElement;
	for (const size of shape) {
		bits *= size;
		if (!Number.isSafeInteger(bits))
			throw invalid(
				where,
				`shape: ${show(shape)} is more than can be counted.`,
			);
	}
	if (bits % 8 !== 0)
		throw invalid(
			where,
			`${dtype} ${show(shape)} is ${grouped(bits)} bits, which is no whole number of bytes.`,
		);
	return bits / 8;
}

/** The law of the format: sorted by offset, each tensor begins where the one before ends, and the last ends the file. */
function checkCoverage(
	file: string,
	entries: readonly HeaderEntry[],
	dataStart: number,
	fileSize: number,
): void {
	let end = dataStart;
	let before = "the header";
	for (const { name, offset, byteLength } of entries) {
		if (offset + byteLength > fileSize)
			throw invalid(
				`${file}: ${show(name)}`,
				`wants ${bytes(byteLength)} at ${grouped(offset)}, file has ${bytes(fileSize)}. The download was cut; delete it and load again.`,
			);
		if (offset !== end)
			throw invalid(
				`${file}: ${show(name)}`,
				`wanted to begin at ${grouped(end)}, where ${before} ends, begins at ${grouped(offset)}. Tensors may neither overlap nor leave holes; get the file again from its source.`,
			);
		end += byteLength;
		before = show(name);
	}
	if (end !== fileSize)
		throw invalid(
			file,
			`tensors end at ${grouped(end)}, file has ${bytes(fileSize)}. Something was appended or the header is of another file; delete it and load again.`,
		);
}

function invalid(
	where: string,
	message: string,
	cause?: unknown,
): NanoVllmError {
	return new NanoVllmError("invalid_weights", `${where}: ${message}`, {
		cause,
	});
}

export function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isString(value: unknown): value is string {
	return typeof value === "string";
}

function isCount(value: unknown): value is number {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isOffsets(value: unknown): value is [number, number] {
	return (
		Array.isArray(value) &&
		value.length === 2 &&
		value.every(isCount) &&
		value[0] <= value[1]
	);
}

/** A value from a file, short enough for a message. */
export function show(value: unknown): string {
	let text: string;
	try {
		text = JSON.stringify(value) ?? "nothing";
	} catch {
		// JSON.parse takes any depth, JSON.stringify does not.
		text = "a value nested too deep to print";
	}
	return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}
