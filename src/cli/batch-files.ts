/** The files of run-batch: an input that is measured first, outputs that grow durably. Knows no requests. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Sink } from "../batch/journal.ts";
import { NanoVllmError } from "../errors.ts";

export interface Measured {
	readonly sha256: string;
	readonly numLines: number;
}

const CHUNK_BYTES = 2 ** 18;
const LINE_FEED = 10;

/** @throws invalid_option for what is no file that can be read twice */
export async function measure(
	path: string,
	signal: AbortSignal,
): Promise<Measured> {
	const hash = createHash("sha256");
	let numLines = 0;
	let last = LINE_FEED;
	try {
		if (!(await stat(path)).isFile())
			throw new NanoVllmError(
				"invalid_option",
				`${path} is not a regular file. A batch is read again when it goes on: write it to a file first.`,
			);
		for await (const chunk of chunksOf(path, signal)) {
			hash.update(chunk);
			for (let at = chunk.indexOf(LINE_FEED); at !== -1; numLines++)
				at = chunk.indexOf(LINE_FEED, at + 1);
			last = chunk[chunk.length - 1];
		}
	} catch (cause) {
		if (cause instanceof NanoVllmError) throw cause;
		signal.throwIfAborted();
		throw new NanoVllmError(
			"invalid_option",
			`${path} could not be read (${codeOf(cause)}). --input-file wants a file of JSON Lines.`,
			{ cause },
		);
	}
	if (last !== LINE_FEED) numLines++;
	return { sha256: hash.digest("hex"), numLines };
}

export const chunksOf = (
	path: string,
	signal?: AbortSignal,
): AsyncIterable<Uint8Array> =>
	createReadStream(path, { highWaterMark: CHUNK_BYTES, signal });

export const codeOf = (cause: unknown): string =>
	(cause as NodeJS.ErrnoException)?.code ?? String(cause);

export const outputFailed = (path: string, cause: unknown): NanoVllmError => {
	const code = codeOf(cause);
	const what = code === "ENOSPC" ? `${code}: the disk is full` : code;
	return new NanoVllmError(
		"output_failed",
		`${path} could not be written (${what}). Mend that and start again with the same arguments: it goes on from there.`,
		{ cause },
	);
};

/** A file that is appended to, in whole texts. */
export class GrowingFile implements Sink {
	readonly path: string;
	readonly #handle: FileHandle;
	#length: number;

	private constructor(path: string, handle: FileHandle, length: number) {
		this.path = path;
		this.#handle = handle;
		this.#length = length;
	}

	/** Makes it where there is none. @throws output_failed */
	static async open(path: string): Promise<GrowingFile> {
		try {
			const handle = await open(path, "a+");
			const { size } = await handle.stat();
			await syncFolder(path);
			return new GrowingFile(path, handle, size);
		} catch (cause) {
			throw outputFailed(path, cause);
		}
	}

	/** What it held when it was opened. */
	chunks(): AsyncIterable<Uint8Array> {
		return this.#length === 0 ? nothing() : chunksOf(this.path);
	}

	/** @throws output_failed */
	async cut(numBytes: number): Promise<void> {
		if (numBytes === this.#length) return;
		try {
			await this.#handle.truncate(numBytes);
			await this.#handle.datasync();
			this.#length = numBytes;
		} catch (cause) {
			throw outputFailed(this.path, cause);
		}
	}

	/** What came to the disk of a text that did not fit is cut off again where that can be done. */
	async append(text: string): Promise<void> {
		const bytes = Buffer.from(text);
		try {
			for (let at = 0; at < bytes.length; ) {
				const { bytesWritten } = await this.#handle.write(bytes, at);
				at += bytesWritten;
			}
			await this.#handle.datasync();
			this.#length += bytes.length;
		} catch (cause) {
			await this.#handle.truncate(this.#length).catch(() => {});
			throw outputFailed(this.path, cause);
		}
	}

	async close(): Promise<void> {
		await this.#handle.close();
	}
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** So that a new file's name survives too. Not every system can. */
async function syncFolder(path: string): Promise<void> {
	const folder = await open(dirname(path), "r").catch(() => null);
	await folder?.sync().catch(() => {});
	await folder?.close();
}
