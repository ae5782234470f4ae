/**
 * What a model's name means: a folder, a URL, a GGUF file, a model of the Hugging Face hub, or files somebody holds already. Knows where
 * files lie and which of them is opened, not what is in them.
 */
import { type EngineConfig, show } from "./config.ts";
import { NanoVllmError } from "./errors.ts";
import type { hubFiles } from "./hub/files.ts";
import { parseModelId } from "./hub/model-id.ts";
import type { Platform } from "./platform/platform.ts";
import type { GgufModel } from "./weights/gguf.ts";
import { findGguf, ggufParts, splitGgufPath } from "./weights/gguf-files.ts";
import type { ModelFiles } from "./weights/source.ts";

export interface FoundModel {
	readonly files: ModelFiles;
	/** null for a folder of config.json and safetensors. */
	readonly gguf: GgufModel | null;
}

export interface FindContext {
	readonly signal?: AbortSignal;
	/** Of a download, where there is one. */
	readonly onDownload?: (loadedBytes: number, totalBytes: number) => void;
	/** What to do with a model of the hub; inspecting one needs no download. */
	readonly openId?: typeof hubFiles;
}

type FindOptions = Pick<EngineConfig, "revision" | "loadFormat">;

/**
 * A GGUF where the name is that of one, where the options ask for one, or where a folder holds one and no safetensors. Whoever calls closes it.
 * @throws model_not_found, invalid_option, access_denied, download_failed, invalid_weights and others of a GGUF's header
 */
export async function findModel(
	model: string | ModelFiles,
	options: FindOptions,
	platform: Platform,
	context: FindContext = {},
): Promise<FoundModel> {
	const isPath =
		typeof model === "string" &&
		!(await platform.isDirectory(model)) &&
		(await idOf(model, options, platform)) === null;
	const path = isPath ? splitGgufPath(model) : null;
	if (path && options.loadFormat === "safetensors")
		throw new NanoVllmError(
			"invalid_option",
			`loadFormat is "safetensors", ${model} is a GGUF file. Leave the option out.`,
		);
	const where = path?.folder ?? model;
	const files = await findFiles(
		where,
		path?.name ?? null,
		options,
		platform,
		context,
	);
	const name = path?.name ?? (await ggufIn(files, options.loadFormat));
	if (!name) return { files, gguf: null };
	const { openGguf } = await import("./weights/gguf.ts");
	return { files, gguf: await openGguf(files, name, context.signal) };
}

async function ggufIn(
	files: ModelFiles,
	loadFormat: EngineConfig["loadFormat"],
): Promise<string | undefined> {
	if (loadFormat !== "auto" && loadFormat !== "gguf") return undefined;
	const names = await files.list();
	const hasSafetensors = names.some((name) => /\.safetensors\b/.test(name));
	if (loadFormat === "auto" && hasSafetensors) return undefined;
	const name = findGguf(files.label, names);
	if (name !== undefined || loadFormat === "auto") return name;
	throw new NanoVllmError(
		"model_not_found",
		`${files.label}: wanted a *.gguf, as loadFormat "gguf" says, found none. Give the path of the file, or leave loadFormat out.`,
	);
}

/** `gguf`: the file that is wanted of the folder `model`; null: what makes a folder a model. */
async function findFiles(
	model: string | ModelFiles,
	gguf: string | null,
	options: FindOptions,
	platform: Platform,
	{ signal, onDownload, openId }: FindContext,
): Promise<ModelFiles> {
	if (typeof model !== "string") {
		if (typeof model?.readText === "function") return model;
		throw new NanoVllmError(
			"model_not_found",
			`a model is a directory, a *.gguf, a URL, an id of the hub or ModelFiles, got ${show(model)}.`,
		);
	}
	if (/^https?:\/\//.test(model))
		return httpModel(model, gguf, options, platform, { signal, onDownload });
	const id = await idOf(model, options, platform);
	if (id === null) return platform.localFiles(model);
	const weights = options.loadFormat !== "dummy";
	const open = openId ?? (await import("./hub/files.ts")).hubFiles;
	return open(id, platform, { weights, signal, onProgress: onDownload });
}

/** A browser keeps what it has once read: a page has no other disk. */
async function httpModel(
	url: string,
	gguf: string | null,
	{ loadFormat }: FindOptions,
	platform: Platform,
	{ signal, onDownload: onProgress }: FindContext,
): Promise<ModelFiles> {
	const { httpFiles, httpUrl } = await import("./weights/http.ts");
	const keeps = platform.name === "browser" && URL.canParse(url);
	if (!keeps || platform.files === null) return httpFiles(url, fetch);
	const { urlFiles } = await import("./hub/url-files.ts");
	const { openHub } = await import("./hub/files.ts");
	const { files } = platform;
	const { settings, ...world } = await openHub(platform);
	// Another server, which the hub's token is no business of.
	const endpoint = new URL(url).origin;
	const hub = {
		...world,
		files,
		settings: { ...settings, endpoint, token: null },
	};
	return urlFiles(hub, platform.localFiles, url, {
		names: gguf === null ? null : ggufParts(gguf),
		model: gguf === null ? url : httpUrl(url, gguf),
		weights: loadFormat !== "dummy",
		signal,
		onProgress,
	});
}

/** An adapter's folder, a URL of one, an id of the hub, or files held already. @throws as findModel */
export async function findAdapter(
	path: string | ModelFiles,
	names: readonly string[],
	platform: Platform,
	signal?: AbortSignal,
): Promise<ModelFiles> {
	const options = { revision: null, loadFormat: "safetensors" } as const;
	if (typeof path === "string" && /^https?:\/\//.test(path)) {
		const { httpFiles } = await import("./weights/http.ts");
		return httpFiles(path, fetch);
	}
	return findFiles(path, null, options, platform, {
		signal,
		async openId(id, where, context) {
			const { hubFiles } = await import("./hub/files.ts");
			return hubFiles(id, where, { ...context, include: names });
		},
	});
}

/** null where the name is no id of the hub, or that of a file or folder here. */
async function idOf(
	model: string,
	{ revision }: FindOptions,
	platform: Platform,
) {
	if (/^https?:\/\//.test(model)) return null;
	const id = parseModelId(model, revision);
	return id === null || (await exists(model, platform)) ? null : id;
}

/** Whether a path names something here; false also where there is no file system. */
export async function exists(
	path: string,
	{ isDirectory, files }: Platform,
): Promise<boolean> {
	return (await isDirectory(path)) || (await files?.stat(path)) != null;
}

/** @throws model_not_found, invalid_model_config, invalid_tokenizer */
export async function readJson(
	files: ModelFiles,
	path: string,
	required = true,
): Promise<unknown> {
	const text = await files.readText(path);
	if (text === null) {
		if (!required) return null;
		throw new NanoVllmError(
			"model_not_found",
			`${files.label} has no ${path}. A model is a directory with config.json, tokenizer.json and *.safetensors, or a *.gguf.`,
		);
	}
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new NanoVllmError(
			path.startsWith("tokenizer")
				? "invalid_tokenizer"
				: "invalid_model_config",
			`${files.label}/${path} is not JSON: ${(cause as Error).message}. Download it again.`,
			{ cause },
		);
	}
}
