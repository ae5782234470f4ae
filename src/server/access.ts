/** Who may call: API keys compared in constant time, and web pages by their origin. Knows no endpoint. */
import { ApiError } from "./api-error.ts";

/** @throws ApiError 401 */
export type CheckKey = (headers: Headers) => Promise<void>;

const digest = async (text: string): Promise<Uint8Array> => {
	const bytes = new TextEncoder().encode(text);
	return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
};

/** Digests are compared, all of them and every byte: time tells nothing of a key, its length or its place. */
export function createKeyCheck(keys: readonly string[]): CheckKey {
	if (keys.length === 0) return async () => {};
	const digests = Promise.all(keys.map(digest));
	return async (headers) => {
		const header = headers.get("authorization") ?? "";
		const [, given = ""] = /^Bearer\s+(\S+)\s*$/i.exec(header) ?? [];
		const got = await digest(given);
		let isKnown = false;
		for (const wanted of await digests) {
			let difference = 0;
			for (let i = 0; i < wanted.length; i++) difference |= wanted[i] ^ got[i];
			isKnown = difference === 0 || isKnown;
		}
		if (isKnown) return;
		throw new ApiError(
			401,
			"this server wants an API key: Authorization: Bearer KEY.",
			{ code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } },
		);
	};
}

const PREFLIGHT = {
	"access-control-allow-methods": "GET, POST, OPTIONS",
	"access-control-max-age": "600",
};

/** The headers that let a page of this origin read the answer; null where it may not. */
export function corsHeaders(
	origin: string | null,
	allowed: readonly string[],
): Record<string, string> | null {
	if (origin === null) return null;
	const isAny = allowed.includes("*");
	if (!isAny && !allowed.includes(origin)) return null;
	return {
		"access-control-allow-origin": isAny ? "*" : origin,
		"access-control-expose-headers": "x-request-id, retry-after",
		...(!isAny && { vary: "Origin" }),
	};
}

/** The answer to a browser that asks before it sends. */
export function preflight(
	request: Request,
	allowed: readonly string[],
): Response {
	const cors = corsHeaders(request.headers.get("origin"), allowed);
	if (cors === null) return new Response(null, { status: 403 });
	const wanted = request.headers.get("access-control-request-headers");
	return new Response(null, {
		status: 204,
		headers: {
			...cors,
			...PREFLIGHT,
			...(wanted !== null && { "access-control-allow-headers": wanted }),
		},
	});
}
