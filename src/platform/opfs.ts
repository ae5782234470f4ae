/**
 * The browser's own disk for this site, the origin private file system, as a FileSystem. Links, which it does not have, are small
 * files named NAME.link that say where they lead. Files are written in place, so that a cut leaves what has come; browsers let only
 * workers do that.
 */
import { NanoVllmError } from "../errors.ts";
import { checkInside, type FileMap, fileMap } from "../weights/source.ts";
import {
	type FileSystem,
	type FileWriter,
	tell as tellIn,
} from "./file-system.ts";
import { createDigest } from "./sha.ts";

/** What of the standard TypeScript does not know. */
interface MovableFile extends FileSystemFileHandle {
	move(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

interface SyncHandle {
	write(data: Uint8Array, options: { at: number }): number;
	truncate(size: number): void;
	flush(): void;
	close(): void;
}

interface WritableFile extends FileSystemFileHandle {
	createSyncAccessHandle(): Promise<SyncHandle>;
}

/** Where models are kept. */
export const KEPT_FOLDER = "/nano-vllm";

const LINK = ".link";
const CHUNK_BYTES = 4 * 1024 * 1024;

const MENDS: Readonly<Record<string, string>> = {
	QuotaExceededError:
		"The browser gives this site no more room. Delete models that are kept (deleteCachedModel), or free some disk.",
	NoModificationAllowedError:
		"It is being written, by this page or another tab. Wait for that, or stop it.",
};

/** null where the browser has none to give: private windows of some, pages that are not secure. */
export async function openRoot(): Promise<FileSystemDirectoryHandle | null> {
	try {
		return await navigator.storage.getDirectory();
	} catch {
		return null;
	}
}

/** Whether files can be written in place here. */
export function canWriteInPlace(): boolean {
	const { FileSystemFileHandle: handle } = globalThis;
	return handle !== undefined && "createSyncAccessHandle" in handle.prototype;
}

/** Asks the browser not to clear this site's files when its disk runs full; it may ask the user. Pages only. */
export async function askToPersist(): Promise<boolean> {
	const { storage } = globalThis.navigator ?? {};
	try {
		return (
			(await storage?.persisted?.()) || (await storage?.persist?.()) || false
		);
	} catch {
		return false;
	}
}

const partsOf = (path: string): string[] => path.split("/").filter(Boolean);

/** null when it is not there, or is a file, or no name of this file system. */
export async function findFolder(
	root: FileSystemDirectoryHandle,
	path: string,
	create = false,
): Promise<FileSystemDirectoryHandle | null> {
	try {
		let folder = root;
		for (const name of partsOf(path))
			folder = await folder.getDirectoryHandle(name, { create });
		return folder;
	} catch (error) {
		if (!create && isAbsent(error)) return null;
		throw error;
	}
}

/** The file itself, links not followed. */
async function findFile(
	root: FileSystemDirectoryHandle,
	path: string,
): Promise<FileSystemFileHandle | null> {
	const names = partsOf(path);
	const name = names.pop() ?? "";
	const folder = await findFolder(root, names.join("/"));
	try {
		return (await folder?.getFileHandle(name)) ?? null;
	} catch (error) {
		if (isAbsent(error)) return null;
		throw error;
	}
}

/** Nothing of that name, something of another kind, or a name that cannot be. */
const isAbsent = (error: unknown): boolean =>
	["NotFoundError", "TypeMismatchError", "TypeError"].includes(
		(error as Error).name,
	);

/** What a path leads to. */
async function resolveFile(
	root: FileSystemDirectoryHandle,
	path: string,
): Promise<File | null> {
	const file = await findFile(root, path);
	if (file !== null) return file.getFile();
	const link = await findFile(root, path + LINK);
	if (link === null) return null;
	const target = await (await link.getFile()).text();
	return (await (await findFile(root, target))?.getFile()) ?? null;
}

/** Every file below a folder, relative. */
export async function* walk(
	folder: FileSystemDirectoryHandle,
	before = "",
): AsyncGenerator<{ path: string; handle: FileSystemFileHandle }> {
	for await (const handle of folder.values()) {
		const path = before + handle.name;
		if (handle.kind === "file")
			yield { path, handle: handle as FileSystemFileHandle };
		else yield* walk(handle as FileSystemDirectoryHandle, `${path}/`);
	}
}

async function listFiles(
	root: FileSystemDirectoryHandle,
	path: string,
): Promise<string[]> {
	const folder = await findFolder(root, path);
	const found: string[] = [];
	if (folder === null) return found;
	for await (const { path: name } of walk(folder)) {
		const plain = name.endsWith(LINK) ? name.slice(0, -LINK.length) : name;
		if (plain === name || (await resolveFile(root, `${path}/${plain}`)))
			found.push(plain);
	}
	return found.sort();
}

/** A folder's files, read by ranges. @throws model_not_found */
export async function opfsFolder(path: string): Promise<FileMap> {
	const root = await openRoot();
	const names = root === null ? [] : await listFiles(root, path);
	if (root === null || names.length === 0)
		throw new NanoVllmError(
			"model_not_found",
			`${path}: this browser keeps no such model. Give a URL, an id of the hub, or files.`,
		);
	const files = new Map<string, File>();
	for (const name of names) {
		checkInside(path, name);
		const file = await resolveFile(root, `${path}/${name}`);
		if (file !== null) files.set(name, file);
	}
	return fileMap(path, files);
}

/** Runs an operation; what the browser says becomes download_failed. */
const tell = <T>(
	verb: string,
	path: string,
	run: () => Promise<T>,
): Promise<T> =>
	tellIn(verb, path, run, (cause) => {
		const { name, message } = cause as Error;
		const mend =
			MENDS[name] ?? "Try again; if it stays, clear this site's data.";
		return { said: `${name}: ${message}`, mend };
	});

async function createFile(
	root: FileSystemDirectoryHandle,
	path: string,
): Promise<WritableFile> {
	const names = partsOf(path);
	const name = names.pop() ?? "";
	const folder = await findFolder(root, names.join("/"), true);
	return (await folder?.getFileHandle(name, { create: true })) as WritableFile;
}

function writerOver(path: string, handle: SyncHandle): FileWriter {
	return {
		write: (position, data) =>
			tell("written", path, async () => {
				for (let at = 0; at < data.byteLength; )
					at += handle.write(data.subarray(at), { at: position + at });
			}),
		truncate: (size) => tell("cut", path, async () => handle.truncate(size)),
		async close() {
			handle.flush();
			handle.close();
		},
	};
}

export function opfsFiles(root: FileSystemDirectoryHandle): FileSystem {
	const openWriter = (path: string) =>
		tell("opened", path, async () => {
			const file = await createFile(root, path);
			return writerOver(path, await file.createSyncAccessHandle());
		});
	const rename = (from: string, to: string) =>
		tell("moved", from, async () => {
			const file = (await findFile(root, from)) as MovableFile | null;
			if (file === null) return false;
			const names = partsOf(to);
			const name = names.pop() ?? "";
			const folder = await findFolder(root, names.join("/"), true);
			// Two tabs that move to the same place at once: the browser refuses one.
			await navigator.locks.request(`nano-vllm:${to}`, async () => {
				if (folder !== null) await file.move(folder, name);
			});
			return true;
		});
	const writeText = async (path: string, text: string) => {
		const temporary = `${path}.${crypto.randomUUID()}.tmp`;
		const data = new TextEncoder().encode(text);
		const writer = await openWriter(temporary);
		await writer.write(0, data);
		await writer.truncate(data.byteLength);
		await writer.close();
		await rename(temporary, path);
	};
	return {
		homeFolder: "",
		roomMend:
			"Delete models that are kept (deleteCachedModel), or free some disk: browsers give a site a share of it.",
		stat: (path) =>
			tell("looked at", path, async () => {
				const file = await resolveFile(root, path);
				// A writer holds the lock: who asks, has it, so nobody writes.
				return file && { size: file.size, modifiedMs: 0 };
			}),
		readText: (path) =>
			tell("read", path, async () => {
				const file = await resolveFile(root, path);
				return file && (await file.text());
			}),
		writeText,
		listFiles: (folder) =>
			tell("listed", folder, () => listFiles(root, folder)),
		readChunks: (path, size) => readChunks(root, path, size),
		openWriter,
		async markIdle() {},
		rename,
		remove: (path) =>
			tell("removed", path, async () => {
				await removeEntry(root, path);
				await removeEntry(root, path + LINK);
			}),
		link: (target, path) => writeText(path + LINK, target),
		freeBytes,
		createDigest,
		async withLock(path, signal, run) {
			const { locks } = navigator;
			// Loose types: what the callback gives is what comes back.
			return (await locks.request(
				`nano-vllm:${path}`,
				{ signal },
				run,
			)) as Awaited<ReturnType<typeof run>>;
		},
	};
}

/** A file, or a folder with all in it. Absent is fine. */
export async function removeEntry(
	root: FileSystemDirectoryHandle,
	path: string,
): Promise<void> {
	const names = partsOf(path);
	const name = names.pop() ?? "";
	const folder = await findFolder(root, names.join("/"));
	try {
		await folder?.removeEntry(name, { recursive: true });
	} catch (error) {
		if ((error as Error).name !== "NotFoundError") throw error;
	}
}

async function* readChunks(
	root: FileSystemDirectoryHandle,
	path: string,
	size: number,
): AsyncGenerator<Uint8Array> {
	const file = await resolveFile(root, path);
	const end = Math.min(size, file?.size ?? 0);
	for (let at = 0; file !== null && at < end; at += CHUNK_BYTES) {
		const part = file.slice(at, Math.min(at + CHUNK_BYTES, end));
		yield new Uint8Array(await part.arrayBuffer());
	}
}

/** What this site may still write; undefined where nobody can say. */
export async function freeBytes(): Promise<number | undefined> {
	const { quota, usage } = await navigator.storage.estimate();
	return quota === undefined ? undefined : quota - (usage ?? 0);
}
