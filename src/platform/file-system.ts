/** The few file operations a download cache needs. Paths use "/" on every system. Knows nothing of hubs. */
import { NanoVllmError } from "../errors.ts";

export interface FileStats {
	readonly size: number;
	/** Milliseconds since 1970; 0 where a writer has said that it is done (`markIdle`). */
	readonly modifiedMs: number;
}

/** A file that is written at any place, so that two writers of the same bytes do no harm. */
export interface FileWriter {
	write(position: number, data: Uint8Array): Promise<void>;
	truncate(size: number): Promise<void>;
	close(): Promise<void>;
}

export interface Digest {
	update(data: Uint8Array): void;
	hex(): string;
}

/** Every operation throws download_failed where the system refuses: no room, no permission, a broken disk. */
export interface FileSystem {
	readonly homeFolder: string;
	/** What to do where there is no room left. */
	readonly roomMend: string;
	/** Of what the path leads to, links followed; null when absent. */
	stat(path: string): Promise<FileStats | null>;
	/** null when absent. */
	readText(path: string): Promise<string | null>;
	/** Whole or not at all; folders on the way are made. */
	writeText(path: string, text: string): Promise<void>;
	/** Files below the folder, relative, sorted; none when it is absent. Links to nothing are left out. */
	listFiles(folder: string): Promise<readonly string[]>;
	/** The first `size` bytes, or what there is of them. */
	readChunks(path: string, size: number): AsyncIterable<Uint8Array>;
	/** An existing file keeps its content; folders on the way are made. */
	openWriter(path: string): Promise<FileWriter>;
	/** Says that nobody writes the file any more. */
	markIdle(path: string): Promise<void>;
	/** Replaces `to`. @returns false where `from` is not there */
	rename(from: string, to: string): Promise<boolean>;
	/** Absent is fine. */
	remove(path: string): Promise<void>;
	/** Makes `path` lead to the file `target` by a relative link, or by a hard link where the system forbids those. */
	link(target: string, path: string): Promise<void>;
	/** Room left on the disk of the nearest folder that exists, undefined where nobody can say. */
	freeBytes(path: string): Promise<number | undefined>;
	/** Runs `run` while nobody else does for this path, where the system has locks for that; where it has none, at once. */
	withLock<T>(
		path: string,
		signal: AbortSignal | undefined,
		run: () => Promise<T>,
	): Promise<T>;
	createDigest(algorithm: "sha1" | "sha256"): Digest;
}

/** Runs an operation; what the system says becomes download_failed, in the words of `explain`: its name for it, and the mend. */
export async function tell<T>(
	verb: string,
	path: string,
	run: () => Promise<T>,
	explain: (cause: unknown) => { readonly said: string; readonly mend: string },
): Promise<T> {
	try {
		return await run();
	} catch (cause) {
		const { said, mend } = explain(cause);
		throw new NanoVllmError(
			"download_failed",
			`${path}: could not be ${verb} (${said}). ${mend}`,
			{ cause },
		);
	}
}
