/**
 * Where a step's time goes: on the GPU by its own clock, kernel by kernel and between steps, and on the host while it encodes.
 *   node bench/gpu/profile.ts [MODEL] [--batches 1,16,256] [--input-len 512] [--output-len 64] [--quantization q8_0] [--top 14]
 *     [--workload FILE] [--of steps,dispatches]
 * MODEL: a directory with config.json [default: bench/configs/qwen3-0.6b]; weights are dummies. Two runs: whole steps as they always
 * run, then every dispatch in a pass of its own, which adds a few microseconds to each. With --workload the steps of those requests are
 * summed up by the number of sequences. Needs timestamp-query.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Executable } from "../../src/backends/backend.ts";
import { checkpointTensors } from "../../src/backends/program.ts";
import { createWebgpuBackend } from "../../src/backends/webgpu/backend.ts";
import type { PassTime, Timing } from "../../src/backends/webgpu/recorder.ts";
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import { resolveSamplingParams } from "../../src/config.ts";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import { sequenceParams } from "../../src/engine/sequence-params.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { loadPlatform } from "../../src/platform/detect.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		batches: { type: "string", default: "1,16,256" },
		"input-len": { type: "string", default: "512" },
		"output-len": { type: "string", default: "64" },
		quantization: { type: "string" },
		top: { type: "string", default: "14" },
		of: { type: "string", default: "steps,dispatches" },
		workload: { type: "string" },
	},
});
const [model = "bench/configs/qwen3-0.6b"] = positionals;
const inputLen = Number(values["input-len"]);
const outputLen = Number(values["output-len"]);
const platform = await loadPlatform();
const gpu = await platform.gpu();
if (gpu === null) throw new Error("no WebGPU here");

const limits = {
	blockSize: 16,
	maxModelLen: values.workload ? 2304 : inputLen + outputLen + 16,
	maxNumSeqs: 256,
	maxNumBatchedTokens: 8192,
	kvCacheBytes: 24 * 2 ** 30,
	memoryUtilization: 0.9,
};
const modelConfig = parseModelConfig(
	JSON.parse(readFileSync(join(model, "config.json"), "utf8")),
);
const program = buildProgram(modelConfig);
const tensors = checkpointTensors(program);
const random = createRandom(0);

for (const mode of ["steps", "dispatches"] as const) {
	if (!values.of.includes(mode)) continue;
	let steps: (readonly PassTime[])[] = [];
	const timing: Timing = { of: mode, onTimes: (times) => steps.push(times) };
	const start = performance.now();
	const executable = await createWebgpuBackend({
		gpu,
		quantization: (values.quantization ?? null) as "q8_0" | "q4_0" | null,
		dtype: "auto",
		yieldToEventLoop: platform.yieldToEventLoop,
		timing,
	}).compile(program, dummyWeights(tensors, { seed: 0, dtype: "bf16" }), {
		limits,
		kvCacheDtype: "auto",
	});
	console.log(`loaded in ${(performance.now() - start).toFixed()} ms`);
	const host: HostStep[] = [];
	const engine = createEngine(timed(executable, host));
	if (values.workload !== undefined) {
		const { requests } = JSON.parse(readFileSync(values.workload, "utf8"));
		await runRequests(engine, requests);
		steps = [];
		host.length = 0;
		const began = performance.now();
		await runRequests(engine, requests);
		const wallMs = performance.now() - began;
		await new Promise((done) => setTimeout(done, 50));
		if (mode === "steps") printWorkload(steps, host, wallMs);
		else printTable("workload", steps);
		await engine.close();
		continue;
	}
	for (const batch of values.batches.split(",").map(Number)) {
		await runBatch(engine, batch, 24);
		steps = [];
		host.length = 0;
		const began = performance.now();
		await runBatch(engine, batch, outputLen);
		const wallMs = performance.now() - began;
		await new Promise((done) => setTimeout(done, 50));
		if (mode === "steps") printSteps(batch, steps, host, wallMs);
		else printDispatches(batch, steps);
	}
	await engine.close();
}
process.exit(0);

/** A step as the host saw it: when it was submitted, and how long that took. */
interface HostStep {
	readonly startMs: number;
	readonly ms: number;
	readonly numTokens: number;
	readonly numSeqs: number;
	readonly cachedTokens: number;
}

function timed(executable: Executable, host: HostStep[]): Executable {
	const { numBlocks, weightBytes, kvCacheBytes, overlaps } = executable;
	return {
		numBlocks,
		weightBytes,
		kvCacheBytes,
		overlaps,
		submit(input) {
			const { numTokens, numSeqs, contextLens } = input;
			const cachedTokens = contextLens
				.subarray(0, numSeqs)
				.reduce((sum, n) => sum + n, 0);
			const startMs = performance.now();
			const output = executable.submit(input);
			const ms = performance.now() - startMs;
			host.push({ startMs, ms, numTokens, numSeqs, cachedTokens });
			return output;
		},
		writeAdapter: (slot, adapter) => executable.writeAdapter(slot, adapter),
		close: () => executable.close(),
	};
}

function createEngine(executable: Executable): LlmEngine {
	return new LlmEngine(executable, {
		...limits,
		enablePrefixCaching: false,
		enableChunkedPrefill: true,
		asyncScheduling: true,
		seed: 0,
		vocabSize: modelConfig.vocabSize,
		now: platform.now,
		yieldToEventLoop: platform.yieldToEventLoop,
	});
}

function runBatch(
	engine: LlmEngine,
	batch: number,
	maxTokens: number,
): Promise<void> {
	const shape = [inputLen, maxTokens] as const;
	return runRequests(engine, new Array(batch).fill(shape));
}

