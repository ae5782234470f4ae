/**
 * A Hugging Face hub of our own: the API's model info and tree, resolve with its headers, redirects of large files to a "CDN" on
 * another port, range requests, and troubles on demand. Its answers follow https://huggingface.co/docs/hub/api and what the
 * Python client reads of them (file_download.py, utils/_http.py of huggingface_hub).
 */
import { createHash } from "node:crypto";
import {
	createServer,
	type IncomingMessage,
	type Server,
	type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";

export interface Repo {
	readonly commit: string;
	readonly files: ReadonlyMap<string, Uint8Array>;
	/** Only this token may read the files. */
	readonly gatedFor?: string;
	/** Only this token may see that it exists. */
	readonly privateFor?: string;
	readonly revisions?: readonly string[];
}

/** What shall go wrong with one request. */
export type Trouble =
	| { readonly status: number; readonly headers?: Record<string, string> }
	/** The connection breaks after so many bytes of the body. */
	| { readonly cutAfter: number }
	/** Other bytes than the file's. */
	| { readonly body: Uint8Array }
	/** Nothing more after so many bytes. */
	| { readonly hangAfter: number }
	/** A range ends after so many bytes, and says so. */
	| { readonly truncateTo: number }
	/** The whole file where a part was asked for. */
	| { readonly ignoreRange: true }
	/** A little at a time. */
	| { readonly pieces: number; readonly pauseMs: number };

export interface Seen {
	readonly host: "hub" | "cdn";
	readonly path: string;
	readonly range: string | undefined;
	readonly authorization: string | undefined;
	/** Bytes of the body that were sent. */
	sent: number;
}

export interface HubServer {
	readonly endpoint: string;
	readonly repos: Map<string, Repo>;
	readonly seen: Seen[];
	/** Called before a request is answered; null: nothing goes wrong. */
	trouble: (request: Seen) => Trouble | null;
	/** Entries of one page of a listing. */
	pageSize: number;
	/** Stops listening and cuts what is open, as a cable that is pulled. */
	close(): Promise<void>;
}

const hash = (algorithm: string, ...parts: (string | Uint8Array)[]): string => {
	const digest = createHash(algorithm);
	for (const part of parts) digest.update(part);
	return digest.digest("hex");
};

/** Git keeps these outside, in LFS. */
const isLarge = (path: string): boolean =>
	/\.(safetensors|gguf|bin)$|(^|\/)tokenizer\.json$/.test(path);

/** What the hub calls a file: ETag, and name of the blob in the cache. */
export function etagOf(path: string, data: Uint8Array): string {
	return isLarge(path)
		? hash("sha256", data)
		: hash("sha1", `blob ${data.length}\0`, data);
}

export async function startHub(): Promise<HubServer> {
	const seen: Seen[] = [];
	const repos = new Map<string, Repo>();
	const cdn = await listen((request, response) => {
		const path = new URL(request.url ?? "/", "http://cdn").pathname;
		const record = note("cdn", request, path);
		const [, , etag] = path.split("/");
		for (const { files } of repos.values())
			for (const [name, data] of files)
				if (etagOf(name, data) === etag)
					return send(request, response, data, {}, record, hub.trouble(record));
		response.writeHead(404).end();
	});
	const main = await listen((request, response) =>
		answer(request, response).catch((error) => response.destroy(error)),
	);
	const hub: HubServer = {
		endpoint: main.url,
		repos,
		seen,
		trouble: () => null,
		pageSize: 1000,
		async close() {
			for (const { server } of [main, cdn]) {
				server.closeAllConnections();
				await new Promise((done) => server.close(done));
			}
		},
	};
	after(() => hub.close());

	function note(
		host: Seen["host"],
		{ headers }: IncomingMessage,
		path: string,
	): Seen {
		const { range, authorization } = headers;
		const record = { host, path, range, authorization, sent: 0 };
		seen.push(record);
		return record;
	}

	async function answer(
		request: IncomingMessage,
		response: ServerResponse,
	): Promise<void> {
		const url = new URL(request.url ?? "/", main.url);
		const path = decodeURIComponent(url.pathname);
		const record = note("hub", request, path);
		const trouble = hub.trouble(record);
		if (trouble && "status" in trouble)
			return void response.writeHead(trouble.status, trouble.headers).end();
		const [, name = "", kind, rest = ""] =
			/^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/(.+)$/.exec(
				path,
			) ?? [];
		const refuse = (status: number, code: string, message: string) =>
			void response
				.writeHead(status, { "X-Error-Code": code, "X-Error-Message": message })
				.end();
		const repo = repos.get(name);
		const token = record.authorization?.replace("Bearer ", "");
		if (token === "bad")
			return void response
				.writeHead(401, {
					"X-Error-Message": "Invalid credentials in Authorization header",
				})
				.end();
		if (!repo || (repo.privateFor && repo.privateFor !== token))
			return refuse(401, "RepoNotFound", "Repository not found");
		const known = [repo.commit, "main", "HEAD", ...(repo.revisions ?? [])];
		const revision = known.find((r) => rest === r || rest.startsWith(`${r}/`));
		if (!revision) return refuse(404, "RevisionNotFound", "Invalid rev id");
		if (kind === "revision")
			return json(response, { _id: "1", id: name, sha: repo.commit });
		if (kind === "tree") return tree(url, response, repo);
		if (repo.gatedFor && repo.gatedFor !== token)
			return refuse(token ? 403 : 401, "GatedRepo", "Access is restricted");
		const file = rest.slice(revision.length + 1);
		const data = repo.files.get(file);
		if (!data) return refuse(404, "EntryNotFound", "Entry not found");
		const etag = etagOf(file, data);
		const headers = { "X-Repo-Commit": repo.commit };
		if (!isLarge(file))
			return send(
				request,
				response,
				data,
				{ ...headers, ETag: `"${etag}"` },
				record,
				trouble,
			);
		response
			.writeHead(302, {
				...headers,
				"X-Linked-ETag": `"${etag}"`,
				"X-Linked-Size": String(data.length),
				Location: `${cdn.url}/blob/${etag}?signature=1`,
			})
			.end();
	}

	function tree(url: URL, response: ServerResponse, { files }: Repo): void {
		const all = [...files].map(([path, data]) => ({
			type: "file",
			path,
			size: data.length,
			oid: hash("sha1", `blob ${data.length}\0`, data),
			...(isLarge(path) && {
				lfs: { oid: hash("sha256", data), size: data.length, pointerSize: 134 },
				xetHash: hash("sha256", "xet", data),
			}),
		}));
		const first = Number(url.searchParams.get("cursor") ?? 0);
		const end = first + hub.pageSize;
		url.searchParams.set("cursor", String(end));
		const link = `<${url.href}>; rel="next"`;
		json(response, all.slice(first, end), end < all.length ? link : null);
	}
	return hub;
}

function json(
	response: ServerResponse,
	value: unknown,
	link: string | null = null,
): void {
	response
		.writeHead(200, {
			"Content-Type": "application/json",
			...(link && { Link: link }),
		})
		.end(JSON.stringify(value));
}

/** The file, or the part of it that was asked for, with what shall go wrong. */
function send(
	request: IncomingMessage,
	response: ServerResponse,
	data: Uint8Array,
	headers: Record<string, string>,
	record: Seen,
	trouble: Trouble | null,
): void {
	if (trouble && "status" in trouble)
		return void response.writeHead(trouble.status, trouble.headers).end();
	const content = trouble && "body" in trouble ? trouble.body : data;
	const match = /^bytes=(\d+)-(\d*)$/.exec(record.range ?? "");
	const asked = trouble && "ignoreRange" in trouble ? null : match;
	const first = Number(asked?.[1] ?? 0);
	let end = Math.min(
		Number(asked?.[2] || content.length - 1) + 1,
		content.length,
	);
	if (trouble && "truncateTo" in trouble && asked)
		end = Math.min(end, first + trouble.truncateTo);
	if (asked && first >= content.length)
		return void response
			.writeHead(416, { "Content-Range": `bytes */${content.length}` })
			.end();
	const range = asked && {
		"Content-Range": `bytes ${first}-${end - 1}/${content.length}`,
	};
	response.writeHead(asked ? 206 : 200, {
		...headers,
		"Content-Length": end - first,
		...range,
	});
	if (request.method === "HEAD") return void response.end();
	void write(response, content.subarray(first, end), record, trouble);
}

async function write(
	response: ServerResponse,
	body: Uint8Array,
	record: Seen,
	trouble: Trouble | null,
): Promise<void> {
	const push = (part: Uint8Array) => {
		record.sent += part.length;
		return new Promise<void>((done) => response.write(part, () => done()));
	};
	if (trouble && "cutAfter" in trouble) {
		await push(body.subarray(0, trouble.cutAfter));
		// What was written must have left before the connection breaks.
		return void setTimeout(() => response.destroy(), 20);
	}
	if (trouble && "hangAfter" in trouble)
		return push(body.subarray(0, trouble.hangAfter));
	if (trouble && "pieces" in trouble) {
		const step = Math.ceil(body.length / trouble.pieces);
		for (let at = 0; at < body.length; at += step) {
			await push(body.subarray(at, at + step));
			await new Promise((done) => setTimeout(done, trouble.pauseMs));
		}
		return void response.end();
	}
	await push(body);
	response.end();
}

async function listen(
	answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly server: Server; readonly url: string }> {
	const server = createServer((request, response) => {
		// Pages of any origin may read the hub.
		response.setHeader("Access-Control-Allow-Origin", "*");
		response.setHeader("Access-Control-Expose-Headers", "*");
		answer(request, response);
	});
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	const { port } = server.address() as AddressInfo;
	return { server, url: `http://127.0.0.1:${port}` };
}
