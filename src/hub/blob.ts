/**
 * Brings one file of the hub into the cache, whole and verified: written to ETAG.incomplete, continued there after a cut, renamed
 * when its checksum is right. Two processes that want the same file share the work: one writes, the other waits. Should both
 * come to write, they write the same bytes to the same places.
 */
import { NanoVllmError } from "../errors.ts";
import type {
	Digest,
	FileSystem,
	FileWriter,
} from "../platform/file-system.ts";
import { bytes, grouped } from "../weights/source.ts";
import type { RepoFile } from "./repo-file.ts";
import {
	aborted,
	ask,
	type Hub,
	MAX_RETRIES,
	Transient,
	unreachable,
	withRetries,
} from "./request.ts";

export interface DiskHub extends Hub {
	readonly files: FileSystem;
}

export interface BlobRequest {
	/** `etag` as the hub's, a checksum; null: there is none, and the size must do. */
	readonly file: Pick<RepoFile, "size"> & { readonly etag: string | null };
	/** Where to get it. */
	readonly url: string;
	/** Where it shall lie. */
	readonly blob: string;
	readonly signal?: AbortSignal;
	/** Bytes of the file that are here now; may go back. */
	readonly report: (loadedBytes: number) => void;
}

/** A partial file that has not changed for so long has been left by its writer. */
const ABANDONED_MS = 5000;
const POLL_MS = 200;

/** @throws download_failed, access_denied, model_not_found, aborted */
export async function fetchBlob(
	hub: DiskHub,
	request: BlobRequest,
): Promise<void> {
	const { blob, signal } = request;
	const partial = `${blob}.incomplete`;
	const run = () => fetchLocked(hub, request, partial);
	try {
		await hub.files.withLock(partial, signal, run);
	} catch (error) {
		throw aborted(error, signal);
	}
}

async function fetchLocked(
	hub: DiskHub,
	request: BlobRequest,
	partial: string,
): Promise<void> {
	const { file, blob, report } = request;
	const isThere = () => isWhole(hub.files, blob, file.size);
	for (let isFirst = true; ; isFirst = false) {
		await untilAbandoned(hub, request, partial);
		if (await isThere()) break;
		if ((await transfer(hub, request, partial)) === "right") {
			// Where it is gone, another writer of the same bytes has moved it.
			await hub.files.rename(partial, blob);
			if (await isThere()) break;
		} else {
			await hub.files.remove(partial);
			report(0);
			if (!isFirst) throw wrongChecksum(file.etag, request.url);
		}
	}
	report(file.size);
}

export async function isWhole(
	files: FileSystem,
	path: string,
	size: number,
): Promise<boolean> {
	return (await files.stat(path))?.size === size;
}

/** Waits while somebody else writes the partial file. */
async function untilAbandoned(
	{ files, wait }: DiskHub,
	{ file, blob, signal, report }: BlobRequest,
	partial: string,
): Promise<void> {
	let seen = "";
	for (let stillMs = 0; stillMs < ABANDONED_MS; stillMs += POLL_MS) {
		const stats = await files.stat(partial);
		if (stats === null || stats.modifiedMs === 0) return;
		if (Math.abs(Date.now() - stats.modifiedMs) > ABANDONED_MS) return;
		const now = `${stats.size} ${stats.modifiedMs}`;
		if (now !== seen) stillMs = 0;
		seen = now;
		report(Math.min(stats.size, file.size));
		await wait(POLL_MS, signal);
		if (await isWhole(files, blob, file.size)) return;
	}
}

