/**
 * What a page downloads, minified and gzipped: `node scripts/size.ts [--json FILE]`. Prints every part, and fails where the engine with
 * WebGPU and the tokenizer is above its budget. WASM kernels are a part of their own: a page on WebGPU never loads them.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { PAGE_BUILD } from "./page-build.ts";

/** Bytes of the engine, its WebGPU backend and the tokenizer: all that runs a checkpoint of safetensors. */
const BUDGET_BYTES = 120_000;

const root = fileURLToPath(new URL("..", import.meta.url));

/** Source files a part begins with; what an earlier part has is not counted again. */
const PARTS: readonly (readonly [name: string, ...files: string[]])[] = [
	["engine and tokenizer, in the worker", "src/browser/llm-worker.ts"],
	["WebGPU", "src/backends/webgpu/backend.ts"],
	["the page's side: nano-vllm/browser", "src/browser.ts"],
	["models of a URL, kept", "src/platform/browser.ts", "src/hub/url-files.ts"],
	["chat templates", "src/tokenizer/chat-template.ts"],
	["the Hugging Face hub", "src/hub/files.ts", "src/hub/listing-browser.ts"],
	["GGUF", "src/weights/gguf.ts", "src/weights/gguf-program.ts"],
	[
		"quantized checkpoints",
		"src/weights/prequantized.ts",
		"src/weights/quantization-config.ts",
	],
	["LoRA adapters", "src/lora.ts"],
	["mixtures of experts on WebGPU", "src/backends/webgpu/expert-plan.ts"],
	["structured outputs, without XGrammar", "src/structured/structured.ts"],
	["cpu device, without kernels", "src/backends/cpu/backend.ts"],
	["reference device", "src/backends/reference/backend.ts"],
];
/** The parts that the budget is about. */
const BUDGETED = PARTS.slice(0, 2).map(([name]) => name);

export interface Size {
	readonly name: string;
	readonly bytes: number;
	readonly gzipBytes: number;
}

interface Chunk {
	readonly path: string;
	readonly contents: Uint8Array;
}

/** Sizes of the parts, and of the largest set of WASM kernels. */
export async function measureSizes(): Promise<Size[]> {
	const { outputFiles, metafile } = await build({
		entryPoints: ["src/browser.ts", "src/browser/llm-worker.ts"],
		absWorkingDir: root,
		...PAGE_BUILD,
		minify: true,
		metafile: true,
	});
	const chunks = outputFiles.map(({ path, contents }) => ({ path, contents }));
	const seen = new Set<string>();
	const sizes = PARTS.map(([name, ...files]) => {
		const fresh = files
			.flatMap((file) => closureOf(metafile, file))
			.filter((path) => !seen.has(path));
		for (const path of fresh) seen.add(path);
		const own = new Set(fresh);
		return sizeOf(
			name,
			chunks.filter(({ path }) => own.has(basename(path))),
		);
	});
	const kernels = chunks.filter(({ path }) =>
		/^(base|relaxed)-/.test(basename(path)),
	);
	const largest = kernels.reduce((a, b) =>
		a.contents.length > b.contents.length ? a : b,
	);
	return [...sizes, sizeOf("WASM kernels, the set that is loaded", [largest])];
}

/** Names of the chunks that come with the one that holds `file`: all it imports, but not what it may import later. */
function closureOf({ outputs }: Metafile, file: string): string[] {
	const nameOf = (path: string) => basename(path);
	const entry = Object.entries(outputs).find(
		([, { entryPoint, inputs }]) => entryPoint === file || file in inputs,
	);
	if (entry === undefined) throw new Error(`${file} is in no chunk`);
	const found = new Set<string>();
	const visit = (path: string) => {
		if (found.has(path)) return;
		found.add(path);
		for (const { path: next, kind } of outputs[path].imports)
			if (kind === "import-statement") visit(next);
	};
	visit(entry[0]);
	return [...found].map(nameOf);
}

function sizeOf(name: string, chunks: readonly Chunk[]): Size {
	const sum = (measure: (contents: Uint8Array) => number) =>
		chunks.reduce((total, { contents }) => total + measure(contents), 0);
	return {
		name,
		bytes: sum((contents) => contents.length),
		gzipBytes: sum((contents) => gzipSync(contents, { level: 9 }).length),
	};
}

/** What counts against the budget. */
export function budgeted(sizes: readonly Size[]): {
	readonly gzipBytes: number;
	readonly budgetBytes: number;
} {
	const gzipBytes = sizes
		.filter(({ name }) => BUDGETED.includes(name))
		.reduce((sum, size) => sum + size.gzipBytes, 0);
	return { gzipBytes, budgetBytes: BUDGET_BYTES };
}

async function main(): Promise<void> {
	const { values } = parseArgs({ options: { json: { type: "string" } } });
	const sizes = await measureSizes();
	const { gzipBytes, budgetBytes } = budgeted(sizes);
	const kB = (bytes: number) => (bytes / 1000).toFixed(1).padStart(7);
	console.log("     kB    gzip");
	for (const { name, bytes, gzipBytes: gzip } of sizes)
		console.log(`${kB(bytes)} ${kB(gzip)}  ${name}`);
	console.log(
		`\n${kB(gzipBytes)} kB gzip of ${kB(budgetBytes).trim()} kB: ${BUDGETED.join(", ")}`,
	);
	if (values.json !== undefined)
		writeFileSync(
			values.json,
			`${JSON.stringify({ gzipBytes, budgetBytes, sizes }, null, "\t")}\n`,
		);
	if (gzipBytes > budgetBytes) {
		console.error("above the budget: load what not every model needs later.");
		process.exitCode = 1;
	}
}

if (import.meta.main) await main();
