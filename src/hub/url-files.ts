/**
 * A model of any web server, kept: its files come once, continue after a cut, and are read from the disk from then on, also where the
 * server is away. What stands in for a checksum is the size, with the ETag or date that the server tells.
 */
import { NanoVllmError } from "../errors.ts";
import { type Fetch, httpFiles, httpUrl, probe } from "../weights/http.ts";
import type { ModelFiles } from "../weights/source.ts";
import { type DiskHub, fetchBlob } from "./blob.ts";
import { checkRoom, fetchTogether } from "./downloads.ts";
import { unreachable } from "./request.ts";

/** What is written beside the files of a model that is kept. */
export interface Manifest {
	/** What to load it by. */
	readonly url: string;
	readonly files: readonly KeptFile[];
	readonly isComplete: boolean;
}

export interface KeptFile {
	readonly path: string;
	readonly size: number;
	/** "" where the server does not tell one. */
	readonly version: string;
}

export interface UrlOptions {
	/** The files of a GGUF, whose folder the URL is; null: a folder of config.json and safetensors. */
	readonly names: readonly string[] | null;
	/** What to load the model by. */
	readonly model: string;
	/** False where config and tokenizer are enough. */
	readonly weights: boolean;
	readonly signal?: AbortSignal;
	readonly onProgress?: (loadedBytes: number, totalBytes: number) => void;
}

export const MANIFEST = "manifest.json";
const INDEX = "model.safetensors.index.json";

/** Small, and asked for on every load: the browser's cache knows whether they are still true. */
const TEXTS = [
	"config.json",
	"chat_template.jinja",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	INDEX,
];

/** What the server has of a model now. */
interface Remote {
	readonly texts: ReadonlyMap<string, string>;
	readonly weights: readonly KeptFile[];
}

/**
 * @param local opens a folder of the disk
 * @throws model_not_found, download_failed, aborted
 */
export async function urlFiles(
	hub: DiskHub,
	local: (folder: string) => Promise<ModelFiles>,
	baseUrl: string,
	options: UrlOptions,
): Promise<ModelFiles> {
	const folder = folderOf(hub, options.model);
	const open = async ({ files }: Manifest) =>
		only(await local(folder), baseUrl, files);
	const run = async () => {
		const before = await readManifest(hub, folder);
		try {
			const remote = await look(hub, baseUrl, options);
			// No model there: who reads it in place says what is missing.
			if (remote === null) return httpFiles(baseUrl, hub.fetch);
			return await open(
				await bring(hub, folder, baseUrl, remote, before, options),
			);
		} catch (error) {
			options.signal?.throwIfAborted();
			if (before?.isComplete) return open(before);
			throw error;
		}
	};
	// Of two tabs that want the same model, the second finds what the first has brought.
	return hub.files.withLock(folder, options.signal, run);
}

/** Beside the hub's cache, by a digest of the URL. */
function folderOf({ files, settings }: DiskHub, url: string): string {
	const digest = files.createDigest("sha256");
	digest.update(new TextEncoder().encode(url));
	return `${settings.cacheFolder.replace(/\/[^/]*$/, "")}/urls/${digest.hex()}`;
}

export async function readManifest(
	{ files }: Pick<DiskHub, "files">,
	folder: string,
): Promise<Manifest | null> {
	try {
		return JSON.parse((await files.readText(`${folder}/${MANIFEST}`)) ?? "");
	} catch {
		return null; // none, or one that was cut: everything is looked at anew
	}
}

/** null where there is no config.json, or a server that gives no ranges. */
async function look(
	hub: DiskHub,
	baseUrl: string,
	{ names, weights, signal }: UrlOptions,
): Promise<Remote | null> {
	const fetch = reaching(hub.fetch, signal);
	const files = httpFiles(baseUrl, fetch);
	const texts = new Map<string, string>();
	if (names === null) {
		const read = await Promise.all(TEXTS.map((name) => files.readText(name)));
		for (const [i, text] of read.entries())
			if (text !== null) texts.set(TEXTS[i], text);
		if (!texts.has("config.json")) return null;
	}
	const wanted = names ?? (weights ? shardsOf(texts.get(INDEX)) : []);
	const probes = await Promise.all(
		wanted.map((name) => probe(fetch, httpUrl(baseUrl, name))),
	);
	const found: KeptFile[] = [];
	for (const [i, it] of probes.entries()) {
		if (it.kind !== "file") return null;
		found.push({ path: wanted[i], size: it.size, version: it.version });
	}
	return { texts, weights: found };
}

/** The files an index names; without one there is a single file. */
function shardsOf(index: string | undefined): string[] {
	if (index === undefined) return ["model.safetensors"];
	try {
		const { weight_map: map } = JSON.parse(index);
		return [...new Set(Object.values(map as Record<string, string>))];
	} catch {
		return []; // who opens it says what is wrong with it
	}
}

/** fetch with an error that says what to do where nobody answers. */
const reaching =
	(fetch: Fetch, signal: AbortSignal | undefined): Fetch =>
	async (url, init = {}) => {
		try {
			return await fetch(url, { ...init, signal });
		} catch (cause) {
			signal?.throwIfAborted();
			throw new NanoVllmError(
				"download_failed",
				`${unreachable(url, cause).message} Check the address and the connection; in a browser also that the server allows this origin (CORS).`,
				{ cause },
			);
		}
	};

/** The disk as the server is: what is missing or has changed is fetched. */
async function bring(
	hub: DiskHub,
	folder: string,
	baseUrl: string,
	{ texts, weights }: Remote,
	before: Manifest | null,
	{ model, signal, onProgress }: UrlOptions,
): Promise<Manifest> {
	const { files } = hub;
	const small = [...texts].map(([path, text]) => {
		const size = new TextEncoder().encode(text).byteLength;
		return { path, size, version: "" };
	});
	const manifest = { url: model, files: [...small, ...weights] };
	const missing: KeptFile[] = [];
	for (const file of weights) {
		const place = `${folder}/${file.path}`;
		const known = before?.files.find(({ path }) => path === file.path);
		const isSame = known?.size === file.size && known.version === file.version;
		if (isSame && (await files.stat(place))?.size === file.size) continue;
		missing.push(file);
		if (isSame) continue;
		await files.remove(place);
		await files.remove(`${place}.incomplete`);
	}
	await checkRoom(hub, folder, missing);
	const write = (isComplete: boolean) =>
		files.writeText(
			`${folder}/${MANIFEST}`,
			JSON.stringify({ ...manifest, isComplete }),
		);
	if (missing.length > 0) await write(false);
	for (const [path, text] of texts)
		await files.writeText(`${folder}/${path}`, text);
	const fetchOne = (
		{ path, size }: KeptFile,
		either: AbortSignal,
		report: (loadedBytes: number) => void,
	) =>
		fetchBlob(hub, {
			file: { size, etag: null },
			url: httpUrl(baseUrl, path),
			blob: `${folder}/${path}`,
			signal: either,
			report,
		});
	await fetchTogether(weights, missing, fetchOne, { signal, onProgress });
	await write(true);
	return { ...manifest, isComplete: true };
}

function only(
	files: ModelFiles,
	label: string,
	kept: readonly KeptFile[],
): ModelFiles {
	const names = kept
		.map(({ path }) => path)
		.filter((path) => !path.includes("/"))
		.sort();
	return { ...files, label, list: async () => names };
}
