/**
 * Our CPU backend beside llama.cpp: same machine, same threads, same shapes, in turn. Needs `npm ci` in bench/peers once (Linux).
 *   node bench/peers/run.ts [--threads 2] [--rounds 3] [--only q8_0,q4_0,bf16] [--measure prefill,decode,streams]
 *     [--skip-peer | --skip-ours] [--no-wasm-revectorize] [--dir DIR for GGUF files] [--json FILE] [--record] [--tiny]
 * prefill: a prompt of 512 tokens; decode: 127 tokens after it; streams: 16 prompts of 128 tokens, then 63 tokens each, all at
 * once. Both engines stay loaded and idle while the other runs. --record keeps the result in bench/results.
 */
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
	type EngineProcess,
	type EngineStart,
	startEngine,
} from "./engine-process.ts";
import {
	CASES,
	type Case,
	MEASURES,
	type Measure,
	SHAPES,
	type Shape,
	type Speeds,
	TINY_SHAPES,
} from "./measures.ts";
import { type CaseResult, record, resultsOf, tableOf } from "./report.ts";
import { ensureGguf } from "./write-gguf.ts";

const { values } = parseArgs({
	allowNegative: true,
	options: {
		threads: { type: "string", default: "2" },
		rounds: { type: "string", default: "3" },
		only: { type: "string", default: "q8_0,q4_0,bf16" },
		measure: { type: "string", default: MEASURES.join() },
		model: { type: "string", default: "bench/configs/qwen3-0.6b" },
		dir: { type: "string", default: join(tmpdir(), "nano-vllm-peers") },
		json: { type: "string" },
		record: { type: "boolean", default: false },
		tiny: { type: "boolean", default: false },
		"skip-peer": { type: "boolean", default: false },
		"skip-ours": { type: "boolean", default: false },
		"wasm-revectorize": { type: "boolean", default: true },
	},
});

const threads = Number(values.threads);
const numRounds = Number(values.rounds);
const cases = pick("--only", values.only, CASES, ({ name }) => name);
const measures = pick("--measure", values.measure, MEASURES, (name) => name);
const shapes = shapesFor(measures, values.tiny);

const results: CaseResult[] = [];
for (const one of cases) results.push(await measureCase(one));
console.log(tableOf(results, threads));
const figures = resultsOf(results, { threads, numRounds, model: values.model });
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
if (values.record) record(figures, tableOf(results, threads));

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
function shapesFor(wanted: readonly Measure[], tiny: boolean): Shape[] {
	const { single, streams } = tiny ? TINY_SHAPES : SHAPES;
	const result: Shape[] = [];
	if (wanted.includes("decode")) result.push(single);
	else if (wanted.includes("prefill")) result.push({ ...single, outputLen: 1 });
	if (wanted.includes("streams")) result.push(streams);
	return result;
}

async function measureCase(one: Case): Promise<CaseResult> {
	const engines = new Map<"ours" | "theirs", EngineProcess>();
	const runs: Record<"ours" | "theirs", Speeds[][]> = { ours: [], theirs: [] };
	const longest = shapes.reduce((a, b) => (b.batchSize > a.batchSize ? b : a));
	const common = { threads, longest, revectorize: values["wasm-revectorize"] };
	const start = (script: string, rest: Pick<EngineStart, "model" | "format">) =>
		startEngine(new URL(script, import.meta.url), { ...common, ...rest });
	try {
		if (!values["skip-ours"]) {
			const ours = { model: values.model, format: one.ours };
			engines.set("ours", await start("./ours.ts", ours));
		}
		if (!values["skip-peer"]) {
			const model = await ensureGguf(values.dir, values.model, one.theirs);
			const theirs = { model, format: one.theirs };
			engines.set("theirs", await start("./llama.ts", theirs));
		}
		for (const [name, engine] of engines) {
			console.error(`${name}, ${one[name]}: ${engine.about}`);
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
			for (const [name, list] of speeds) runs[name].push(list);
		}
		return { case: one, shapes, measures, runs, engines: aboutOf(engines) };
	} finally {
		for (const engine of engines.values()) await engine.close();
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

function aboutOf(engines: ReadonlyMap<"ours" | "theirs", EngineProcess>) {
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
