/**
 * What a repository holds at a revision, as the hub's API tells it. The only file that knows @huggingface/hub, which is not for
 * browsers: bundlers leave this file out (package.json, "browser").
 */
import { type ListFileEntry, listFiles, modelInfo } from "@huggingface/hub";
import { NanoVllmError } from "../errors.ts";
import { isInside } from "../weights/source.ts";
import { isCommit, type ModelId } from "./model-id.ts";
import { type Hub, patientFetch } from "./request.ts";

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

/** Two requests, more for more than a thousand files. @throws model_not_found, access_denied, download_failed */
export async function listRepo(
	hub: Hub,
	{ repo, revision }: ModelId,
	signal?: AbortSignal,
	maxRetries?: number,
): Promise<Listing> {
	const options = {
		hubUrl: hub.settings.endpoint,
		fetch: patientFetch(hub, signal, maxRetries) as typeof fetch,
	};
	const { sha } = await readable(repo, () =>
		modelInfo({ name: repo, revision, additionalFields: ["sha"], ...options }),
	);
	if (typeof sha !== "string" || !isCommit(sha)) throw unreadable(repo);
	const files = await readable(repo, async () => {
		const found: RepoFile[] = [];
		const entries = listFiles({
			repo,
			revision: sha,
			recursive: true,
			...options,
		});
		for await (const entry of entries) {
			const file = parseEntry(entry);
			if (file !== null) found.push(file);
		}
		return found;
	});
	return { commit: sha, files };
}

/** null for what is no file, or has a name or checksum that cannot be trusted as a path. */
function parseEntry(entry: ListFileEntry): RepoFile | null {
	const { type, path, lfs, oid, size } = entry;
	const etag = lfs?.oid ?? oid;
	if (type !== "file" || typeof path !== "string" || !isInside(path))
		return null;
	if (typeof etag !== "string" || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag))
		return null;
	const bytes = lfs?.size ?? size;
	return Number.isSafeInteger(bytes) && bytes >= 0
		? { path, size: bytes, etag }
		: null;
}

/** Errors of ours pass; what the package throws means an answer it could not read. */
async function readable<T>(repo: string, run: () => Promise<T>): Promise<T> {
	try {
		return await run();
	} catch (error) {
		throw error instanceof NanoVllmError ? error : unreadable(repo, error);
	}
}

function unreadable(repo: string, cause?: unknown): NanoVllmError {
	return new NanoVllmError(
		"download_failed",
		`${repo}: wanted the hub's listing of the model, got something else. Check HF_ENDPOINT, or whether a proxy answers in the hub's place.`,
		{ cause },
	);
}