/** Fills the partial file from where it ends. @returns whether its checksum is the file's */
async function transfer(
	hub: DiskHub,
	request: BlobRequest,
	partial: string,
): Promise<"right" | "wrong"> {
	const { file, signal, report } = request;
	const { files } = hub;
	const writer = await files.openWriter(partial);
	try {
		let digest = startDigest(files, file);
		let position = 0;
		const take = (data: Uint8Array) => {
			digest.update(data);
			position += data.byteLength;
			report(position);
		};
		const restart = () => {
			digest = startDigest(files, file);
			position = 0;
		};
		const present = (await files.stat(partial))?.size ?? 0;
		if (present <= file.size)
			for await (const chunk of files.readChunks(partial, present)) {
				signal?.throwIfAborted();
				take(chunk);
			}
		await withRetries(hub, signal, MAX_RETRIES, async (tries) => {
			while (position < file.size) {
				const before = position;
				try {
					await transferOnce(hub, request, writer, position, take, restart);
				} finally {
					if (position > before) tries.count = 0;
				}
			}
		});
		await writer.truncate(file.size);
		const isRight = file.etag === null || digest.hex() === file.etag;
		return isRight ? "right" : "wrong";
	} catch (error) {
		await files.markIdle(partial);
		throw error;
	} finally {
		await writer.close();
	}
}

/** One answer's worth of bytes from `position` on. @throws Transient when it ends early */
async function transferOnce(
	hub: DiskHub,
	{ file, url, signal }: BlobRequest,
	writer: FileWriter,
	position: number,
	take: (data: Uint8Array) => void,
	restart: () => void,
): Promise<void> {
	const headers: Record<string, string> = { "Accept-Encoding": "identity" };
	if (position > 0) headers.Range = `bytes=${position}-`;
	const { response, touch, stop } = await ask(hub, url, { headers, signal });
	const reader = response.body?.getReader();
	try {
		const [first, end] = spanOf(response, url, file);
		if (first === 0 && position > 0) restart();
		else if (first !== position) throw wrongSpan(response, url, position);
		let at = first;
		for (;;) {
			const { done, value } = (await reader?.read()) ?? { done: true };
			if (done || value === undefined) break;
			touch();
			if (at + value.byteLength > end) throw tooLong(file, url);
			await writer.write(at, value);
			take(value);
			at += value.byteLength;
		}
		if (at < end) throw unreachable(url, new Error("the transfer was cut"));
	} catch (error) {
		if (error instanceof NanoVllmError || error instanceof Transient)
			throw error;
		signal?.throwIfAborted();
		throw unreachable(url, error);
	} finally {
		stop();
		await reader?.cancel().catch(() => {});
	}
}

/** The bytes an answer says it brings, [first, end). */
function spanOf(
	response: Response,
	url: string,
	{ size }: BlobRequest["file"],
): [first: number, end: number] {
	if (response.status === 200) return [0, size];
	const header = response.headers.get("Content-Range") ?? "";
	const [, first, last, total] =
		/^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header) ?? [];
	if (response.status === 206 && Number(total) === size)
		return [Number(first), Number(last) + 1];
	throw new NanoVllmError(
		"download_failed",
		`${url}: wanted a part of ${bytes(size)}, got ${response.status} with "${header}". The file changed on the hub, or a proxy is broken; try again.`,
	);
}

function wrongSpan(response: Response, url: string, position: number): Error {
	const header = response.headers.get("Content-Range");
	return new NanoVllmError(
		"download_failed",
		`${url}: wanted bytes from ${grouped(position)} on, got "${header}". A proxy on the way is broken; try again.`,
	);
}

function tooLong({ size }: BlobRequest["file"], url: string): NanoVllmError {
	return new NanoVllmError(
		"download_failed",
		`${url}: wanted ${bytes(size)}, got more. A proxy answers in the hub's place, or the file changed; try again.`,
	);
}

function wrongChecksum(etag: string | null, url: string): NanoVllmError {
	return new NanoVllmError(
		"download_failed",
		`${url}: came twice with another checksum than the hub's ${etag}. Something on the way changes it; try another network or HF_ENDPOINT.`,
	);
}

/** SHA-256 of the content where the hub tells that; else git's SHA-1, of "blob SIZE", a zero byte and the content. */
function startDigest(
	files: FileSystem,
	{ etag, size }: BlobRequest["file"],
): Digest {
	if (etag === null) return { update() {}, hex: () => "" };
	if (etag.length === 64) return files.createDigest("sha256");
	const digest = files.createDigest("sha1");
	digest.update(new TextEncoder().encode(`blob ${size}\0`));
	return digest;
}
