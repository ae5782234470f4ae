/** The web app as it is built, on a static server of its own: from a folder, with the headers of isolation or without. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";

export type BuiltApp = ReadonlyMap<string, Uint8Array | string>;

export interface AppSite {
	/** Of the folder it is served from, with a slash at the end. */
	readonly url: string;
	close(): Promise<void>;
}

const FOLDER = "/some/folder/";
const ISOLATION = {
	"Cross-Origin-Opener-Policy": "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
};
const TYPES: Readonly<Record<string, string>> = {
	css: "text/css; charset=utf-8",
	html: "text/html; charset=utf-8",
	js: "text/javascript; charset=utf-8",
	json: "application/json",
	svg: "image/svg+xml",
};

/** By path. */
export async function buildApp(): Promise<BuiltApp> {
	const root = fileURLToPath(new URL("../../web", import.meta.url));
	const result = await build({
		root,
		configFile: `${root}/vite.config.ts`,
		logLevel: "error",
		build: { write: false },
	});
	const { output } = result as Rollup.RollupOutput;
	return new Map(
		output.map((file) => [
			file.fileName,
			file.type === "chunk" ? file.code : file.source,
		]),
	);
}

export async function serveApp(
	app: BuiltApp,
	{ isolated = true } = {},
): Promise<AppSite> {
	const server = createServer(({ url }, response) => {
		const { pathname } = new URL(url ?? "/", "http://localhost");
		const path = pathname.slice(FOLDER.length) || "index.html";
		const content = pathname.startsWith(FOLDER) ? app.get(path) : undefined;
		if (content === undefined) {
			response.writeHead(404).end();
			return;
		}
		response.writeHead(200, {
			"Content-Type":
				TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream",
			...(isolated && ISOLATION),
		});
		response.end(content);
	});
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	const { port } = server.address() as AddressInfo;
	return {
		url: `http://127.0.0.1:${port}${FOLDER}`,
		close: () => stop(server),
	};
}

function stop(server: Server): Promise<void> {
	server.closeAllConnections();
	return new Promise((done) => server.close(() => done()));
}
