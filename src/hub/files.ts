/** A model of the hub as ModelFiles: from the cache after a download, or read in place by ranges. Web pages read in place. */
import { NanoVllmError } from "../errors.ts";
import type { Platform } from "../platform/platform.ts";
import { httpFiles } from "../weights/http.ts";
import type { ModelFiles } from "../weights/source.ts";
import type { DiskHub } from "./blob.ts";
import { repoCache, type Snapshot } from "./cache.ts";
import { chooseFiles } from "./choose.ts";
import { type ModelId, showId } from "./model-id.ts";
import { type Hub, patientFetch } from "./request.ts";
import { readSettings } from "./settings.ts";
import {
	fetchSnapshot,
	listOrCached,
	resolveUrl,
	type SnapshotOptions,
} from "./snapshot.ts";

/** The hub as the environment describes it. `files` is null where nothing can be kept. @throws invalid_option */
export async function openHub(
	platform: Platform,
): Promise<Hub & { readonly files: Platform["files"] }> {
	return {
		settings: await readSettings(platform),
		fetch: (url, init) => fetch(url, init),
		wait,
		files: platform.files,
	};
}

/** Downloads what is missing. @throws model_not_found, access_denied, download_failed, aborted */
export async function downloadModel(
	id: ModelId,
	platform: Platform,
	options: SnapshotOptions,
): Promise<Snapshot> {
	const hub = await openHub(platform);
	if (!canKeep(hub))
		throw new NanoVllmError(
			"download_failed",
			`${showId(id)}: there is no file system here to download to.`,
		);
	return fetchSnapshot(hub, id, options);
}

/** The files to load the model from: downloaded first where there is a disk, else read from the hub as they are needed. */
export async function hubFiles(
	id: ModelId,
	platform: Platform,
	options: SnapshotOptions,
): Promise<ModelFiles> {
	if (platform.files === null)
		return inPlace(await openHub(platform), id, options.signal);
	return localFiles(platform, id, await downloadModel(id, platform, options));
}

/** The files to look into without downloading them: the cache's where it has them all. */
export async function remoteFiles(
	id: ModelId,
	platform: Platform,
	{ signal }: { readonly signal?: AbortSignal },
): Promise<ModelFiles> {
	const hub = await openHub(platform);
	if (!canKeep(hub)) return inPlace(hub, id, signal);
	const cached = await repoCache(hub.files, hub.settings, id.repo).find(id);
	const state = await listOrCached(hub, id, cached, signal);
	if ("folder" in state) return localFiles(platform, id, state);
	if (state.commit === cached?.commit) return localFiles(platform, id, cached);
	const paths = state.files.map(({ path }) => path);
	const chosen = chooseFiles(paths, id);
	const place = { ...id, revision: state.commit };
	return only(inPlace(hub, place, signal), id, chosen);
}

const canKeep = (
	hub: Hub & { readonly files: Platform["files"] },
): hub is DiskHub => hub.files !== null;

function inPlace(
	hub: Hub,
	{ repo, revision, file }: ModelId,
	signal: AbortSignal | undefined,
): ModelFiles {
	const base = resolveUrl(hub.settings.endpoint, repo, revision);
	const files = httpFiles(base, patientFetch(hub, signal));
	const names = file === null ? [] : [file];
	return {
		...files,
		label: repo,
		list: async () => [...new Set([...(await files.list()), ...names])].sort(),
	};
}

async function localFiles(
	platform: Platform,
	id: ModelId,
	{ folder, paths }: Snapshot,
): Promise<ModelFiles> {
	// A GGUF file says everything itself: its folder is the model's.
	const gguf = paths.find((path) => /\.gguf$/i.test(path));
	const below = gguf?.includes("/") ? gguf.replace(/[^/]*$/, "") : "";
	const files = await platform.localFiles(`${folder}/${below}`);
	const inside = paths
		.filter((path) => path.startsWith(below))
		.map((path) => path.slice(below.length));
	return only(files, id, inside);
}

/** Only the files that were chosen: the cache may hold others of the repository. */
function only(
	files: ModelFiles,
	{ repo }: ModelId,
	paths: readonly string[],
): ModelFiles {
	const chosen = paths.filter((path) => !path.includes("/")).sort();
	return { ...files, label: repo, list: async () => chosen };
}

function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
	return new Promise((done, fail) => {
		if (signal?.aborted) return fail(signal.reason);
		const stop = () => {
			clearTimeout(timer);
			fail(signal?.reason);
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", stop);
			done();
		}, milliseconds);
		signal?.addEventListener("abort", stop, { once: true });
	});
}
