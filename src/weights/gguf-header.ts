/**
 * The header of one GGUF file: metadata and tensors, every claim checked. Knows no models and no other files of a split.
 * The format (versions 2 and 3): https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { StoredDtype } from "../backends/backend.ts";
import { NanoVllmError } from "../errors.ts";
import { GGML_TYPES } from "./ggml-types.ts";
import {
	type Cursor,
	createCursor,
	cut,
	invalid,
	readValue,
	WindowEnd,
} from "./gguf-cursor.ts";
import {
	createMetadata,
	type GgufMetadata,
	type GgufValue,
} from "./gguf-metadata.ts";
import { show } from "./safetensors-header.ts";
import { bytes, grouped, type RandomAccessFile } from "./source.ts";

/** Enough for every header without a vocabulary; larger ones are read in windows that double. */
const FIRST_WINDOW_BYTES = 1024 * 1024;
const MAGIC = 0x46554747; // "GGUF"
const MAX_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;
/** Bytes that the shortest entry takes: an empty key with a byte; an empty name without dimensions. */
const LEAST_ENTRY_BYTES = 13;
const LEAST_TENSOR_BYTES = 24;

/** One tensor's place in a file. */
export interface GgufTensor {
	readonly name: string;
	/** As ggml spells it, or "type N" for a number we do not know. */
	readonly type: string;
	/** null: a type we do not run. */
	readonly dtype: StoredDtype | null;
	/** As checkpoints have it: the last dimension is the contiguous one. */
	readonly shape: readonly number[];
	/** From the file's start. */
	readonly offset: number;
	/** 0 for types of unknown size. */
	readonly byteLength: number;
}

export interface GgufHeader {
	readonly metadata: GgufMetadata;
	readonly tensors: readonly GgufTensor[];
}

/**
 * Reads as much of the file as the header takes, at most MAX_HEADER_BYTES; what comes of it takes a few times that at most.
 * @throws invalid_weights, unsupported_model
 */
export async function readGgufHeader(
	file: RandomAccessFile,
	signal?: AbortSignal,
): Promise<GgufHeader> {
	let window = await file.read(
		0,
		Math.min(FIRST_WINDOW_BYTES, file.size),
		signal,
	);
	for (;;) {
		try {
			return parseGgufHeader(file.name, window, file.size);
		} catch (end) {
			if (!(end instanceof WindowEnd)) throw end;
			const size = Math.min(file.size, Math.max(end.until, 2 * window.length));
			const more = await file.read(window.length, size - window.length, signal);
			const larger = new Uint8Array(size);
			larger.set(window);
			larger.set(more, window.length);
			window = larger;
		}
	}
}

/** @throws WindowEnd where the header goes on behind the window; invalid_weights, unsupported_model */
export function parseGgufHeader(
	file: string,
	window: Uint8Array,
	fileSize: number,
): GgufHeader {
	const cursor = createCursor(file, window, fileSize);
	checkVersion(file, cursor);
	const numTensors = cursor.count("tensors", LEAST_TENSOR_BYTES);
	const numEntries = cursor.count("metadata entries", LEAST_ENTRY_BYTES);
	const metadata = createMetadata(file, readEntries(file, cursor, numEntries));
	const alignment = alignmentOf(metadata);
	const claims = readClaims(file, cursor, numTensors);
	const dataStart = Math.ceil(cursor.at / alignment) * alignment;
	const tensors = claims.map((claim) =>
		locate(file, claim, dataStart, alignment, fileSize),
	);
	checkNames(file, tensors);
	checkOverlap(file, tensors);
	return { metadata, tensors };
}

function checkVersion(file: string, cursor: Cursor): void {
	const magic = cursor.u32();
	if (magic !== MAGIC)
		throw invalid(
			file,
			`wanted a file that begins with "GGUF", got bytes ${magic.toString(16).padStart(8, "0")}. This is not a GGUF file, or it is damaged.`,
		);
	const version = cursor.u32();
	if (version === 2 || version === 3) return;
	const isSwapped = (version & 0xffff) === 0;
	const mend = isSwapped
		? "It is big endian: convert it with gguf-convert-endian"
		: version < 2
			? "Convert the model again with a current llama.cpp"
			: "It is newer than this engine: convert the model with an older llama.cpp";
	throw new NanoVllmError(
		"unsupported_model",
		`${file}: wanted GGUF version 2 or 3, little endian, got version ${isSwapped ? version >>> 24 : version}. ${mend}.`,
	);
}

