/**
 * The download cache of the Python client, on disk: models--org--name/{blobs/ETAG, refs/REVISION, snapshots/COMMIT/FILE → blob,
 * .no_exist/COMMIT/FILE}. Reads what Python wrote, writes what Python reads. Knows no network.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import type { FileSystem } from "../platform/file-system.ts";
import { chooseFiles, INDEX_NAME, numPartsOf } from "./choose.ts";
import { isCommit, type ModelId } from "./model-id.ts";
import type { HubSettings } from "./settings.ts";

/** A model on this disk. */
export interface Snapshot {
	readonly commit: string;
	readonly folder: string;
	/** Those the model needs, relative to the folder. */
	readonly paths: readonly string[];
}

export interface RepoCache {
	/** Its folder. */
	readonly root: string;
	blob(etag: string): string;
	snapshot(commit: string): string;
	/** The commit a revision was last seen at, null when it never was. */
	readCommit(revision: string): Promise<string | null>;
	writeCommit(revision: string, commit: string): Promise<void>;
	/** Makes the snapshot's file lead to the blob. */
	link(commit: string, path: string, etag: string): Promise<void>;
	/** Lets the Python client know, without asking, that the commit has no such file. */
	markAbsent(commit: string, path: string): Promise<void>;
	/** The model as an earlier download left it, null unless every file it needs is there; without `weights`, every small one; of `include`, exactly those. */
	find(
		id: ModelId,
		weights?: boolean,
		include?: readonly string[] | null,
	): Promise<Snapshot | null>;
}

export function repoCache(
	files: FileSystem,
	{ cacheFolder }: HubSettings,
	repo: string,
): RepoCache {
	const root = `${cacheFolder}/models--${repo.replaceAll("/", "--")}`;
	const blob = (etag: string) => `${root}/blobs/${etag}`;
	const snapshot = (commit: string) => `${root}/snapshots/${commit}`;
	const readCommit = async (revision: string) => {
		if (isCommit(revision)) return revision;
		const commit = (await files.readText(`${root}/refs/${revision}`))?.trim();
		return commit !== undefined && isCommit(commit) ? commit : null;
	};
	return {
		root,
		blob,
		snapshot,
		readCommit,
		async writeCommit(revision, commit) {
			if (revision === commit) return;
			if ((await readCommit(revision)) === commit) return;
			await files.writeText(`${root}/refs/${revision}`, commit);
		},
		link: (commit, path, etag) =>
			files.link(blob(etag), `${snapshot(commit)}/${path}`),
		async markAbsent(commit, path) {
			const mark = `${root}/.no_exist/${commit}/${path}`;
			if ((await files.stat(mark)) === null) await files.writeText(mark, "");
		},
		async find(id, weights = true, include = null) {
			const commit = await readCommit(id.revision);
			if (commit === null) return null;
			const folder = snapshot(commit);
			const paths =
				include === null
					? await completeSet(files, folder, id, weights)
					: await namedSet(files, folder, include);
			return paths === null ? null : { commit, folder, paths };
		},
	};
}

/** null when one of the names is not there; a pattern never is. */
async function namedSet(
	files: FileSystem,
	folder: string,
	names: readonly string[],
): Promise<readonly string[] | null> {
	const present = await files.listFiles(folder);
	return names.every((name) => present.includes(name)) ? names : null;
}

/** The model's files in a snapshot's folder, null when one is missing. */
async function completeSet(
	files: FileSystem,
	folder: string,
	id: ModelId,
	weights: boolean,
): Promise<readonly string[] | null> {
	const present = await files.listFiles(folder);
	let paths: readonly string[];
	try {
		paths = chooseFiles(present, id, weights);
	} catch {
		return null;
	}
	const ggufs = paths.filter((path) => /\.gguf$/i.test(path));
	if (ggufs.length > 0)
		return ggufs.length === numPartsOf(ggufs[0]) ? paths : null;
	if (!paths.includes("config.json")) return null;
	if (!weights) return paths;
	if (!paths.includes(INDEX_NAME))
		// Shards without their index: the index is among what has not come.
		return paths.some((path) => /-\d+-of-\d+\.safetensors$/.test(path))
			? null
			: paths;
	const shards = shardsOf(await files.readText(`${folder}/${INDEX_NAME}`));
	return shards?.every((shard) => present.includes(shard)) ? paths : null;
}

/** The files an index names, null when it cannot be read. */
function shardsOf(index: string | null): string[] | null {
	try {
		const { weight_map: map } = JSON.parse(index ?? "");
		return [...new Set(Object.values(map as Record<string, string>))];
	} catch {
		return null;
	}
}
