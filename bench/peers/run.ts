/**
 * Our CPU backend beside llama.cpp and ONNX Runtime: same machine, same threads, same shapes, in turn. Needs `npm ci` in
 * bench/peers once (Linux).
 *   node bench/peers/run.ts [--threads 2] [--rounds 3] [--only q8_0,q4_0,bf16,f16,f32] [--engines ours,llama,onnx]
 *     [--measure prefill,decode,streams,matrices] [--no-wasm-revectorize] [--dir DIR for model files] [--json FILE] [--record] [--tiny]
 * prefill: a prompt of 512 tokens; decode: 127 tokens after it; streams: 16 prompts of 128 tokens, then 63 tokens each, all at
 * once; matrices: the model's products alone, beside ONNX Runtime's. Engines stay loaded and idle while another runs. --record
 * keeps the result in bench/results.
 */
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type EngineProcess, startEngine } from "./engine-process.ts";
import { type MatrixResult, measureMatrices } from "./matrices.ts";
import {
	CASES,
	type Case,
	ENGINES,
	type EngineName,
	MEASURES,
	type ModelMeasure,
	SHAPES,
	type Shape,
	type Speeds,
	TINY_SHAPES,
} from "./measures.ts";
import { type CaseResult, record, resultsOf, tablesOf } from "./report.ts";
import { ensureGguf, isGgufFormat } from "./write-gguf.ts";
import { ensureOnnx, isOnnxFormat } from "./write-onnx.ts";

const { values } = parseArgs({
	allowNegative: true,
	options: {
		threads: { type: "string", default: "2" },
		rounds: { type: "string", default: "3" },
		only: { type: "string", default: "q8_0,q4_0,bf16" },
		engines: { type: "string", default: ENGINES.join() },
		measure: { type: "string", default: MEASURES.join() },
		model: { type: "string", default: "bench/configs/qwen3-0.6b" },
		dir: { type: "string", default: join(tmpdir(), "nano-vllm-peers") },
		json: { type: "string" },
		record: { type: "boolean", default: false },
		tiny: { type: "boolean", default: false },
		"wasm-revectorize": { type: "boolean", default: true },
	},
});

const threads = Number(values.threads);
const numRounds = Number(values.rounds);
const revectorize = values["wasm-revectorize"];
const cases = pick("--only", values.only, CASES, ({ name }) => name);
const engineNames = pick("--engines", values.engines, ENGINES, (name) => name);
const wanted = pick("--measure", values.measure, MEASURES, (name) => name);
const measures = wanted.filter((measure) => measure !== "matrices");
const shapes = shapesFor(measures, values.tiny);

const results: CaseResult[] = [];
if (measures.length > 0)
	for (const one of cases) results.push(await measureCase(one));
const matrices = wanted.includes("matrices") ? await matricesOf(cases) : [];
const figures = resultsOf(results, matrices, {
	threads,
	numRounds,
	model: values.model,
});
console.log(tablesOf(figures));
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
if (values.record) record(figures);

function pick<T>(
	flag: string,
	list: string,
	all: readonly T[],
	nameOf: (it: T) => string,
): T[] {
	return list.split(",").map((name) => {
		const found = all.find((it) => nameOf(it) === name);
		if (found !== undefined) return found;
		throw new Error(`${flag}: ${name} is none of ${all.map(nameOf).join()}`);
	});
}

/** Only as much of each shape as the measures need. */
function shapesFor(wanted: readonly ModelMeasure[], tiny: boolean): Shape[] {
	const { single, streams } = tiny ? TINY_SHAPES : SHAPES;
	const result: Shape[] = [];
	if (wanted.includes("decode")) result.push(single);
	else if (wanted.includes("prefill")) result.push({ ...single, outputLen: 1 });
	if (wanted.includes("streams")) result.push(streams);
	return result;
}

/** Where both sides take part, in the formats they share. */
function matricesOf(cases: readonly Case[]): Promise<MatrixResult[]> {
	const formats = cases
		.map(({ formats: { onnx } }) => onnx ?? "")
		.filter(isOnnxFormat);
	const both = engineNames.includes("ours") && engineNames.includes("onnx");
	if (!both || formats.length === 0) return Promise.resolve([]);
	const { tiny } = values;
	return measureMatrices({ formats, threads, numRounds, revectorize, tiny });
}

async function measureCase(one: Case): Promise<CaseResult> {
	const engines = new Map<EngineName, EngineProcess>();
	const runs = new Map<EngineName, Speeds[][]>();
	try {
		for (const name of engineNames) {
			const format = one.formats[name];
			if (format === null) continue;
			const engine = await open(name, format);
			engines.set(name, engine);
			runs.set(name, []);
			console.error(`${name}, ${format}: ${engine.about}`);
			for (const shape of shapes) await engine.run(warmUpOf(shape));
		}
		for (let round = 0; round < numRounds; round++) {
			const turn = [...engines];
			if (round % 2 === 1) turn.reverse();
			const speeds = new Map(turn.map(([name]) => [name, [] as Speeds[]]));
			for (const shape of shapes)
				for (const [name, engine] of turn) {
					const run = await engine.run(shape);
					speeds.get(name)?.push(run);
					console.error(
						`  ${round + 1}/${numRounds} ${lineOf(name, shape, run)}`,
					);
				}
			for (const [name, list] of speeds) runs.get(name)?.push(list);
		}
		return { case: one, shapes, measures, runs, engines: aboutOf(engines) };
	} finally {
		for (const engine of engines.values()) await engine.close();
	}
}

/** Each engine in a process of its own, with the file it reads. */
async function open(name: EngineName, format: string): Promise<EngineProcess> {
	const { dir, model } = values;
	const start = (script: string, file: string) =>
		startEngine(new URL(script, import.meta.url), {
			model: file,
			format,
			threads,
			longest: shapes.reduce((a, b) => (b.batchSize > a.batchSize ? b : a)),
			revectorize,
		});
	switch (name) {
		case "ours":
			return start("./ours.ts", model);
		case "llama":
			if (!isGgufFormat(format)) throw new Error(`${format}: not in GGUF`);
			return start("./llama.ts", await ensureGguf(dir, model, format));
		case "onnx":
			if (!isOnnxFormat(format)) throw new Error(`${format}: not in ONNX`);
			return start("./onnx.ts", await ensureOnnx(dir, model, format));
		default:
			return name satisfies never;
	}
}

/** Every kernel has run and is compiled: a prompt as long as one request's for all together, and few outputs. */
function warmUpOf({ batchSize, inputLen, outputLen }: Shape): Shape {
	return {
		batchSize,
		inputLen: Math.ceil(inputLen / batchSize),
		outputLen: Math.min(outputLen, 8),
	};
}

function lineOf(name: string, shape: Shape, run: Speeds): string {
	const { batchSize, inputLen, outputLen } = shape;
	const decode = run.decode === null ? "" : `, decode ${run.decode.toFixed(1)}`;
	return `${name.padEnd(6)} ${batchSize} × ${inputLen} + ${outputLen}: prefill ${run.prefill.toFixed(1)}${decode}`;
}

function aboutOf(engines: ReadonlyMap<EngineName, EngineProcess>) {
	return Object.fromEntries(
		[...engines].map(([name, engine]) => [
			name,
			{
				about: engine.about,
				loadMs: Math.round(engine.loadMs),
				peakRssBytes: engine.peakRssBytes(),
			},
		]),
	);
}
