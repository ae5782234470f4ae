/** The web app's built files in a folder. Only what was there when serving began is served: no path leads anywhere else. */
import { readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { NanoVllmError } from "../errors.ts";
import type { WebFiles } from "../server/web-app.ts";

/** Where `npm run build` puts it, from src/cli/ as from dist/cli/. */
const BUILT = fileURLToPath(new URL("../../dist/web", import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
	".css": "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".ico": "image/x-icon",
	".jpg": "image/jpeg",
	".js": "text/javascript; charset=utf-8",
	".json": "application/json",
	".map": "application/json",
	".mjs": "text/javascript; charset=utf-8",
	".png": "image/png",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
	".wasm": "application/wasm",
	".webmanifest": "application/manifest+json",
	".webp": "image/webp",
	".woff2": "font/woff2",
};

export function addWebFlags(command: Command): Command {
	return command
		.option(
			"--web <dir>",
			"serve the web app's built files from here, at / (default: the package's own)",
		)
		.option("--no-web", "serve no web app");
}

/** The app the options ask for; null: none. @throws invalid_option where there is none in the folder named */
export function chosenWebFiles(options: {
	readonly web?: string | boolean;
}): WebFiles | null {
	const { web } = options;
	if (web === false) return null;
	if (typeof web === "string") {
		if (hasIndex(web)) return webFiles(web);
		throw new NanoVllmError(
			"invalid_option",
			`--web: there is no index.html in ${web}. Build the web app, or name the folder it was built into.`,
		);
	}
	return hasIndex(BUILT) ? webFiles(BUILT) : null;
}

/** Links are not followed. */
export function webFiles(folder: string): WebFiles {
	const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
	const files = new Map<string, string>();
	for (const entry of entries) {
		if (!entry.isFile()) continue;
		const file = join(entry.parentPath, entry.name);
		files.set(relative(folder, file).replaceAll(sep, "/"), file);
	}
	return async (path) => {
		const file = files.get(path);
		if (file === undefined) return null;
		const type = TYPES[extname(file)] ?? "application/octet-stream";
		return { body: await readFile(file), type };
	};
}

const hasIndex = (folder: string): boolean =>
	statSync(join(folder, "index.html"), { throwIfNoEntry: false })?.isFile() ??
	false;
