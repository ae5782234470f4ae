/** nano-vllm bench latency: one batch of equal requests, prefill and decode timed apart. After vllm bench latency. */
import type { Command } from "commander";
import type { LLM } from "../index.ts";
import {
	addBenchFlags,
	type BenchOptions,
	fixedLength,
	modelName,
	openForBench,
	peakRssBytes,
	report,
} from "./bench-common.ts";
import { figure, grouped, megabytes } from "./format.ts";
import { modelLine } from "./model.ts";
import { createStatusLine, note, withInterrupt } from "./terminal.ts";
import { atLeast } from "./values.ts";
import {
	checkFits,
	createRandom,
	type Random,
	randomPrompt,
} from "./workload.ts";

const EXAMPLES = `
Prefill lasts until every request has its first token, decode from then to the end. Figures are medians over the iterations.

Examples:
  nano-vllm bench latency --batch-size 1 --input-len 512 --output-len 128
  nano-vllm bench latency bench/configs/qwen3-0.6b --load-format dummy --device cpu --json result.json
`;

interface Options extends BenchOptions {
	readonly batchSize: number;
	readonly inputLen: number;
	readonly outputLen: number;
	readonly numWarmup: number;
	readonly numIters: number;
}

export function addBenchLatency(bench: Command): void {
	const command = bench
		.command("latency [model]")
		.description("one batch of equal requests: prefill and decode apart")
		.option("--batch-size <n>", "requests at once [default: 1]", atLeast(1), 1)
		.option(
			"--input-len <n>",
			"tokens of each prompt [default: 512]",
			atLeast(1),
			512,
		)
		.option(
			"--output-len <n>",
			"tokens of each output [default: 128]",
			atLeast(1),
			128,
		)
		.option(
			"--num-warmup <n>",
			"iterations before the clock [default: 1]",
			atLeast(0),
			1,
		)
		.option(
			"--num-iters <n>",
			"iterations measured [default: 3]",
			atLeast(1),
			3,
		)
		.addHelpText("after", EXAMPLES)
		.action((model: string | undefined, options: Options) =>
			withInterrupt((signal) => benchLatency(model, options, signal)),
		);
	addBenchFlags(command);
}

async function benchLatency(
	model: string | undefined,
	options: Options,
	signal: AbortSignal,
): Promise<void> {
	const { batchSize, inputLen, outputLen, numWarmup, numIters } = options;
	const engine = { maxNumSeqs: batchSize };
	const llm = await openForBench(model, options, engine, signal);
	const status = createStatusLine();
	try {
		checkFits([{ inputLen, outputLen }], llm.maxModelLen);
		note(modelLine(llm));
		const random = createRandom(options.seed ?? 0);
		const runs: Phases[] = [];
		for (let i = -numWarmup; i < numIters; i++) {
			status.show(i < 0 ? "warm-up" : `iteration ${i + 1} of ${numIters}`);
			const run = await runBatch(llm, options, random, signal);
			if (i >= 0) runs.push(run);
		}
		status.clear();
		await reportLatency(llm, options, runs);
	} finally {
		status.clear();
		await llm.close();
	}
}

/** Of one iteration, in milliseconds. */
interface Phases {
	/** Until every request has its first token. */
	readonly firstMs: number;
	readonly endMs: number;
	/** Tokens that came after that. */
	readonly numDecoded: number;
}

async function runBatch(
	llm: LLM,
	{ batchSize, inputLen, outputLen, temperature }: Options,
	random: Random,
	signal: AbortSignal,
): Promise<Phases> {
	const { vocabSize } = llm.modelConfig;
	// New prompts every time: none is found in the prefix cache.
	const prompts = Array.from({ length: batchSize }, () =>
		randomPrompt(inputLen, vocabSize, random),
	);
	const params = fixedLength(outputLen, temperature);
	const start = performance.now();
	let numStarted = 0;
	let firstMs = 0;
	let numDecoded = 0;
	const consume = async (prompt: (typeof prompts)[0]) => {
		let isFirst = true;
		for await (const { tokenIds } of llm.stream(prompt, params, { signal })) {
			if (tokenIds.length === 0) continue;
			if (numStarted === batchSize) numDecoded += tokenIds.length;
			if (isFirst && ++numStarted === batchSize)
				firstMs = performance.now() - start;
			isFirst = false;
		}
	};
	await Promise.all(prompts.map(consume));
	return { firstMs, endMs: performance.now() - start, numDecoded };
}

async function reportLatency(
	llm: LLM,
	{ batchSize, inputLen, outputLen, numIters, json }: Options,
	runs: readonly Phases[],
): Promise<void> {
	const over = (measure: (run: Phases) => number) => median(runs.map(measure));
	const promptTokens = batchSize * inputLen;
	const decodeRate = (run: Phases) =>
		(1000 * run.numDecoded) / (run.endMs - run.firstMs);
	const decodes = outputLen > 1;
	const peak = await peakRssBytes();
	const figures = {
		device: llm.device,
		model: modelName(llm),
		batchSize,
		inputLen,
		outputLen,
		numIters,
		prefillTokensPerSecond: over((run) => (1000 * promptTokens) / run.firstMs),
		decodeTokensPerSecond: decodes ? over(decodeRate) : null,
		timeToFirstTokenMs: over((run) => run.firstMs),
		timePerOutputTokenMs: decodes
			? over((run) => (1000 * batchSize) / decodeRate(run))
			: null,
		endToEndMs: over((run) => run.endMs),
		peakRssBytes: peak,
	};
	const or = (value: number | null) => (value === null ? "-" : figure(value));
	const shape = `${batchSize} × ${inputLen} + ${outputLen}`;
	const rows: [string, string][] = [
		["requests × input + output", shape],
		["iterations", grouped(numIters)],
		["prefill tokens/s", or(figures.prefillTokensPerSecond)],
		["decode tokens/s", or(figures.decodeTokensPerSecond)],
		["time to first token, ms", or(figures.timeToFirstTokenMs)],
		["time per output token, ms", or(figures.timePerOutputTokenMs)],
		["end to end, ms", or(figures.endToEndMs)],
		["peak memory", peak === null ? "-" : megabytes(peak)],
	];
	await report(rows, figures, json);
}

function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1
		? sorted[middle]
		: (sorted[middle - 1] + sorted[middle]) / 2;
}
