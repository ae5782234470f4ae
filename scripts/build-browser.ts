/**
 * Builds dist/page: the package for browsers as plain files that import nothing but each other, with the workers beside them. Served as
 * they are they work; bundlers find them by the package's "browser" condition.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { filesByName, PAGE_BUILD } from "./page-build.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** By the name they are asked for: workers are found beside the file that starts them. */
const ENTRIES = {
	index: "src/index.ts",
	browser: "src/browser.ts",
	"llm-worker": "src/browser/llm-worker.ts",
	worker: "src/backends/cpu/worker.ts",
	"grammar-worker": "src/structured/grammar-worker.ts",
};

/** The files by name. A module of Node within reach is an error. */
export async function buildPage(): Promise<ReadonlyMap<string, Uint8Array>> {
	const { outputFiles } = await build({
		entryPoints: ENTRIES,
		absWorkingDir: root,
		...PAGE_BUILD,
		minify: true,
	});
	const files = filesByName(outputFiles);
	// As it is: a script that calls itself a module, fetched by the grammar worker alone.
	const xgrammar = import.meta.resolve("@mlc-ai/web-xgrammar");
	return files.set("web-xgrammar.js", readFileSync(new URL(xgrammar)));
}

async function main(): Promise<void> {
	const folder = join(root, "dist/page");
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const [name, contents] of await buildPage())
		writeFileSync(join(folder, name), contents);
}

if (import.meta.main) await main();
