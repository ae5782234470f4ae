/**
 * Every CPU kernel alone, at Qwen3-0.6B's shapes, beside what the same threads can read and multiply at most in the same run.
 *   node bench/kernels.ts [--threads 2] [--only linear,attention,sampler] [--formats bf16,q8_0,q4_0,f32] [--shapes qkv,o,…]
 *     [--tokens 1,4,16,64,256] [--sample-ms 100] [--no-wasm-revectorize] [--json FILE]
 * Weights and keys are larger than the caches and pass by in turn, as the layers of a model do. Times are the best of five.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { calibrate } from "../src/backends/cpu/calibrate.ts";
import type { WeightFormat } from "../src/backends/cpu/format.ts";
import { instantiate, loadKernels } from "../src/backends/cpu/kernels.ts";
import { PAGE_BYTES } from "../src/backends/cpu/plan.ts";
import { writeStep } from "../src/backends/cpu/step.ts";
import { loadPlatform } from "../src/platform/detect.ts";
import {
	attentionCase,
	type KernelCase,
	LINEAR_SHAPES,
	layOutCase,
	linearCase,
	samplerCase,
} from "./cpu-kernels/cases.ts";
import {
	ceilingLines,
	instructionOf,
	measureCeilings,
	READ_BYTES,
} from "./cpu-kernels/ceilings.ts";
import { fillCase } from "./cpu-kernels/fill.ts";
import { stepOf } from "./cpu-kernels/step.ts";
import { bestMs, startThreads } from "./cpu-kernels/threads.ts";

const { values } = parseArgs({
	allowNegative: true,
	options: {
		threads: { type: "string", default: String(availableParallelism()) },
		only: { type: "string", default: "linear,attention,sampler" },
		formats: { type: "string", default: "bf16,q8_0,q4_0,f32" },
		shapes: { type: "string", default: "qkv,o,gate_up,down,lm_head" },
		tokens: { type: "string", default: "1,4,16,64,256" },
		"sample-ms": { type: "string", default: "100" },
		"wasm-revectorize": { type: "boolean", default: true },
		json: { type: "string" },
	},
});
const BLOCK_SIZE = 16;
const FORMAT_NAMES: readonly WeightFormat[] = [
	"bf16",
	"f16",
	"f32",
	"q8_0",
	"q4_0",
];
const numThreads = Number(values.threads);
const sampleMs = Number(values["sample-ms"]);
const cases = chosenCases();

const platform = await loadPlatform();
const revectorize =
	platform.enableWasmRevectorize(values["wasm-revectorize"]) &&
	values["wasm-revectorize"];
const { module, build } = await loadKernels(true, { fresh: !revectorize });
const { wide } = calibrate(module, true, "q8_0", () => performance.now());
const layouts = cases.map((one) => layOutCase(one, numThreads, BLOCK_SIZE));
const largest = Math.max(
	PAGE_BYTES + READ_BYTES,
	...layouts.map((layout) => layout.memoryBytes),
);
const numPages = Math.ceil(largest / PAGE_BYTES) + 1;
const memory = new WebAssembly.Memory({
	initial: numPages,
	maximum: 65_536,
	shared: true,
});
const kernels = instantiate(module, memory);
const meeting = (numPages - 1) * PAGE_BYTES;
const threads = startThreads({ module, memory, wide, numThreads, meeting });

const relaxed = build === "relaxed-shared";
const ceilings = await measureCeilings(threads, memory, PAGE_BYTES, {
	numThreads,
	relaxed,
	sampleMs,
});
const about = `${cpus()[0].model.trim()}, ${numThreads} threads, Node ${process.version}, ${build} build, revectorize ${revectorize ? "on" : "off"}, ${wide ? 16 : 8} columns at a time`;
console.log([about, "", ...ceilingLines(ceilings), "", header()].join("\n"));

interface Result {
	readonly kernel: string;
	readonly format: WeightFormat;
	readonly tokens: number;
	readonly us: number;
	readonly macsPerSecond: number | null;
	readonly bytesPerSecond: number;
	/** Of the machine's ceilings, 0..1. */
	readonly dotShare: number | null;
	readonly readShare: number;
}

