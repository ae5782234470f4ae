/** The file system of Node. Knows nothing of what files mean; what the system refuses becomes an error that says how to mend it. */
import { createHash, randomUUID } from "node:crypto";
import {
	link as hardLink,
	mkdir,
	open,
	readdir,
	readFile,
	rename,
	rm,
	stat,
	statfs,
	symlink,
	utimes,
	writeFile,
} from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import {
	type FileSystem,
	type FileWriter,
	tell as tellIn,
} from "./file-system.ts";

const MENDS: Readonly<Record<string, string>> = {
	ENOSPC: "The disk is full. Free some room, or set HF_HOME to another disk.",
	EDQUOT:
		"Your quota is used up. Free some room, or set HF_HOME to another disk.",
	EACCES: "Check who owns the folder, or set HF_HOME to one of your own.",
	EPERM: "Check who owns the folder, or set HF_HOME to one of your own.",
	EROFS: "The disk is read-only. Set HF_HOME to another one.",
	EMFILE: "Too many files are open. Raise the limit (ulimit -n).",
};

const CHUNK_BYTES = 4 * 1024 * 1024;

const codeOf = (error: unknown): string | undefined =>
	(error as NodeJS.ErrnoException).code;

const isAbsent = (error: unknown): boolean =>
	codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";

/** Runs an operation; what the system says becomes download_failed. */
const tell = <T>(
	verb: string,
	path: string,
	run: () => Promise<T>,
): Promise<T> =>
	tellIn(verb, path, run, (cause) => {
		const said = codeOf(cause) ?? String(cause);
		return { said, mend: MENDS[said] ?? "Check the disk, then try again." };
	});

/** The result, or `fallback` where there is no such file. */
async function unlessAbsent<T, F>(
	run: () => Promise<T>,
	fallback: F,
): Promise<T | F> {
	try {
		return await run();
	} catch (error) {
		if (isAbsent(error)) return fallback;
		throw error;
	}
}

export const nodeFiles: FileSystem = {
	homeFolder: homedir(),
	roomMend: "Free some room, or set HF_HOME to another disk.",
	stat: (path) =>
		tell("looked at", path, () =>
			unlessAbsent(async () => {
				const { size, mtimeMs } = await stat(path);
				return { size, modifiedMs: mtimeMs };
			}, null),
		),
	readText: (path) =>
		tell("read", path, () => unlessAbsent(() => readFile(path, "utf8"), null)),
	writeText: (path, text) =>
		tell("written", path, async () => {
			await mkdir(dirname(path), { recursive: true });
			const temporary = `${path}.${randomUUID()}.tmp`;
			await writeFile(temporary, text);
			await rename(temporary, path);
		}),
	listFiles: (folder) => tell("listed", folder, () => listFiles(folder)),
	readChunks,
	openWriter: (path) => tell("opened", path, () => openWriter(path)),
	async markIdle(path) {
		await utimes(path, new Date(), new Date(0)).catch(() => {});
	},
	rename: (from, to) =>
		tell("moved", from, () =>
			unlessAbsent(async () => {
				await rename(from, to);
				return true;
			}, false),
		),
	remove: (path) => tell("removed", path, () => rm(path, { force: true })),
	link: (target, path) => tell("linked", path, () => linkFile(target, path)),
	freeBytes,
	withLock: (_path, _signal, run) => run(),
	createDigest(algorithm) {
		const hash = createHash(algorithm);
		return {
			update: (data) => void hash.update(data),
			hex: () => hash.digest("hex"),
		};
	},
};

async function listFiles(folder: string): Promise<string[]> {
	const entries = await unlessAbsent(
		() => readdir(folder, { recursive: true, withFileTypes: true }),
		[],
	);
	const found: string[] = [];
	for (const entry of entries) {
		const path = join(entry.parentPath, entry.name);
		const stats = await unlessAbsent(() => stat(path), null);
		if (stats?.isFile())
			found.push(relative(folder, path).split(sep).join("/"));
	}
	return found.sort();
}

async function* readChunks(
	path: string,
	size: number,
): AsyncGenerator<Uint8Array> {
	const handle = await tell("opened", path, () => open(path));
	try {
		for (let at = 0; at < size; ) {
			const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - at));
			const { bytesRead } = await tell("read", path, () =>
				handle.read(chunk, 0, chunk.length, at),
			);
			if (bytesRead === 0) return;
			yield chunk.subarray(0, bytesRead);
			at += bytesRead;
		}
	} finally {
		await handle.close();
	}
}

async function openWriter(path: string): Promise<FileWriter> {
	await mkdir(dirname(path), { recursive: true });
	// Not "a": on Linux an appending file ignores positions.
	await (await open(path, "a")).close();
	const handle = await open(path, "r+");
	return {
		write: (position, data) =>
			tell("written", path, async () => {
				for (let at = 0; at < data.byteLength; ) {
					const rest = data.byteLength - at;
					const place = position + at;
					at += (await handle.write(data, at, rest, place)).bytesWritten;
				}
			}),
		truncate: (size) => tell("cut", path, () => handle.truncate(size)),
		close: () => handle.close(),
	};
}

/** Made beside its place and moved there, so that a reader finds the old one or the new one. */
async function linkFile(target: string, path: string): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	const temporary = `${path}.${randomUUID()}.tmp`;
	const way = relative(dirname(path), target);
	try {
		await symlink(way, temporary);
	} catch {
		// Windows lets only some users make symbolic links.
		await hardLink(target, temporary);
	}
	await rename(temporary, path);
}

async function freeBytes(path: string): Promise<number | undefined> {
	for (let folder = path; ; folder = dirname(folder)) {
		try {
			const { bavail, bsize } = await statfs(folder);
			return bavail * bsize;
		} catch (error) {
			if (!isAbsent(error) || dirname(folder) === folder) return undefined;
		}
	}
}
