/** Bundles scripts for a page, and the workers of models, of the cpu backend and of grammars, as an application would. A `node:` module within reach is an error. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { filesByName, PAGE_BUILD } from "../../scripts/page-build.ts";

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/**
 * `script`, and `more` scripts: files beside this one. Contents by file name: SCRIPT.html, which runs SCRIPT.js; that; llm-worker.js; worker.js; grammar-worker.js
 * and XGrammar beside it, as it is; the chunks they import.
 */
export async function bundle(
	script: string,
	alias: Readonly<Record<string, string>> = {},
	more: readonly string[] = [],
): Promise<ReadonlyMap<string, Uint8Array | string>> {
	const { outputFiles } = await build({
		entryPoints: {
			...Object.fromEntries(
				[script, ...more].map((name) => [name, pathOf(`./${name}.ts`)]),
			),
			worker: pathOf("../../src/backends/cpu/worker.ts"),
			"llm-worker": pathOf("../../src/browser/llm-worker.ts"),
			"grammar-worker": pathOf("../../src/structured/grammar-worker.ts"),
		},
		...PAGE_BUILD,
		alias: Object.fromEntries(
			Object.entries(alias).map(([module, name]) => [module, pathOf(name)]),
		),
	});
	const files = filesByName<string>(outputFiles);
	const xgrammar = import.meta.resolve("@mlc-ai/web-xgrammar");
	files.set("web-xgrammar.js", readFileSync(new URL(xgrammar)));
	return files.set(
		`${script}.html`,
		`<!doctype html><title>nano-vllm</title><script type="module" src="${script}.js"></script>`,
	);
}