function runRequests(
	engine: LlmEngine,
	shapes: readonly (readonly [inputLen: number, outputLen: number])[],
): Promise<void> {
	const { vocabSize } = modelConfig;
	const context = {
		vocabSize,
		maxModelLen: limits.maxModelLen,
		maxLogprobs: 20,
		eosTokenIds: [],
		encode: null,
	};
	return new Promise((resolve) => {
		let left = shapes.length;
		for (const [i, [numPrompt, maxTokens]] of shapes.entries())
			engine.add({
				requestId: String(i),
				promptTokenIds: Int32Array.from(
					randomPrompt(numPrompt, vocabSize, random).promptTokenIds,
				),
				params: sequenceParams(
					resolveSamplingParams({
						temperature: 0.6,
						maxTokens,
						ignoreEos: true,
					}),
					numPrompt,
					context,
				),
				priority: 0,
				sink: {
					onToken: () => null,
					onPromptLogprobs() {},
					onFinish() {
						if (--left === 0) resolve();
					},
				},
			});
	});
}

/** Where the seconds of a workload go, by the number of sequences in a step. */
function printWorkload(
	steps: readonly (readonly PassTime[])[],
	host: readonly HostStep[],
	wallMs: number,
): void {
	console.log(`workload: ${host.length} steps in ${wallMs.toFixed()} ms`);
	const groups = new Map<string, number[]>();
	for (const [i, [pass]] of steps.entries()) {
		const { numTokens, numSeqs, cachedTokens, ms } = host[i];
		const up = 2 ** Math.ceil(Math.log2(numSeqs));
		const name = numTokens > numSeqs ? "with prompts" : `≤ ${up} sequences`;
		const next = steps[i + 1]?.[0].startNs ?? pass.endNs;
		const nextHost = host[i + 1]?.startMs ?? host[i].startMs;
		const sums = groups.get(name) ?? [0, 0, 0, 0, 0, 0];
		const row = [
			1,
			pass.endNs - pass.startNs,
			next - pass.endNs,
			ms,
			nextHost - host[i].startMs,
			cachedTokens,
		];
		groups.set(
			name,
			sums.map((sum, j) => sum + row[j]),
		);
	}
	for (const [name, [count, busy, idle, ms, cycle, cached]] of groups)
		console.log(
			`  ${name.padEnd(16)} ${String(count).padStart(5)} steps: GPU busy ${(busy / 1e6).toFixed().padStart(5)} ms (${(busy / count / 1e6).toFixed(2)} a step), idle ${(idle / 1e6).toFixed().padStart(4)} ms, host ${(ms / count).toFixed(2)} ms of ${(cycle / count).toFixed(2)} a step, ${(cached / count).toFixed()} cached tokens`,
		);
}

/** Decode steps: those after the last that is longer than half as long again as the median. */
function printSteps(
	batch: number,
	steps: readonly (readonly PassTime[])[],
	host: readonly HostStep[],
	wallMs: number,
): void {
	const passes = steps.map(([step]) => step);
	const decodes = passes.slice(-Math.floor(outputLen / 2));
	const busy = median(decodes.map((s) => s.endNs - s.startNs)) / 1e6;
	const gaps = decodes
		.slice(1)
		.map((s, i) => (s.startNs - decodes[i].endNs) / 1e6);
	const gap = median(gaps);
	const share = (100 * gap) / (gap + busy);
	console.log(
		`batch ${batch}: GPU busy ${busy.toFixed(3)} ms a step, idle ${gap.toFixed(3)} ms (${share.toFixed(1)} %), encoding on the host ${median(host.slice(-outputLen / 2).map(({ ms }) => ms)).toFixed(3)} ms, ${((batch / (busy + gap)) * 1000).toFixed()} tokens/s; ${steps.length} steps in ${wallMs.toFixed()} ms`,
	);
}

function printDispatches(
	batch: number,
	steps: readonly (readonly PassTime[])[],
): void {
	const decodes = steps.slice(-Math.floor(outputLen / 2));
	printTable(`batch ${batch}, decode`, decodes);
	const longest = steps.toSorted((a, b) => length(b) - length(a))[0];
	printTable(`batch ${batch}, the longest step`, [longest]);
}

function length(step: readonly PassTime[]): number {
	return step[step.length - 1].endNs - step[0].startNs;
}

function printTable(
	title: string,
	steps: readonly (readonly PassTime[])[],
): void {
	const totals = new Map<string, { ns: number; count: number }>();
	for (const step of steps)
		for (const { label, startNs, endNs } of step) {
			const entry = totals.get(label) ?? { ns: 0, count: 0 };
			entry.ns += endNs - startNs;
			entry.count++;
			totals.set(label, entry);
		}
	const sum = [...totals.values()].reduce((s, { ns }) => s + ns, 0);
	console.log(
		`${title}: kernels ${(sum / steps.length / 1000).toFixed()} µs a step`,
	);
	const sorted = [...totals].toSorted(([, a], [, b]) => b.ns - a.ns);
	for (const [label, { ns, count }] of sorted.slice(0, Number(values.top)))
		console.log(
			`  ${((100 * ns) / sum).toFixed(1).padStart(5)} % ${(ns / steps.length / 1000).toFixed(1).padStart(9)} µs  ${(count / steps.length).toFixed().padStart(4)} × ${(ns / count / 1000).toFixed(2).padStart(8)} µs  ${label}`,
		);
}

function median(all: readonly number[]): number {
	const sorted = all.toSorted((a, b) => a - b);
	return sorted[sorted.length >> 1];
}