const results: Result[] = [];
for (const [i, one] of cases.entries()) {
	fillCase(one, layouts[i], kernels, memory);
	results.push(await measure(one, layouts[i]));
	console.log(lineOf(results[results.length - 1]));
}
await threads.close();
if (values.json !== undefined)
	writeFileSync(
		values.json,
		`${JSON.stringify({ about, numThreads, build, revectorize, wide, ceilings, results }, null, 2)}\n`,
	);

function chosenCases(): KernelCase[] {
	const kinds = values.only.split(",");
	const shapes = values.shapes.split(",");
	const tokens = values.tokens.split(",").map(Number);
	const formats = values.formats.split(",").map((name) => {
		const format = FORMAT_NAMES.find((it) => it === name);
		if (format !== undefined) return format;
		throw new Error(`--formats: ${name} is none of ${FORMAT_NAMES.join()}`);
	});
	const chosen: KernelCase[] = [];
	if (kinds.includes("linear"))
		for (const format of formats)
			for (const shape of LINEAR_SHAPES)
				for (const count of tokens)
					if (
						shapes.includes(shape.name) &&
						count <= shape.maxTokens &&
						!(format === "q4_0" && shape.keeps8Bits)
					)
						chosen.push(linearCase(shape, format, count));
	if (kinds.includes("attention"))
		chosen.push(
			attentionCase("attention, decode", 1, 512, 1),
			attentionCase("attention, decode", 16, 512, 1),
			attentionCase("attention, prefill", 1, 512, 512),
		);
	if (kinds.includes("sampler"))
		chosen.push(
			samplerCase("sampler: logits alone", 16, null),
			samplerCase("sampler: greedy", 16, { temperature: 0, topK: 0, topP: 1 }),
			samplerCase("sampler: temperature 0.6", 16, {
				temperature: 0.6,
				topK: 0,
				topP: 1,
			}),
			samplerCase("sampler: top-k 20, top-p 0.95", 16, {
				temperature: 0.6,
				topK: 20,
				topP: 0.95,
			}),
		);
	return chosen;
}

async function measure(
	one: KernelCase,
	layout: (typeof layouts)[number],
): Promise<Result> {
	const [header] = layout.steps;
	const { plan } = layout;
	const step = stepOf(one, BLOCK_SIZE);
	writeStep(memory.buffer, header, step, one.program.vocabSize, 0);
	const job = (count: number) =>
		({ kind: "walk", plan, header, count }) as const;
	const ms = (await bestMs(threads, job, sampleMs)) / one.repeats;
	const bytesPerSecond = (1000 * one.bytes) / ms;
	const macsPerSecond = one.macs > 0 ? (1000 * one.macs) / ms : null;
	const peak = ceilings.macsPerSecond[instructionOf(one.format)];
	return {
		kernel: one.name,
		format: one.format,
		tokens: one.numTokens,
		us: 1000 * ms,
		macsPerSecond,
		bytesPerSecond,
		dotShare: macsPerSecond === null ? null : macsPerSecond / peak,
		readShare: bytesPerSecond / ceilings.bytesPerSecond,
	};
}

function header(): string {
	return `${"kernel".padEnd(30)} ${"type".padEnd(5)} ${"tokens".padStart(6)} ${"µs".padStart(9)} ${"GMAC/s".padStart(8)} ${"of peak".padStart(8)} ${"GB/s".padStart(7)} ${"of reads".padStart(8)}`;
}

function lineOf(result: Result): string {
	const { kernel, format, tokens, us, macsPerSecond, bytesPerSecond } = result;
	const number = (value: number | null, digits: number, width: number) =>
		(value === null ? "–" : value.toFixed(digits)).padStart(width);
	const share = (value: number | null) =>
		(value === null ? "–" : `${(100 * value).toFixed(0)} %`).padStart(8);
	const giga = (value: number | null) => (value === null ? null : value / 1e9);
	return `${kernel.padEnd(30)} ${format.padEnd(5)} ${number(tokens, 0, 6)} ${number(us, 1, 9)} ${number(giga(macsPerSecond), 1, 8)} ${share(result.dotShare)} ${number(giga(bytesPerSecond), 1, 7)} ${share(result.readShare)}`;
}
