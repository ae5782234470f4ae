/**
 * Reads GGUF's primitives one after another from the beginning of a file, of which only a window is at hand. Little endian.
 * Nothing is allocated on a file's word alone: every length is held against what the file still has first.
 */
import { NanoVllmError } from "../errors.ts";
import type { GgufList, GgufValue } from "./gguf-metadata.ts";
import { bytes, grouped } from "./source.ts";

/** Real headers have up to 30 MB, nearly all of it vocabulary. */
export const MAX_HEADER_BYTES = 128 * 1024 * 1024;
/** Lists inside lists. The format allows them, no known file has any. */
const MAX_NESTING = 8;

/** Thrown where the window ends too soon: the caller reads on, at least to `until`, and parses again. */
export class WindowEnd extends Error {
	readonly until: number;

	constructor(until: number) {
		super("nano-vllm bug: a window's end was not handled");
		this.until = until;
	}
}

export interface Cursor {
	readonly file: string;
	/** The file's first bytes, as far as they are at hand. */
	readonly window: DataView;
	/** Bytes read so far. */
	readonly at: number;
	/** Goes on by `size` bytes. @returns where they begin */
	take(size: number): number;
	u32(): number;
	/** @throws invalid_weights above 2^53 − 1 */
	u64(what: string): number;
	/** A number of things that take `leastBytes` each at least, and so must fit the rest of the file. */
	count(what: string, leastBytes: number): number;
	string(): string;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** GGUF's numbers of value types that are neither string nor list. */
const SCALARS: ReadonlyMap<
	number,
	{
		readonly size: number;
		readonly one: (view: DataView, at: number) => number | bigint | boolean;
		/** From a copy of the bytes, aligned. */
		readonly list: (buffer: ArrayBuffer) => GgufList;
	}
> = new Map([
	scalar(
		0,
		1,
		(v, at) => v.getUint8(at),
		(b) => new Uint8Array(b),
	),
	scalar(
		1,
		1,
		(v, at) => v.getInt8(at),
		(b) => new Int8Array(b),
	),
	scalar(
		2,
		2,
		(v, at) => v.getUint16(at, true),
		(b) => new Uint16Array(b),
	),
	scalar(
		3,
		2,
		(v, at) => v.getInt16(at, true),
		(b) => new Int16Array(b),
	),
	scalar(
		4,
		4,
		(v, at) => v.getUint32(at, true),
		(b) => new Uint32Array(b),
	),
	scalar(
		5,
		4,
		(v, at) => v.getInt32(at, true),
		(b) => new Int32Array(b),
	),
	scalar(
		6,
		4,
		(v, at) => v.getFloat32(at, true),
		(b) => new Float32Array(b),
	),
	scalar(
		7,
		1,
		(v, at) => v.getUint8(at) !== 0,
		(b) => new Uint8Array(b),
	),
	scalar(
		10,
		8,
		(v, at) => safe(v.getBigUint64(at, true)),
		(b) => new BigUint64Array(b),
	),
	scalar(
		11,
		8,
		(v, at) => safe(v.getBigInt64(at, true)),
		(b) => new BigInt64Array(b),
	),
	scalar(
		12,
		8,
		(v, at) => v.getFloat64(at, true),
		(b) => new Float64Array(b),
	),
]);
const STRING = 8;
const LIST = 9;

type Scalar = NonNullable<ReturnType<typeof SCALARS.get>>;

function scalar(
	id: number,
	size: number,
	one: Scalar["one"],
	list: Scalar["list"],
): readonly [number, Scalar] {
	return [id, { size, one, list }];
}

function safe(value: bigint): number | bigint {
	const number = Number(value);
	return Number.isSafeInteger(number) ? number : value;
}

/** @param first the file's first bytes */
export function createCursor(
	file: string,
	first: Uint8Array,
	fileSize: number,
): Cursor {
	const window = new DataView(first.buffer, first.byteOffset, first.length);
	let at = 0;
	const take = (size: number): number => {
		const end = at + size;
		checkEnd(file, at, end, fileSize);
		if (end > first.length) throw new WindowEnd(end);
		const start = at;
		at = end;
		return start;
	};
	const u64 = (what: string): number => {
		const value = window.getBigUint64(take(8), true);
		if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
		throw invalid(
			file,
			`${what} at ${grouped(at - 8)} is ${grouped(value)}, more than can be. The file is damaged; download it again.`,
		);
	};
	const count = (what: string, leastBytes: number): number => {
		const value = u64(what);
		const size = value * leastBytes;
		if (size <= fileSize - at) return value;
		throw cut(file, size, at, fileSize, `${grouped(value)} ${what}`);
	};
	return {
		file,
		window,
		get at() {
			return at;
		},
		take,
		u32: () => window.getUint32(take(4), true),
		u64,
		count,
		string() {
			const length = count("bytes of a string", 1);
			const start = take(length);
			return decoder.decode(first.subarray(start, start + length));
		},
	};
}

/** @throws invalid_weights where the file ends before, or where no header can be so long */
function checkEnd(file: string, at: number, end: number, size: number): void {
	if (end > size) throw cut(file, end - at, at, size);
	if (end > MAX_HEADER_BYTES)
		throw invalid(
			file,
			`wanted a header of at most ${bytes(MAX_HEADER_BYTES)}, got ${bytes(end - at)} more at ${grouped(at)}. The file is damaged; download it again.`,
		);
}

/** A value with the number of its type before it. */
export function readValue(cursor: Cursor): GgufValue {
	return valueOfType(cursor, cursor.u32(), 0);
}

function valueOfType(cursor: Cursor, type: number, depth: number): GgufValue {
	const known = SCALARS.get(type);
	if (known) return known.one(cursor.window, cursor.take(known.size));
	if (type === STRING) return cursor.string();
	if (type === LIST && depth < MAX_NESTING) return readList(cursor, depth);
	throw invalid(
		cursor.file,
		type === LIST
			? `lists are nested deeper than ${MAX_NESTING} at ${grouped(cursor.at)}. The file is damaged; download it again.`
			: `wanted a value type of 0 to 12 before ${grouped(cursor.at)}, got ${type}. The file is damaged, or of a later version than 3.`,
	);
}

function readList(cursor: Cursor, depth: number): GgufList {
	const type = cursor.u32();
	const known = SCALARS.get(type);
	if (known) {
		const size = known.size * cursor.count("list elements", known.size);
		const start = cursor.window.byteOffset + cursor.take(size);
		const copy = cursor.window.buffer.slice(start, start + size);
		return known.list(copy as ArrayBuffer);
	}
	const length = cursor.count("list elements", type === LIST ? 12 : 8);
	const values: GgufValue[] = [];
	for (let i = 0; i < length; i++)
		values.push(valueOfType(cursor, type, depth + 1));
	return values;
}

export function cut(
	file: string,
	size: number,
	at: number,
	fileSize: number,
	what = bytes(size),
): NanoVllmError {
	return invalid(
		file,
		`wanted ${what} at ${grouped(at)}, file has ${bytes(fileSize)}. The download was cut; delete it and load again.`,
	);
}

export function invalid(file: string, message: string): NanoVllmError {
	return new NanoVllmError("invalid_weights", `${file}: ${message}`);
}
