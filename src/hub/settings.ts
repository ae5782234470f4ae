/**
 * Where the hub and its cache are, from the environment variables of the Python client, with their meanings and defaults:
 * https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 */
import { show } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { Platform } from "../platform/platform.ts";

export interface HubSettings {
	/** Without a slash at its end. */
	readonly endpoint: string;
	readonly token: string | null;
	/** Holds models--org--name folders; "" where there is no file system. */
	readonly cacheFolder: string;
	/** Ask nobody: what the cache holds must do. */
	readonly offline: boolean;
	/** A server that says nothing for so long has failed. */
	readonly timeoutMs: number;
}

const DEFAULT_ENDPOINT = "https://huggingface.co";
const DEFAULT_TIMEOUT_S = 10;
const MAX_TIMEOUT_S = 3600;

/** @throws invalid_option */
export async function readSettings({
	environment,
	files,
}: Pick<Platform, "environment" | "files">): Promise<HubSettings> {
	const value = (...names: readonly string[]) =>
		names.map((name) => environment[name]?.trim()).find((v) => v) ?? null;
	const isOn = (name: string) => /^(1|on|yes|true)$/i.test(value(name) ?? "");
	const home = files?.homeFolder.replaceAll("\\", "/") ?? "";
	const folder = (path: string) =>
		path
			.replaceAll("\\", "/")
			.replace(/^~(?=\/|$)/, home)
			.replace(/(?<=.)\/+$/, "");
	const cacheHome = folder(value("XDG_CACHE_HOME") ?? "~/.cache");
	const hfHome = folder(value("HF_HOME") ?? `${cacheHome}/huggingface`);
	const tokenFile = folder(value("HF_TOKEN_PATH") ?? `${hfHome}/token`);
	const saved = isOn("HF_HUB_DISABLE_IMPLICIT_TOKEN")
		? null
		: await files?.readText(tokenFile);
	return {
		endpoint: parseEndpoint(value("HF_ENDPOINT") ?? DEFAULT_ENDPOINT),
		token: parseToken(value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") ?? saved),
		cacheFolder: folder(
			value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? `${hfHome}/hub`,
		),
		offline: isOn("HF_HUB_OFFLINE") || isOn("TRANSFORMERS_OFFLINE"),
		timeoutMs: 1000 * parseTimeout(value("HF_HUB_DOWNLOAD_TIMEOUT")),
	};
}

function parseEndpoint(text: string): string {
	if (URL.canParse(text) && /^https?:/.test(text))
		return text.replace(/\/+$/, "");
	throw new NanoVllmError(
		"invalid_option",
		`HF_ENDPOINT must be a URL like ${DEFAULT_ENDPOINT}, got ${show(text)}.`,
	);
}

/** A token with a line break or other characters in it would be an invalid header, and its text would stand in the error. */
function parseToken(text: string | null | undefined): string | null {
	const token = text?.trim() ?? "";
	if (token === "") return null;
	if (/^[\x21-\x7e]+$/.test(token)) return token;
	throw new NanoVllmError(
		"invalid_option",
		"the token (HF_TOKEN, or the file token in HF_HOME) must be one word of plain characters, like hf_…, and is not.",
	);
}

function parseTimeout(text: string | null): number {
	const seconds = Number(text ?? DEFAULT_TIMEOUT_S);
	if (seconds > 0 && seconds <= MAX_TIMEOUT_S) return seconds;
	throw new NanoVllmError(
		"invalid_option",
		`HF_HUB_DOWNLOAD_TIMEOUT must be seconds, above 0 and at most ${MAX_TIMEOUT_S}, got ${show(text)}.`,
	);
}
