/** What a repository's listing says, checked: names and checksums become paths here. Knows no network. */
import { NanoVllmError } from "../errors.ts";
import { isInside } from "../weights/source.ts";

export interface RepoFile {
	/** Relative, inside the repository. */
	readonly path: string;
	readonly size: number;
	/** What the hub sends as ETag, and what the file is called in the cache: a SHA-256 of large files, git's SHA-1 of small ones. */
	readonly etag: string;
}

export interface Listing {
	readonly commit: string;
	readonly files: readonly RepoFile[];
}

/** An entry as the hub's API gives it; nothing of it is certain. */
export interface RepoEntry {
	readonly type?: unknown;
	readonly path?: unknown;
	readonly oid?: unknown;
	readonly size?: unknown;
	readonly lfs?: { readonly oid?: unknown; readonly size?: unknown };
}

/** null for what is no file, or has a name or checksum that cannot be trusted as a path. */
export function parseEntry(entry: RepoEntry): RepoFile | null {
	const { type, path, lfs, oid, size } = entry;
	const etag = lfs?.oid ?? oid;
	if (type !== "file" || typeof path !== "string" || !isInside(path))
		return null;
	if (typeof etag !== "string" || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag))
		return null;
	const bytes = lfs?.size ?? size;
	const isSize = Number.isSafeInteger(bytes) && (bytes as number) >= 0;
	return isSize ? { path, size: bytes as number, etag } : null;
}

export function unreadable(repo: string, cause?: unknown): NanoVllmError {
	return new NanoVllmError(
		"download_failed",
		`${repo}: wanted the hub's listing of the model, got something else. Check HF_ENDPOINT, or whether a proxy answers in the hub's place.`,
		{ cause },
	);
}
