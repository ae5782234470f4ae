/** A web server for one test: some files from memory, folders with range requests, cross-origin isolation or not. */
import { type FileHandle, open } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path/posix";

export interface Site {
	/** By name, at the root. */
	readonly files: ReadonlyMap<string, Uint8Array | string>;
	/** By the name they are served under. */
	readonly folders: Readonly<Record<string, string>>;
	/** Whether pages may share memory among threads. */
	readonly isolated: boolean;
	/** Whether pages of other origins may read it. */
	readonly isShared?: boolean;
	/** Told of every file of a folder that is asked for. @returns bytes after which the answer stands still; null: none */
	readonly onFile?: (path: string, range: string | undefined) => number | null;
}

const SHARING = {
	"Access-Control-Allow-Origin": "*",
	"Access-Control-Expose-Headers": "Content-Range, ETag",
};

const ISOLATION = {
	"Cross-Origin-Opener-Policy": "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
};
const TYPES: Readonly<Record<string, string>> = {
	html: "text/html; charset=utf-8",
	js: "text/javascript; charset=utf-8",
	json: "application/json",
};

/** @param port 0: any that is free */
export async function serve(
	site: Site,
	wantedPort = 0,
): Promise<{ origin: string; close(): Promise<void> }> {
	const server = createServer(async ({ url, headers }, response) => {
		const { pathname } = new URL(url ?? "/", "http://localhost");
		const name = basename(pathname);
		response.setHeader("Cache-Control", "no-store");
		response.setHeader(
			"Content-Type",
			TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream",
		);
		if (site.isolated)
			for (const [key, value] of Object.entries(ISOLATION))
				response.setHeader(key, value);
		if (site.isShared)
			for (const [key, value] of Object.entries(SHARING))
				response.setHeader(key, value);
		const content = site.files.get(name);
		const [, first, ...rest] = pathname.split("/");
		const folder = site.folders[first];
		if (pathname === `/${name}` && content !== undefined) response.end(content);
		else if (folder !== undefined)
			await sendFile(
				[folder, ...rest].join("/"),
				headers.range,
				response,
				site.onFile?.(pathname, headers.range) ?? null,
			);
		else response.writeHead(404).end();
	});
	await new Promise<void>((done) =>
		server.listen(wantedPort, "127.0.0.1", done),
	);
	const { port } = server.address() as AddressInfo;
	return {
		origin: `http://127.0.0.1:${port}`,
		close: () => stop(server),
	};
}

/** All of a file, or the one span asked for; `standAfter`: no more than so many bytes of it, and no end. */
async function sendFile(
	path: string,
	range: string | undefined,
	response: ServerResponse,
	standAfter: number | null,
): Promise<void> {
	let file: FileHandle;
	try {
		file = await open(path);
	} catch {
		response.writeHead(404).end();
		return;
	}
	try {
		const { size, mtimeMs } = await file.stat();
		response.setHeader("ETag", `"${size}-${mtimeMs}"`);
		const span = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
		const first = Number(span?.[1] ?? 0);
		const last = Math.min(Number(span?.[2] || size), size - 1);
		const bytes = new Uint8Array(last - first + 1);
		await file.read(bytes, 0, bytes.length, first);
		if (span)
			response.writeHead(206, {
				"Content-Range": `bytes ${first}-${last}/${size}`,
			});
		if (standAfter === null) response.end(bytes);
		else response.write(bytes.subarray(0, standAfter));
	} finally {
		await file.close();
	}
}

function stop(server: Server): Promise<void> {
	server.closeAllConnections();
	return new Promise((done) => server.close(() => done()));
}