function readEntries(
	file: string,
	cursor: Cursor,
	count: number,
): Map<string, GgufValue> {
	const entries = new Map<string, GgufValue>();
	for (let i = 0; i < count; i++) {
		const key = cursor.string();
		if (entries.has(key))
			throw invalid(
				file,
				`metadata ${show(key)} is there twice. The file was written wrongly; get it again from its source.`,
			);
		entries.set(key, readValue(cursor));
	}
	return entries;
}

function alignmentOf(metadata: GgufMetadata): number {
	const value = metadata.number("general.alignment") ?? DEFAULT_ALIGNMENT;
	if (
		Number.isInteger(value) &&
		value > 0 &&
		value <= 2 ** 31 &&
		(value & (value - 1)) === 0
	)
		return value;
	throw invalid(
		metadata.file,
		`general.alignment: wanted a power of two, got ${value}. The file is damaged; download it again.`,
	);
}

interface Claim {
	readonly name: string;
	/** ggml's order: the first is the contiguous one. */
	readonly dimensions: readonly number[];
	readonly type: number;
	readonly offset: number;
}

function readClaims(file: string, cursor: Cursor, count: number): Claim[] {
	const claims: Claim[] = [];
	for (let i = 0; i < count; i++) {
		const name = cursor.string();
		const rank = cursor.u32();
		if (rank > MAX_DIMENSIONS)
			throw invalid(
				`${file}: ${show(name)}`,
				`wanted at most ${MAX_DIMENSIONS} dimensions, got ${grouped(rank)}. The file is damaged; download it again.`,
			);
		const dimensions: number[] = [];
		for (let d = 0; d < rank; d++)
			dimensions.push(cursor.u64(`dimension ${d} of ${show(name)}`));
		const type = cursor.u32();
		const offset = cursor.u64(`the offset of ${show(name)}`);
		claims.push({ name, dimensions, type, offset });
	}
	return claims;
}

function locate(
	file: string,
	{ name, dimensions, type, offset: from }: Claim,
	dataStart: number,
	alignment: number,
	fileSize: number,
): GgufTensor {
	const where = `${file}: ${show(name)}`;
	if (from % alignment !== 0)
		throw invalid(
			where,
			`wanted an offset that is a multiple of ${alignment}, got ${grouped(from)}. The file was written wrongly; get it again from its source.`,
		);
	const known = GGML_TYPES.get(type);
	const shape = dimensions.toReversed();
	const byteLength = known ? sizeOf(where, shape, known) : 0;
	const offset = dataStart + from;
	if (offset + byteLength > fileSize)
		throw cut(where, byteLength, offset, fileSize);
	return {
		name,
		type: known?.name ?? `type ${type}`,
		dtype: known?.dtype ?? null,
		shape,
		offset,
		byteLength,
	};
}

function sizeOf(
	where: string,
	shape: readonly number[],
	{
		name,
		blockElements,
		blockBytes,
	}: { name: string; blockElements: number; blockBytes: number },
): number {
	const columns = shape.at(-1) ?? 1;
	if (columns % blockElements !== 0)
		throw invalid(
			where,
			`wanted rows of whole ${name} blocks of ${blockElements}, got ${grouped(columns)} columns. The file is damaged; download it again.`,
		);
	let size = blockBytes / blockElements;
	for (const length of shape) size *= length;
	if (Number.isSafeInteger(size)) return size;
	throw invalid(
		where,
		`shape ${show(shape)} is more than can be counted. The file is damaged; download it again.`,
	);
}

function checkNames(file: string, tensors: readonly GgufTensor[]): void {
	const seen = new Set<string>();
	for (const { name } of tensors) {
		if (seen.has(name))
			throw invalid(
				file,
				`tensor ${show(name)} is there twice. The file was written wrongly; get it again from its source.`,
			);
		seen.add(name);
	}
}

function checkOverlap(file: string, tensors: readonly GgufTensor[]): void {
	const sorted = tensors.toSorted(
		(a, b) => a.offset - b.offset || a.byteLength - b.byteLength,
	);
	let end = 0;
	let before = "";
	for (const { name, offset, byteLength } of sorted) {
		if (byteLength > 0 && offset < end)
			throw invalid(
				`${file}: ${show(name)}`,
				`begins at ${grouped(offset)}, inside ${show(before)}, which ends at ${grouped(end)}. The file is damaged; download it again (${bytes(byteLength)}).`,
			);
		if (offset + byteLength > end) {
			end = offset + byteLength;
			before = name;
		}
	}
}
