/**
 * How long a model takes to load and what memory it takes at most, beside llama.cpp: each load in a fresh process, files in the
 * system's cache. Needs `npm ci` in bench/peers once for llama.cpp (Linux).
 *   node bench/peers/load.ts [--threads 2] [--rounds 3] [--engines ours,llama] [--model bench/configs/qwen3-0.6b] [--tiny]
 *     [--dir DIR for model files, 2 GB] [--json FILE] [--record]
 * bf16: config.json and model.safetensors, 1.2 GB for Qwen3-0.6B, which llama.cpp does not read; q8_0: a GGUF of 0.6 GB, the same file
 * for both. llama.cpp maps the file and reads it when it computes, so the first token is timed too. --record keeps the result in
 * bench/results.
 */
import { fork } from "node:child_process";
import {
	appendFileSync,
	createReadStream,
	statSync,
	writeFileSync,
} from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LoadStart, LoadTimes } from "./load-process.ts";
import { median, TITLES } from "./measures.ts";
import { tableOf, today } from "./report.ts";
import { ensureCheckpoint } from "./write-checkpoint.ts";
import { ensureGguf } from "./write-gguf.ts";

type Engine = LoadStart["engine"];

const { values } = parseArgs({
	options: {
		threads: { type: "string", default: "2" },
		rounds: { type: "string", default: "3" },
		engines: { type: "string", default: "ours,llama" },
		model: { type: "string", default: "bench/configs/qwen3-0.6b" },
		dir: { type: "string", default: join(tmpdir(), "nano-vllm-peers") },
		tiny: { type: "boolean", default: false },
		json: { type: "string" },
		record: { type: "boolean", default: false },
	},
});
const threads = Number(values.threads);
const numRounds = Number(values.rounds);
const model = values.tiny ? "demo-model" : values.model;
const engines = values.engines.split(",").map((name): Engine => {
	if (name === "ours" || name === "llama") return name;
	throw new Error(`--engines: ${name} is none of ours,llama`);
});

interface Row {
	readonly engine: Engine;
	readonly format: string;
	readonly fileBytes: number;
	/** Medians of the rounds. */
	readonly loadMs: number;
	readonly firstTokenMs: number;
	readonly peakRssBytes: number;
	readonly rounds: readonly LoadTimes[];
}

const folder = await ensureCheckpoint(values.dir, model);
const weights = join(folder, "model.safetensors");
const gguf = await ensureGguf(values.dir, model, "q8_0");
const loads = [
	{ engine: "ours", format: "bf16 safetensors", model: folder, file: weights },
	{ engine: "ours", format: "q8_0 GGUF", model: gguf, file: gguf },
	{ engine: "llama", format: "q8_0 GGUF", model: gguf, file: gguf },
] as const;
const chosen = loads.filter(({ engine }) => engines.includes(engine));
for (const file of new Set(chosen.map((it) => it.file))) await readOnce(file);
const times = chosen.map((): LoadTimes[] => []);
for (let round = 0; round < numRounds; round++)
	for (const [i, { engine, format, model }] of chosen.entries()) {
		const one = await load({ engine, model, threads });
		times[i].push(one);
		console.error(
			`${round + 1}/${numRounds} ${engine}, ${format}: ${one.loadMs.toFixed(0)} ms, first token ${one.firstTokenMs.toFixed(0)} ms, ${(one.peakRssBytes / 2 ** 20).toFixed(0)} MiB`,
		);
	}

const figures = {
	date: today(),
	machine: { cpu: cpus()[0].model.trim(), cores: availableParallelism() },
	runtime: `node ${process.version}`,
	model,
	threads,
	numRounds,
	rows: chosen.map(({ engine, format, file }, i): Row => {
		const middle = (of: (one: LoadTimes) => number) => median(times[i].map(of));
		return {
			engine,
			format,
			fileBytes: statSync(file).size,
			loadMs: middle((one) => one.loadMs),
			firstTokenMs: middle((one) => one.firstTokenMs),
			peakRssBytes: middle((one) => one.peakRssBytes),
			rounds: times[i],
		};
	}),
};
const text = tableOf(
	[
		`${threads} ${threads === 1 ? "thread" : "threads"}`,
		"file MB",
		"load ms",
		"first token ms",
		"MB/s to there",
		"peak RSS MB",
		"RSS / file",
	],
	figures.rows.map((row) => [
		`${TITLES[row.engine]}, ${row.format}`,
		(row.fileBytes / 1e6).toFixed(0),
		row.loadMs.toFixed(0),
		row.firstTokenMs.toFixed(0),
		(row.fileBytes / 1e3 / (row.loadMs + row.firstTokenMs)).toFixed(0),
		(row.peakRssBytes / 1e6).toFixed(0),
		(row.peakRssBytes / row.fileBytes).toFixed(2),
	]),
);
console.log(text);
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
if (values.record) record();

/** Brings the file into the system's cache. */
async function readOnce(file: string): Promise<void> {
	for await (const _ of createReadStream(file, { highWaterMark: 2 ** 22 }));
}

async function load(start: LoadStart): Promise<LoadTimes> {
	const script = new URL("./load-process.ts", import.meta.url);
	const child = fork(script, [JSON.stringify(start)]);
	let times: LoadTimes | null = null;
	child.on("message", (message) => {
		times = message as LoadTimes;
	});
	const end = await new Promise((resolve) =>
		child.on("exit", (code, signal) => resolve(signal ?? code)),
	);
	if (times !== null) return times;
	throw new Error(
		`${start.engine} ended with ${end} while loading ${start.model}`,
	);
}

/** Writes bench/results/DATE-load.json and adds the table to the README beside it. */
function record(): void {
	const directory = join(import.meta.dirname, "..", "results");
	const name = `${figures.date}-load.json`;
	writeFileSync(join(directory, name), `${JSON.stringify(figures, null, 2)}\n`);
	const { machine, runtime } = figures;
	appendFileSync(
		join(directory, "README.md"),
		`
## ${figures.date}: loading a model

\`node bench/peers/load.ts --threads ${threads} --rounds ${numRounds}\` on ${machine.cpu}, ${machine.cores} cores, ${runtime.replace("node v", "Node ")}; ${model}, random weights, files in the system's cache, each load in a fresh process; medians of ${numRounds} rounds. [JSON](${name})

${text}
`,
	);
}
