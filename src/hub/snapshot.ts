/** Brings a model of the hub onto this disk, or finds it there. Knows what to do when the hub is away. */
import { NanoVllmError } from "../errors.ts";
import { type DiskHub, fetchBlob, isWhole } from "./blob.ts";
import { type RepoCache, repoCache, type Snapshot } from "./cache.ts";
import { chooseFiles, matchesGlob, named } from "./choose.ts";
import { checkRoom, fetchTogether } from "./downloads.ts";
import { isCommit, type ModelId, showId } from "./model-id.ts";
import type { Listing, RepoFile } from "./repo-file.ts";
import { aborted, MAX_RETRIES } from "./request.ts";

export interface SnapshotOptions {
	/** Files to bring, by patterns with * and ?; null: those the model needs. */
	readonly include?: readonly string[] | null;
	/** False where config and tokenizer are enough, as for random weights. */
	readonly weights?: boolean;
	readonly signal?: AbortSignal;
	readonly onProgress?: (loadedBytes: number, totalBytes: number) => void;
}

/** Asked for by the Python libraries on every load; where a model has none, the cache says so. */
const OPTIONAL = [
	"chat_template.jinja",
	"generation_config.json",
	"special_tokens_map.json",
	"tokenizer_config.json",
];

/** @throws model_not_found, access_denied, download_failed, aborted */
export async function fetchSnapshot(
	hub: DiskHub,
	id: ModelId,
	{ include = null, weights = true, signal, onProgress }: SnapshotOptions = {},
): Promise<Snapshot> {
	const cache = repoCache(hub.files, hub.settings, id.repo);
	const cached = await cache.find(id, weights, include);
	const state = await listOrCached(hub, id, cached, signal);
	if ("folder" in state) return state;
	const { commit, files } = state;
	const paths = choose(files, id, include, weights);
	const chosen = files.filter(({ path }) => paths.includes(path));
	try {
		await fetchAll(
			hub,
			cache,
			id,
			{ commit, files: chosen },
			signal,
			onProgress,
		);
		const absent = OPTIONAL.filter(
			(path) => !files.some((f) => f.path === path),
		);
		await noteFindings(cache, id, commit, absent);
	} catch (error) {
		throw aborted(error, signal);
	}
	return { commit, folder: cache.snapshot(commit), paths };
}

/** The model is whole by now: a cache that may only be read is good enough to load from. */
async function noteFindings(
	cache: RepoCache,
	{ revision }: ModelId,
	commit: string,
	absent: readonly string[],
): Promise<void> {
	const notes = absent.map((path) => cache.markAbsent(commit, path));
	await Promise.allSettled([...notes, cache.writeCommit(revision, commit)]);
}

/** What the hub says; what the cache holds where nobody need be asked, or nobody answers. */
export async function listOrCached(
	hub: DiskHub,
	id: ModelId,
	cached: Snapshot | null,
	signal: AbortSignal | undefined,
): Promise<Listing | Snapshot> {
	const { settings } = hub;
	if (cached !== null && (settings.offline || isCommit(id.revision)))
		return cached;
	if (settings.offline)
		throw new NanoVllmError(
			"model_not_found",
			`${showId(id)} is not, or not wholly, in the cache ${settings.cacheFolder}, and HF_HUB_OFFLINE forbids asking the hub. Download it first, or unset HF_HUB_OFFLINE. ${otherReading(id)}`,
		);
	const { listRepo } = await import("./listing.ts");
	try {
		// With the model at hand there is no need to be patient.
		const retries = cached === null ? MAX_RETRIES : 0;
		return await listRepo(hub, id, signal, retries);
	} catch (error) {
		const isAway =
			error instanceof NanoVllmError && error.code === "download_failed";
		if (isAway && cached !== null) return cached;
		throw aborted(withOtherReading(error, id), signal);
	}
}

/** "a/b" may have been meant as a folder. */
const otherReading = (id: ModelId): string =>
	`(There is no folder ${id.repo} here, so ${showId(id)} was taken for a model of the hub.)`;

function withOtherReading(error: unknown, id: ModelId): unknown {
	if (!(error instanceof NanoVllmError)) return error;
	const { code, message } = error;
	if (code !== "model_not_found" && code !== "download_failed") return error;
	return new NanoVllmError(code, `${message} ${otherReading(id)}`, {
		cause: error,
	});
}

/** @throws model_not_found when nothing is chosen */
export function choose(
	files: readonly RepoFile[],
	id: ModelId,
	include: readonly string[] | null,
	weights: boolean,
): readonly string[] {
	const all = files.map(({ path }) => path);
	if (include === null) return chooseFiles(all, id, weights);
	const chosen = all.filter((path) =>
		include.some((glob) => matchesGlob(path, glob)),
	);
	if (chosen.length > 0) return chosen;
	throw new NanoVllmError(
		"model_not_found",
		`${showId(id)}: no file matches ${include.join(", ")}. It has ${named(all)}.`,
	);
}

/** Every file of the listing into the snapshot. The first failure stops the others. */
async function fetchAll(
	hub: DiskHub,
	cache: RepoCache,
	{ repo }: ModelId,
	{ commit, files }: Listing,
	signal: AbortSignal | undefined,
	onProgress: SnapshotOptions["onProgress"],
): Promise<void> {
	const missing = await findMissing(hub, cache, commit, files);
	const blobs = missing.map(({ etag, size }) => ({ path: etag, size }));
	await checkRoom(hub, `${cache.root}/blobs`, blobs);
	const fetchOne = async (
		file: RepoFile,
		either: AbortSignal,
		report: (loadedBytes: number) => void,
	) => {
		await fetchBlob(hub, {
			file,
			url: resolveUrl(hub.settings.endpoint, repo, commit, file.path),
			blob: cache.blob(file.etag),
			signal: either,
			report,
		});
		await cache.link(commit, file.path, file.etag);
	};
	await fetchTogether(files, missing, fetchOne, { signal, onProgress });
}

/** The files that must be fetched; those whose blob is here get their link at once. */
async function findMissing(
	{ files: disk }: DiskHub,
	cache: RepoCache,
	commit: string,
	files: readonly RepoFile[],
): Promise<readonly RepoFile[]> {
	const missing: RepoFile[] = [];
	for (const file of files) {
		const place = `${cache.snapshot(commit)}/${file.path}`;
		if (await isWhole(disk, place, file.size)) continue;
		if (await isWhole(disk, cache.blob(file.etag), file.size))
			await cache.link(commit, file.path, file.etag);
		else missing.push(file);
	}
	return missing;
}

export function resolveUrl(
	endpoint: string,
	repo: string,
	revision: string,
	path = "",
): string {
	const names = path.split("/").map(encodeURIComponent).join("/");
	return `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${names}`;
}
