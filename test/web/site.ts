/** Serves a folder of built files from memory's neighbour, the disk: as any static host would, with cross-origin isolation. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path/posix";

export interface FolderSite {
	readonly origin: string;
	close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".json": "application/json",
	".svg": "image/svg+xml",
};

/** @param files by path, before those of the folder */
export async function serveFolder(
	folder: string,
	files: ReadonlyMap<string, Uint8Array | string> = new Map(),
): Promise<FolderSite> {
	const server = createServer(async ({ url }, response) => {
		const { pathname } = new URL(url ?? "/", "http://localhost");
		const path = normalize(
			pathname.endsWith("/") ? `${pathname}index.html` : pathname,
		);
		response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
		response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
		response.setHeader(
			"Content-Type",
			TYPES[extname(path)] ?? "application/octet-stream",
		);
		try {
			response.end(files.get(path) ?? (await readFile(join(folder, path))));
		} catch {
			response.writeHead(404).end();
		}
	});
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	const { port } = server.address() as AddressInfo;
	return {
		origin: `http://127.0.0.1:${port}`,
		close() {
			server.closeAllConnections();
			return new Promise((done) => server.close(() => done()));
		},
	};
}
