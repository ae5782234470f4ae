/**
 * The models this browser keeps for this site: which, how large, and an end to them. Works on pages and in workers. Knows the folders
 * that hub/ writes; what is in a model it does not.
 */
import { NanoVllmError } from "../errors.ts";
import {
	findFolder,
	KEPT_FOLDER,
	openRoot,
	removeEntry,
	walk,
} from "../platform/opfs.ts";

export interface CachedModel {
	/** What to load it by. */
	readonly model: string;
	readonly source: "hub" | "url" | "files";
	/** What it takes of the disk. */
	readonly sizeBytes: number;
	/** False: its download was cut. Loading it again continues. */
	readonly isComplete: boolean;
	/** Where it lies; names it for deleteCachedModel. */
	readonly folder: string;
}

interface KeptFolder {
	readonly path: string;
	readonly sizeBytes: number;
	/** Relative to the folder. */
	readonly names: readonly string[];
	read(name: string): Promise<string | null>;
}

/** Sorted by what they are loaded by; none where the browser keeps nothing. */
export async function listCachedModels(): Promise<CachedModel[]> {
	const root = await openRoot();
	if (root === null) return [];
	const found: CachedModel[] = [];
	for (const [room, describe] of Object.entries(ROOMS)) {
		const folder = await findFolder(root, `${KEPT_FOLDER}/${room}`);
		if (folder === null) continue;
		for await (const handle of folder.values()) {
			if (handle.kind !== "directory") continue;
			const path = `${KEPT_FOLDER}/${room}/${handle.name}`;
			found.push(
				await describe(
					await open(handle as FileSystemDirectoryHandle, path),
					handle.name,
				),
			);
		}
	}
	return found.sort((a, b) => (a.model < b.model ? -1 : 1));
}

/**
 * Gives its room back. A model that is loaded goes on: its weights are on the device.
 * @param model as listed, or one of the list
 * @throws model_not_found, output_failed while it is being downloaded
 */
export async function deleteCachedModel(
	model: string | CachedModel,
): Promise<void> {
	const root = await openRoot();
	const name = typeof model === "string" ? model : model.model;
	const hit = (await listCachedModels()).find((it) => it.model === name);
	if (root === null || hit === undefined)
		throw new NanoVllmError(
			"model_not_found",
			`${name}: this browser keeps no such model. listCachedModels tells those it keeps.`,
		);
	try {
		await removeEntry(root, hit.folder);
	} catch (cause) {
		throw new NanoVllmError(
			"output_failed",
			`${name} could not be deleted (${(cause as Error).name}): a tab is writing it. Stop its download first.`,
			{ cause },
		);
	}
}

const ROOMS: Readonly<
	Record<string, (folder: KeptFolder, name: string) => Promise<CachedModel>>
> = { hub: fromHub, urls: fromUrl, files: fromFiles };

/** models--org--name, as hub/cache.ts lays it out. */
async function fromHub(
	{ path: folder, sizeBytes, names }: KeptFolder,
	name: string,
): Promise<CachedModel> {
	const repo = name.replace(/^models--/, "").replace("--", "/");
	const ggufs = names
		.map((path) => /^snapshots\/[^/]+\/(.+\.gguf)\.link$/.exec(path)?.[1])
		.filter((path) => path !== undefined);
	const [only] = ggufs;
	return {
		model: ggufs.length === 1 ? `${repo}:${only}` : repo,
		source: "hub",
		sizeBytes,
		// The ref is written last; of a model at a commit there is none.
		isComplete:
			names.some((path) => path.startsWith("snapshots/")) &&
			!names.some((path) => path.endsWith(".incomplete")),
		folder,
	};
}

async function fromUrl(
	{ path: folder, sizeBytes, read }: KeptFolder,
	name: string,
): Promise<CachedModel> {
	const { url = name, isComplete = false } = parsed(
		await read("manifest.json"),
	);
	return { model: url, source: "url", sizeBytes, isComplete, folder };
}

async function fromFiles({
	path,
	sizeBytes,
	read,
}: KeptFolder): Promise<CachedModel> {
	const { isComplete = false } = parsed(await read("manifest.json"));
	return { model: path, source: "files", sizeBytes, isComplete, folder: path };
}

/** A manifest, or nothing where it was cut. */
function parsed(text: string | null): { url?: string; isComplete?: boolean } {
	try {
		return JSON.parse(text ?? "{}");
	} catch {
		return {};
	}
}

async function open(
	handle: FileSystemDirectoryHandle,
	path: string,
): Promise<KeptFolder> {
	const names: string[] = [];
	let sizeBytes = 0;
	for await (const file of walk(handle)) {
		names.push(file.path);
		sizeBytes += (await file.handle.getFile()).size;
	}
	return {
		path,
		sizeBytes,
		names,
		async read(name) {
			if (!names.includes(name)) return null;
			const file = await (await handle.getFileHandle(name)).getFile();
			return file.text();
		},
	};
}
