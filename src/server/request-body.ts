/** The body of a request: bytes → JSON → what a schema says. Bounded in size and depth before anything walks it. Knows no endpoint. */
import type { z } from "zod";
import { ApiError, badRequest, clientGone } from "./api-error.ts";
import { MAX_JSON_DEPTH } from "./limits.ts";

/** @throws ApiError 400, 413, 415 */
export async function readBody<T extends z.ZodType>(
	request: Request,
	schema: T,
	maxBytes: number,
): Promise<z.output<T>> {
	return checked(schema, parseJson(await readText(request, maxBytes)));
}

/** @throws ApiError 400 that names the field */
export function checked<T extends z.ZodType>(
	schema: T,
	value: unknown,
): z.output<T> {
	const result = schema.safeParse(value);
	if (result.success) return result.data;
	const { path, message, code } = deepest(result.error.issues[0]);
	const param = path.length === 0 ? null : path.map(String).join(".");
	throw badRequest(
		param === null ? message : `${param}: ${message}`,
		param,
		code,
	);
}

/** Of a union's alternatives, the one that came furthest into the value says most. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
	if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
	const inner = issue.errors.filter((issues) => issues.length > 0);
	const best = inner.map((issues) => deepest(issues[0]));
	const furthest = best.reduce(
		(a, b) => (b.path.length > a.path.length ? b : a),
		best[0],
	);
	if (furthest === undefined || furthest.path.length === 0) return issue;
	return { ...furthest, path: [...issue.path, ...furthest.path] };
}

/**
 * Only application/json is read: a web page may send other types to any address of its reader's machine without asking.
 * @throws ApiError 400, 413, 415
 */
async function readText(request: Request, maxBytes: number): Promise<string> {
	const type = request.headers.get("content-type") ?? "";
	if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type))
		throw new ApiError(
			415,
			`wanted a body of content-type application/json, got ${JSON.stringify(type.slice(0, 80))}.`,
			{ code: "unsupported_media_type" },
		);
	const declared = Number(request.headers.get("content-length") ?? 0);
	if (declared > maxBytes) throw tooLarge(maxBytes);
	const bytes = await readBytes(request, maxBytes);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch {
		throw badRequest("the body is not UTF-8.", null, "invalid_json");
	}
}

async function readBytes(
	{ body, signal }: Request,
	maxBytes: number,
): Promise<Uint8Array> {
	const chunks: Uint8Array[] = [];
	let length = 0;
	try {
		for await (const chunk of body ?? []) {
			length += chunk.length;
			if (length > maxBytes) throw tooLarge(maxBytes);
			chunks.push(chunk);
		}
	} catch (cause) {
		if (cause instanceof ApiError) throw cause;
		if (signal.aborted) throw clientGone();
		throw badRequest(
			"the body could not be read to its end.",
			null,
			"invalid_body",
		);
	}
	if (chunks.length === 1) return chunks[0];
	const bytes = new Uint8Array(length);
	let at = 0;
	for (const chunk of chunks) {
		bytes.set(chunk, at);
		at += chunk.length;
	}
	return bytes;
}

const tooLarge = (maxBytes: number) =>
	new ApiError(
		413,
		`the body is larger than the ${maxBytes} bytes this server reads. Send less, or start it with a larger --max-body-bytes.`,
		{ code: "request_too_large", headers: { connection: "close" } },
	);

/** @throws ApiError 400 */
function parseJson(text: string): unknown {
	if (isDeeper(text, MAX_JSON_DEPTH))
		throw badRequest(
			`the body nests deeper than ${MAX_JSON_DEPTH} levels.`,
			null,
			"invalid_json",
		);
	try {
		return JSON.parse(text);
	} catch (error) {
		throw badRequest(
			`the body is not JSON: ${(error as Error).message}`,
			null,
			"invalid_json",
		);
	}
}

const QUOTE = 34;
const BACKSLASH = 92;

/** Counts brackets outside of strings; what is no JSON at all is the parser's to refuse. */
function isDeeper(text: string, limit: number): boolean {
	let depth = 0;
	let inString = false;
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (inString) {
			if (c === BACKSLASH) i++;
			else if (c === QUOTE) inString = false;
		} else if (c === QUOTE) inString = true;
		else if (c === 91 || c === 123) {
			if (++depth > limit) return true;
		} else if (c === 93 || c === 125) depth--;
	}
	return false;
}
