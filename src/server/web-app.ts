/**
 * The web app's built files, as whoever has them gives them: types, caching, and headers that let the page use threads and keep it from
 * being used by others. Open without a key: the page asks for it and sends it with its calls. Knows no file system.
 */

export interface WebFile {
	readonly body: Uint8Array<ArrayBuffer>;
	/** As in content-type. */
	readonly type: string;
}

/** The file at a path without its first slash, such as assets/index-Bx3k9fQ2.js; null: there is none. */
export type WebFiles = (path: string) => Promise<WebFile | null>;

/**
 * Cross-origin isolation gives the page SharedArrayBuffer, which the CPU backend's threads want. The model it runs comes from any https
 * server, and the server it talks to may be another on this machine.
 */
const PAGE_HEADERS = {
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-embedder-policy": "require-corp",
	"cross-origin-resource-policy": "same-origin",
	"content-security-policy": [
		"default-src 'self'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"worker-src 'self' blob:",
		"style-src 'self' 'unsafe-inline'",
		"img-src 'self' data: blob:",
		"connect-src 'self' blob: data: https: http://localhost:* http://127.0.0.1:*",
		"object-src 'none'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
	].join("; "),
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
};

/** assets/NAME-HASH.ext: another content has another name. */
const HASHED = /^assets\/.+-[\w-]{8,}\.\w+$/;
const FOR_EVER = "public, max-age=31536000, immutable";

/** @returns null where there is no such file, or something else than reading is asked for */
export async function webResponse(
	request: Request,
	files: WebFiles,
): Promise<Response | null> {
	const { method, headers, url } = request;
	if (method !== "GET" && method !== "HEAD") return null;
	const path = pathOf(url);
	const file = path === null ? null : await files(path);
	if (path === null || file === null) return null;
	const etag = await etagOf(file.body);
	const answer = {
		...PAGE_HEADERS,
		etag,
		"cache-control": HASHED.test(path) ? FOR_EVER : "no-cache",
	};
	if (isKnown(headers.get("if-none-match"), etag))
		return new Response(null, { status: 304, headers: answer });
	return new Response(method === "HEAD" ? null : file.body, {
		headers: {
			...answer,
			"content-type": file.type,
			"content-length": String(file.body.byteLength),
		},
	});
}

/** null: no path of a file. */
function pathOf(url: string): string | null {
	try {
		const path = decodeURIComponent(new URL(url).pathname).slice(1);
		return path === "" ? "index.html" : path;
	} catch {
		return null;
	}
}

async function etagOf(body: Uint8Array<ArrayBuffer>): Promise<string> {
	const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
	const hex = Array.from(digest.subarray(0, 16), (byte) =>
		byte.toString(16).padStart(2, "0"),
	);
	return `"${hex.join("")}"`;
}

const isKnown = (given: string | null, etag: string): boolean =>
	(given ?? "")
		.split(",")
		.map((each) => each.trim().replace(/^W\//, ""))
		.some((each) => each === etag || each === "*");
