/** nano-vllm bench throughput: many requests at once, tokens per second over all. After nano-vllm's bench.py. */
import type { Command } from "commander";
import type { LLM, RequestOutput } from "../index.ts";
import { createMeter, totalsOf } from "./batch.ts";
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
import { atLeast, parseRange, type Range } from "./values.ts";
import {
	checkFits,
	createRandom,
	type Random,
	type RequestShape,
	randomPrompt,
	randomShapes,
	readShapes,
} from "./workload.ts";

const EXAMPLES = `
Lengths are tokens, one number or a range. Random prompts, outputs of exactly the length asked for.

Examples:
  nano-vllm bench throughput --num-prompts 64 --input-len 100:1024 --output-len 100:1024
  nano-vllm bench throughput bench/configs/qwen3-0.6b --load-format dummy --json result.json
  nano-vllm bench throughput --workload requests.json --device cpu
`;

/** A warm-up request's output: enough steps for a just-in-time compiler to see the loops. */
const WARMUP_OUTPUT_LEN = 16;

interface Options extends BenchOptions {
	readonly numPrompts: number;
	readonly inputLen: Range;
	readonly outputLen: Range;
	readonly workload?: string;
	readonly numWarmup: number;
}

export function addBenchThroughput(bench: Command): void {
	const all = { low: 100, high: 1024 };
	const command = bench
		.command("throughput [model]")
		.description("many requests at once: tokens per second")
		.option("--num-prompts <n>", "requests [default: 256]", atLeast(1), 256)
		.option(
			"--input-len <range>",
			"of prompts [default: 100:1024]",
			parseRange,
			all,
		)
		.option(
			"--output-len <range>",
			"of outputs [default: 100:1024]",
			parseRange,
			all,
		)
		.option("--workload <file>", '{"requests": [[input, output], …]} instead')
		.option(
			"--num-warmup <n>",
			"requests before the clock [default: 8]",
			atLeast(0),
			8,
		)
		.addHelpText("after", EXAMPLES)
		.action((model: string | undefined, options: Options) =>
			withInterrupt((signal) => benchThroughput(model, options, signal)),
		);
	addBenchFlags(command);
}

async function benchThroughput(
	model: string | undefined,
	options: Options,
	signal: AbortSignal,
): Promise<void> {
	const { seed = 0, numPrompts, inputLen, outputLen, workload } = options;
	const random = createRandom(seed);
	const shapes =
		workload === undefined
			? randomShapes(numPrompts, inputLen, outputLen, random)
			: await readShapes(workload);
	const llm = await openForBench(model, options, {}, signal);
	try {
		checkFits(shapes, llm.maxModelLen);
		note(modelLine(llm));
		const { temperature, numWarmup } = options;
		const warmup = shapes
			.slice(0, numWarmup)
			.map((shape) => ({ ...shape, outputLen: WARMUP_OUTPUT_LEN }))
			.filter((s) => s.inputLen + s.outputLen <= llm.maxModelLen);
		await generateAll(llm, warmup, random, temperature, signal, "warm-up: ");
		llm.resetPrefixCache();
		const start = performance.now();
		const results = await generateAll(llm, shapes, random, temperature, signal);
		const seconds = (performance.now() - start) / 1000;
		await reportThroughput(llm, results, seconds, options.json);
	} finally {
		await llm.close();
	}
}

async function generateAll(
	llm: LLM,
	shapes: readonly RequestShape[],
	random: Random,
	temperature: number,
	signal: AbortSignal,
	label = "",
): Promise<RequestOutput[]> {
	const { vocabSize } = llm.modelConfig;
	const prompts = shapes.map(({ inputLen }) =>
		randomPrompt(inputLen, vocabSize, random),
	);
	const params = shapes.map(({ outputLen }) =>
		fixedLength(outputLen, temperature),
	);
	const status = createStatusLine();
	const meter = createMeter();
	try {
		return await llm.generate(prompts, params, {
			signal,
			progress: (progress) => status.show(label + meter(progress)),
		});
	} finally {
		status.clear();
	}
}

async function reportThroughput(
	llm: LLM,
	results: readonly RequestOutput[],
	seconds: number,
	file: string | undefined,
): Promise<void> {
	const totals = totalsOf(results, seconds);
	const peak = await peakRssBytes();
	const rows: [string, string][] = [
		["requests", grouped(totals.requests)],
		["prompt tokens", grouped(totals.promptTokens)],
		["output tokens", grouped(totals.outputTokens)],
		["seconds", figure(seconds)],
		["output tokens/s", figure(totals.outputTokensPerSecond)],
		["total tokens/s", figure(totals.totalTokensPerSecond)],
		["peak memory", peak === null ? "-" : megabytes(peak)],
	];
	const about = { device: llm.device, model: modelName(llm) };
	await report(rows, { ...about, ...totals, peakRssBytes: peak }, file);
}
