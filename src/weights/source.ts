/**
 * Where a model's files come from: bytes in memory, a page's dropped files, a web server with range requests.
 * Knows nothing of what is in the files. A local directory is in platform/node.ts.
 */
import { NanoVllmError } from "../errors.ts";

/** A file of fixed size that can be read anywhere. The caller owns every array that `read` gives. */
export interface RandomAccessFile {
	readonly name: string;
	readonly size: number;
	/** Exactly `length` bytes from `offset`, at byteOffset 0 of an array of their own. @throws invalid_weights when they are not there, aborted */
	read(
		offset: number,
		length: number,
		signal?: AbortSignal,
	): Promise<Uint8Array>;
	close(): Promise<void>;
}

/** A model's folder. Paths are relative, separated by "/". */
export interface ModelFiles {
	/** Names the folder in messages. */
	readonly label: string;
	/** Files directly in the folder, sorted. */
	list(): Promise<readonly string[]>;
	/** The file as UTF-8 text, null when absent. @throws invalid_model_config over `maxBytes` or not UTF-8 */
	readText(path: string, maxBytes?: number): Promise<string | null>;
	/** null when absent. */
	open(path: string): Promise<RandomAccessFile | null>;
}

/** The largest tokenizer.json we know of has 35 MB; anything far above is a mistake. */
export const maxTextBytes = 256 * 1024 * 1024;

/** True for a relative path that stays inside its folder, read by any system's rules. */
export function isInside(path: string): boolean {
	if (path === "" || /[\\\0:]/.test(path)) return false;
	return path
		.split("/")
		.every((part) => part !== "" && part !== "." && part !== "..");
}

/** @throws model_not_found when `path` leaves the folder */
export function checkInside(label: string, path: string): void {
	if (isInside(path)) return;
	throw new NanoVllmError(
		"model_not_found",
		`${label}: wanted a path inside the model's folder, got ${JSON.stringify(path)}. Give a relative path without "..", ":" or backslashes.`,
	);
}

/** @throws aborted */
export function throwIfAborted(
	signal: AbortSignal | undefined,
	what: string,
): void {
	if (!signal?.aborted) return;
	throw new NanoVllmError("aborted", `${what}: reading was aborted.`, {
		cause: signal.reason,
	});
}

/** A fresh array. @throws out_of_memory instead of the engine's RangeError */
export function allocateBytes(
	name: string,
	length: number,
): Uint8Array<ArrayBuffer> {
	try {
		return new Uint8Array(length);
	} catch (cause) {
		throw new NanoVllmError(
			"out_of_memory",
			`${name}: no memory for ${bytes(length)} in one piece. Read fewer rows at a time or use a smaller model.`,
			{ cause },
		);
	}
}

/** @throws invalid_weights when [offset, offset + length) is not inside the file */
export function checkSpan(
	name: string,
	size: number,
	offset: number,
	length: number,
): void {
	if (offset >= 0 && length >= 0 && offset + length <= size) return;
	throw new NanoVllmError(
		"invalid_weights",
		`${name}: wanted ${bytes(length)} at ${grouped(offset)}, file has ${bytes(size)}. The download was cut; delete it and load again.`,
	);
}

/** @throws invalid_model_config */
export function checkTextSize(
	name: string,
	size: number,
	maxBytes: number,
): void {
	if (size <= maxBytes) return;
	throw new NanoVllmError(
		"invalid_model_config",
		`${name}: wanted a text file of at most ${bytes(maxBytes)}, got ${bytes(size)}. Is it the right file?`,
	);
}

/** @throws invalid_model_config when the bytes are not UTF-8 */
export function decodeText(name: string, data: Uint8Array): string {
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(data);
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_model_config",
			`${name}: wanted UTF-8 text, got other bytes. The file is damaged; delete it and load again.`,
			{ cause },
		);
	}
}

/** 1234567 → "1,234,567" */
export function grouped(count: number | bigint): string {
	return count.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export function bytes(count: number | bigint): string {
	return `${grouped(count)} ${BigInt(count) === 1n ? "byte" : "bytes"}`;
}

/** ModelFiles over contents that can cross to another thread. */
export interface FileMap extends ModelFiles {
	readonly contents: ReadonlyMap<string, Uint8Array | Blob>;
}

/** Files held in memory or dropped on a page, by name. */
export function fileMap(
	label: string,
	files: ReadonlyMap<string, Uint8Array | Blob>,
): FileMap {
	return {
		label,
		contents: files,
		async list() {
			return [...files.keys()].filter((name) => !name.includes("/")).sort();
		},
		async readText(path, maxBytes = maxTextBytes) {
			checkInside(label, path);
			const content = files.get(path);
			if (content === undefined) return null;
			checkTextSize(path, sizeOf(content), maxBytes);
			return decodeText(path, await readPart(path, content, 0, undefined));
		},
		async open(path) {
			checkInside(label, path);
			const content = files.get(path);
			return content === undefined ? null : memoryFile(path, content);
		},
	};
}

function memoryFile(
	name: string,
	content: Uint8Array | Blob,
): RandomAccessFile {
	const size = sizeOf(content);
	return {
		name,
		size,
		async read(offset, length, signal) {
			throwIfAborted(signal, name);
			checkSpan(name, size, offset, length);
			const part = await readPart(name, content, offset, offset + length);
			throwIfAborted(signal, name);
			return part;
		},
		async close() {},
	};
}

function sizeOf(content: Uint8Array | Blob): number {
	return content instanceof Uint8Array ? content.byteLength : content.size;
}

async function readPart(
	name: string,
	content: Uint8Array | Blob,
	start: number,
	end: number | undefined,
): Promise<Uint8Array> {
	// Not content.slice(): a Node Buffer's slice is a view.
	if (content instanceof Uint8Array)
		return new Uint8Array(content.subarray(start, end));
	try {
		return new Uint8Array(await content.slice(start, end).arrayBuffer());
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_weights",
			`${name}: the file can no longer be read. It was moved or changed since it was chosen; choose it again.`,
			{ cause },
		);
	}
}
