/**
 * A model's folder on a web server, read with range requests. Knows nothing of hubs and tokens: give a `fetch` that adds headers.
 * Range semantics after RFC 9110, section 14.
 */
import { NanoVllmError } from "../errors.ts";
import {
	allocateBytes,
	bytes,
	checkInside,
	checkSpan,
	checkTextSize,
	decodeText,
	grouped,
	type ModelFiles,
	maxTextBytes,
	type RandomAccessFile,
	throwIfAborted,
} from "./source.ts";

/** HTTP cannot list a folder, so these names are asked for one by one. */
const probedNames = [
	"chat_template.jinja",
	"config.json",
	"generation_config.json",
	"model.safetensors",
	"model.safetensors.index.json",
	"tokenizer.json",
	"tokenizer_config.json",
];

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** Of a file under `baseUrl`, whose query, if any, goes with it. @throws model_not_found */
export function httpUrl(baseUrl: string | URL, path: string): string {
	checkInside(String(baseUrl), path);
	const url = parseUrl(baseUrl);
	const folder = url.pathname.replace(/\/$/, "");
	url.pathname = `${folder}/${path.split("/").map(encodeURIComponent).join("/")}`;
	return url.href;
}

/** The files under `baseUrl`; its query, if any, goes with every request. */
export function httpFiles(baseUrl: string | URL, fetch: Fetch): ModelFiles {
	const label = String(baseUrl);
	const urlOf = (path: string): string => httpUrl(baseUrl, path);
	return {
		label,
		async list() {
			const found = await Promise.all(
				probedNames.map(
					async (name) => (await probe(fetch, urlOf(name))).kind !== "absent",
				),
			);
			return probedNames.filter((_, i) => found[i]);
		},
		async readText(path, maxBytes = maxTextBytes) {
			const url = urlOf(path);
			const response = await request(fetch, url, {});
			if (response.status === 404) {
				await discard(response);
				return null;
			}
			if (response.status !== 200) throw await badStatus(url, response);
			return decodeText(url, await readLimited(url, response, maxBytes));
		},
		async open(path) {
			const url = urlOf(path);
			const answer = await probe(fetch, url);
			if (answer.kind === "absent") return null;
			if (answer.kind === "no ranges") throw rangeIgnored(url);
			return httpFile(path, url, answer.size, fetch);
		},
	};
}

function parseUrl(baseUrl: string | URL): URL {
	try {
		return new URL(baseUrl);
	} catch (cause) {
		throw new NanoVllmError(
			"model_not_found",
			`${baseUrl}: wanted a URL such as https://example.org/models/my-model, got something else.`,
			{ cause },
		);
	}
}

function httpFile(
	name: string,
	url: string,
	size: number,
	fetch: Fetch,
): RandomAccessFile {
	return {
		name,
		size,
		async read(offset, length, signal) {
			throwIfAborted(signal, name);
			checkSpan(name, size, offset, length);
			if (length === 0) return new Uint8Array(0);
			const last = offset + length - 1;
			const init = { headers: { Range: `bytes=${offset}-${last}` }, signal };
			const response = await request(fetch, url, init);
			if (response.status === 200) {
				await discard(response);
				throw rangeIgnored(url);
			}
			if (response.status !== 206) throw await badStatus(url, response);
			const range = await contentRange(url, response);
			if (range.total !== size || range.first !== offset || range.last !== last)
				throw await wrongRange(url, response, offset, last, size);
			return readExactly(url, response, length, signal);
		},
		async close() {},
	};
}

export type Probe =
	| { readonly kind: "absent" }
	| { readonly kind: "no ranges" }
	| {
			readonly kind: "file";
			readonly size: number;
			/** Another one means another content; "" where the server does not say. */
			readonly version: string;
	  };

/** Asks for one byte: tells presence, size and whether ranges work. HEAD would need no body, but many stores refuse it. */
export async function probe(fetch: Fetch, url: string): Promise<Probe> {
	const response = await request(fetch, url, {
		headers: { Range: "bytes=0-0" },
	});
	const { status } = response;
	if (status !== 404 && status !== 200 && status !== 206 && status !== 416)
		throw await badStatus(url, response);
	await discard(response);
	if (status === 404) return { kind: "absent" };
	if (status === 200) return { kind: "no ranges" };
	// No first byte to give: the file is there and empty.
	const version =
		response.headers.get("ETag") ?? response.headers.get("Last-Modified") ?? "";
	if (status === 416) return { kind: "file", size: 0, version };
	const { total } = await contentRange(url, response);
	return { kind: "file", size: total, version };
}

