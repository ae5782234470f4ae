/**
 * Our CPU backend in a tab beside llama.cpp's, as wllama has it: the same Chromium, the same GGUF, the same threads, in turn. Needs
 * `npm ci` in bench/peers once.
 *   node bench/peers/browser.ts [--threads 2] [--rounds 3] [--only q8_0,q4_0] [--model bench/configs/qwen3-0.6b]
 *     [--dir DIR for model files] [--json FILE] [--record] [--tiny]
 * prefill: a prompt of 512 tokens; decode: 127 tokens after it; streams: 8 prompts of 128 tokens, then 63 tokens each, all at once. Pages
 * are cross-origin isolated; each engine has one of its own, and is idle while the other runs. --record keeps the result in bench/results.
 */
import { appendFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { filesByName, PAGE_BUILD } from "../../scripts/page-build.ts";
import { createRandom } from "../../src/cli/workload.ts";
import { launchChromium } from "../../test/browser/chromium.ts";
import { serve } from "../../test/browser/server.ts";
import type { OpenOptions } from "./browser-page.ts";
import { median, type Shape, type Speeds, TINY_SHAPES } from "./measures.ts";
import { tableOf, today } from "./report.ts";
import { ensureGguf, isGgufFormat } from "./write-gguf.ts";

const ENGINES = ["ours", "wllama"] as const;
type Engine = (typeof ENGINES)[number];

const { values } = parseArgs({
	options: {
		threads: { type: "string", default: "2" },
		rounds: { type: "string", default: "3" },
		only: { type: "string", default: "q8_0,q4_0" },
		model: { type: "string", default: "bench/configs/qwen3-0.6b" },
		dir: { type: "string", default: join(tmpdir(), "nano-vllm-peers") },
		json: { type: "string" },
		record: { type: "boolean", default: false },
		tiny: { type: "boolean", default: false },
	},
});
const threads = Number(values.threads);
const numRounds = Number(values.rounds);
const model = values.tiny ? "demo-model" : values.model;
const shapes: readonly Shape[] = values.tiny
	? [TINY_SHAPES.single, TINY_SHAPES.streams]
	: [
			{ batchSize: 1, inputLen: 512, outputLen: 128 },
			{ batchSize: 8, inputLen: 128, outputLen: 64 },
		];

interface Row {
	readonly measure: string;
	/** Tokens per second, medians of the rounds. */
	readonly ours: number;
	readonly wllama: number;
	/** Ours over theirs: the median of the rounds' ratios. */
	readonly ratio: number;
	readonly rounds: Readonly<Record<Engine, readonly number[]>>;
}

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const random = createRandom(0);
const site = await serve({
	files: await pageFiles(),
	folders: { wllama: pathOf("node_modules/@wllama/wllama/esm") },
	isolated: true,
});
const browser = await launchChromium();
const about: Partial<Record<Engine, string>> = {};
const rows: Row[] = [];
for (const format of values.only.split(",")) {
	if (!isGgufFormat(format)) throw new Error(`--only: no format ${format}`);
	const file = await ensureGguf(values.dir, model, format);
	rows.push(...(await measure(browser, format, file)));
}
const figures = {
	date: today(),
	machine: { cpu: cpus()[0].model.trim(), cores: availableParallelism() },
	browser: `Chromium ${browser.version()}`,
	model,
	threads,
	numRounds,
	shapes,
	about,
	rows,
};
await browser.close();
await site.close();
const table = tableOf(
	[`tokens/s in a tab, ${threads} threads`, "nano-vllm", "wllama", "ratio"],
	rows.map(({ measure: name, ours, wllama, ratio }) => [
		name,
		ours.toFixed(1),
		wllama.toFixed(1),
		`× ${ratio.toFixed(2)}`,
	]),
);
console.log(table);
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
if (values.record) record();

async function pageFiles(): Promise<Map<string, Uint8Array | string>> {
	const { outputFiles } = await build({
		entryPoints: {
			"browser-page": pathOf("browser-page.ts"),
			"llm-worker": pathOf("../../src/browser/llm-worker.ts"),
			worker: pathOf("../../src/backends/cpu/worker.ts"),
		},
		...PAGE_BUILD,
		minify: true,
	});
	const files = filesByName<string>(outputFiles);
	return files.set(
		"page.html",
		`<!doctype html><title>peers</title><input type="file"><script type="module" src="browser-page.js"></script>`,
	);
}

async function measure(
	browser: Browser,
	format: string,
	file: string,
): Promise<Row[]> {
	const pages = new Map<Engine, Page>();
	const runs: Record<Engine, Speeds[][]> = { ours: [], wllama: [] };
	try {
		for (const engine of ENGINES) {
			const page = await openPage(browser, engine, file);
			pages.set(engine, page);
			for (const shape of shapes)
				await run(page, { ...shape, inputLen: 16, outputLen: 2 });
		}
		for (let round = 0; round < numRounds; round++) {
			const turn = [...pages];
			if (round % 2 === 1) turn.reverse();
			for (const [engine] of turn) runs[engine].push([]);
			for (const shape of shapes)
				for (const [engine, page] of turn) {
					const speeds = await run(page, shape);
					runs[engine].at(-1)?.push(speeds);
					const told = Object.entries(speeds).map(
						([name, speed]) => `${name} ${speed?.toFixed(1)}`,
					);
					console.error(
						`  ${round + 1}/${numRounds} ${engine}, ${format}, ${shape.batchSize} at once: ${told.join(", ")}`,
					);
				}
		}
	} finally {
		for (const page of pages.values()) await page.close();
	}
	const row = (name: string, of: (round: readonly Speeds[]) => number) =>
		rowOf(`${name}, ${format}`, runs, of);
	const streams = `${shapes[1].batchSize} streams with their prompts`;
	return [
		row("prefill", ([single]) => single.prefill),
		row("decode, 1 stream", ([single]) => single.decode ?? 0),
		row(streams, ([, several]) => several.output),
	];
}

async function openPage(
	browser: Browser,
	engine: Engine,
	file: string,
): Promise<Page> {
	const page = await browser.newPage();
	page.on("pageerror", (error) => console.error(`  ${engine}: ${error}`));
	await page.goto(`${site.origin}/page.html`);
	await page.setInputFiles("input", file);
	const most = (of: (shape: Shape) => number) => Math.max(...shapes.map(of));
	const options: OpenOptions = {
		engine,
		threads,
		maxNumSeqs: most(({ batchSize }) => batchSize),
		maxModelLen: most(({ inputLen, outputLen }) => inputLen + outputLen) + 16,
		wllamaUrl: `${site.origin}/wllama`,
	};
	type Open = { openEngine(options: OpenOptions): Promise<string> };
	about[engine] = await page.evaluate(
		(options) => (globalThis as unknown as Open).openEngine(options),
		options,
	);
	console.error(`${engine}: ${about[engine]}`);
	return page;
}

function run(page: Page, shape: Shape): Promise<Speeds> {
	const prompts = Array.from({ length: shape.batchSize }, () =>
		letters(shape.inputLen),
	);
	type Run = { runShape(shape: Shape, prompts: string[]): Promise<Speeds> };
	return page.evaluate(
		([shape, prompts]) =>
			(globalThis as unknown as Run).runShape(shape, prompts),
		[shape, prompts] as const,
	);
}

/** Each is one token: the file's vocabulary has no words. */
function letters(count: number): string {
	const codes = Array.from({ length: count }, () =>
		"abcdefghijklmnopqrstuvwxyz".charAt(random(0, 25)),
	);
	return codes.join("");
}

function rowOf(
	measure: string,
	runs: Readonly<Record<Engine, readonly (readonly Speeds[])[]>>,
	of: (round: readonly Speeds[]) => number,
): Row {
	const ours = runs.ours.map(of);
	const wllama = runs.wllama.map(of);
	return {
		measure,
		ours: median(ours),
		wllama: median(wllama),
		ratio: median(ours.map((speed, round) => speed / wllama[round])),
		rounds: { ours, wllama },
	};
}

/** Writes bench/results/DATE-browser-peers.json and adds the table to the README beside it. */
function record(): void {
	const directory = pathOf("../results");
	const name = `${figures.date}-browser-peers.json`;
	writeFileSync(join(directory, name), `${JSON.stringify(figures, null, 2)}\n`);
	const { machine, date } = figures;
	const text = `
## ${date}: in a browser's tab, beside wllama

\`node bench/peers/browser.ts --threads ${threads} --rounds ${numRounds}\` on ${machine.cpu}, ${machine.cores} cores, ${figures.browser}; ${model}, random weights, the same GGUF for both, cross-origin isolated pages; medians of ${numRounds} rounds in turn. [JSON](${name})
${ENGINES.map((engine) => `- ${about[engine]}`).join("\n")}

${table}
`;
	appendFileSync(join(directory, "README.md"), text);
}