async function request(
	fetch: Fetch,
	url: string,
	init: RequestInit,
): Promise<Response> {
	try {
		return await fetch(url, init);
	} catch (cause) {
		// A fetch that knows its server says it better.
		if (cause instanceof NanoVllmError) throw cause;
		throwIfAborted(init.signal ?? undefined, url);
		throw new NanoVllmError(
			"model_not_found",
			`${url}: no answer from the server (${reason(cause)}). Check the address and the connection; in a browser also that the server allows this origin (CORS).`,
			{ cause },
		);
	}
}

async function contentRange(
	url: string,
	response: Response,
): Promise<{ first: number; last: number; total: number }> {
	const header = response.headers.get("Content-Range");
	const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header ?? "");
	if (match)
		return {
			first: Number(match[1]),
			last: Number(match[2]),
			total: Number(match[3]),
		};
	await discard(response);
	throw new NanoVllmError(
		"model_not_found",
		`${url}: wanted "Content-Range: bytes first-last/size" with status 206, got ${header === null ? "no such header" : JSON.stringify(header)}. The server must send it and, across origins, expose it (Access-Control-Expose-Headers).`,
	);
}

async function wrongRange(
	url: string,
	response: Response,
	first: number,
	last: number,
	size: number,
): Promise<NanoVllmError> {
	const got = response.headers.get("Content-Range");
	await discard(response);
	return new NanoVllmError(
		"invalid_weights",
		`${url}: wanted bytes ${grouped(first)} to ${grouped(last)} of ${grouped(size)}, got "${got}". The file changed on the server or a proxy is broken; load again.`,
	);
}

function rangeIgnored(url: string): NanoVllmError {
	return new NanoVllmError(
		"model_not_found",
		`${url}: wanted a part of the file (206), got all of it (200). The server ignores Range requests; use one that honours them, or download the model first.`,
	);
}

async function badStatus(
	url: string,
	response: Response,
): Promise<NanoVllmError> {
	await discard(response);
	const { status, statusText } = response;
	const mend =
		status === 401 || status === 403
			? "The file is private; give a fetch that sends your token."
			: status === 429 || status >= 500
				? "The server is in trouble; try again later."
				: "Check the address.";
	return new NanoVllmError(
		"model_not_found",
		`${url}: wanted the file (200 or 206), got ${status} ${statusText}. ${mend}`,
	);
}

async function readExactly(
	url: string,
	response: Response,
	length: number,
	signal: AbortSignal | undefined,
): Promise<Uint8Array> {
	const out = allocateBytes(url, length);
	let filled = 0;
	try {
		for await (const chunk of chunksOf(response)) {
			if (filled + chunk.byteLength > length) {
				filled += chunk.byteLength;
				break;
			}
			out.set(chunk, filled);
			filled += chunk.byteLength;
		}
	} catch (cause) {
		throwIfAborted(signal, url);
		throw wrongLength(url, length, filled, cause);
	}
	if (filled !== length) throw wrongLength(url, length, filled, undefined);
	return out;
}

function wrongLength(
	url: string,
	wanted: number,
	got: number,
	cause: unknown,
): NanoVllmError {
	return new NanoVllmError(
		"invalid_weights",
		`${url}: wanted ${bytes(wanted)}, got ${bytes(got)}${got > wanted ? " or more" : ""}. The transfer was ${got > wanted ? "padded by a proxy" : "cut"}; load again.`,
		{ cause },
	);
}

async function readLimited(
	url: string,
	response: Response,
	maxBytes: number,
): Promise<Uint8Array> {
	const chunks: Uint8Array[] = [];
	let size = 0;
	try {
		for await (const chunk of chunksOf(response)) {
			size += chunk.byteLength;
			checkTextSize(url, size, maxBytes);
			chunks.push(chunk);
		}
	} catch (cause) {
		if (cause instanceof NanoVllmError) throw cause;
		throw new NanoVllmError(
			"model_not_found",
			`${url}: wanted the whole file, got ${bytes(size)} (${reason(cause)}). The transfer was cut; load again.`,
			{ cause },
		);
	}
	const out = allocateBytes(url, size);
	let filled = 0;
	for (const chunk of chunks) {
		out.set(chunk, filled);
		filled += chunk.byteLength;
	}
	return out;
}

/** The body piece by piece; leaving the loop early cancels the rest. Not every browser can iterate a ReadableStream itself. */
async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
	const reader = response.body?.getReader();
	if (!reader) return;
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			yield value;
		}
	} finally {
		await reader.cancel().catch(() => {});
	}
}

/** Lets the connection go; a body that fails while being thrown away is no news. */
async function discard(response: Response): Promise<void> {
	await response.body?.cancel().catch(() => {});
}

function reason(cause: unknown): string {
	return cause instanceof Error ? cause.message : String(cause);
}
