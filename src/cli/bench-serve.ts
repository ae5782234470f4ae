/** nano-vllm bench serve: load on a server that runs already, any OpenAI-compatible one, and how long its clients wait. After vllm bench serve. */
import type { Command } from "commander";
import { NanoVllmError } from "../errors.ts";
import { report } from "./bench-common.ts";
import { figure, grouped } from "./format.ts";
import {
	type Distribution,
	distributionOf,
	generateLoad,
} from "./load-generator.ts";
import { type StreamTimes, streamCompletion } from "./stream-client.ts";
import { createStatusLine, note, withInterrupt } from "./terminal.ts";
import {
	atLeast,
	parseInteger,
	parseNumber,
	parseRange,
	type Range,
} from "./values.ts";
import {
	createRandom,
	type Random,
	type RequestShape,
	randomShapes,
	readShapes,
} from "./workload.ts";

const EXAMPLES = `
Lengths are tokens. Without --request-rate the loop is closed: --max-concurrency requests at once, each followed by the next.
With it the loop is open: requests come at that rate, at random, whether answers have come or not.

Examples:
  nano-vllm bench serve --base-url http://localhost:8000 --max-concurrency 32 --input-len 512 --output-len 128
  nano-vllm bench serve --request-rate 4 --num-prompts 200 --json result.json
`;

interface Options extends Readonly<Record<string, unknown>> {
	readonly baseUrl: string;
	readonly model?: string;
	readonly apiKey?: string;
	readonly numPrompts: number;
	readonly inputLen: Range;
	readonly outputLen: Range;
	readonly workload?: string;
	readonly requestRate: number;
	readonly maxConcurrency?: number;
	readonly maxTokenId: number;
	readonly numWarmup: number;
	readonly temperature: number;
	readonly seed: number;
	readonly json?: string;
}

/** Beyond this a machine runs out of sockets before the server does. */
const MOST_AT_ONCE = 4096;
const WARMUP_OUTPUT_LEN = 16;

export function addBenchServe(bench: Command): void {
	const input = { low: 512, high: 512 };
	const output = { low: 128, high: 128 };
	bench
		.command("serve")
		.description("load on a running server: how long its clients wait")
		.option(
			"--base-url <url>",
			"of the server [default: http://127.0.0.1:8000]",
			"http://127.0.0.1:8000",
		)
		.option("--model <name>", "as the server calls it (default: its first)")
		.option("--api-key <key>", "as the server wants it (or NANO_VLLM_API_KEY)")
		.option("--num-prompts <n>", "requests [default: 100]", atLeast(1), 100)
		.option(
			"--input-len <range>",
			"of prompts [default: 512]",
			parseRange,
			input,
		)
		.option(
			"--output-len <range>",
			"of outputs [default: 128]",
			parseRange,
			output,
		)
		.option("--workload <file>", '{"requests": [[input, output], …]} instead')
		.option(
			"--request-rate <x>",
			"requests a second [default: no pause]",
			parseNumber,
			Infinity,
		)
		.option(
			"--max-concurrency <n>",
			"requests at once [default: 16, none with a rate]",
			atLeast(1),
		)
		.option(
			"--max-token-id <n>",
			"of random prompts [default: 1000]",
			atLeast(1),
			1000,
		)
		.option(
			"--num-warmup <n>",
			"requests before the clock [default: 4]",
			atLeast(0),
			4,
		)
		.option(
			"--temperature <x>",
			"of the samples [default: 0.6]",
			parseNumber,
			0.6,
		)
		.option(
			"--seed <n>",
			"of lengths, prompts and gaps [default: 0]",
			parseInteger,
			0,
		)
		.option("--json <file>", "write the figures as one JSON object")
		.addHelpText("after", EXAMPLES)
		.action((options: Options) =>
			withInterrupt((signal) => benchServe(options, signal)),
		);
}

interface Target {
	readonly url: string;
	readonly model: string;
	readonly headers: Readonly<Record<string, string>>;
}

async function benchServe(
	options: Options,
	signal: AbortSignal,
): Promise<void> {
	checkOptions(options);
	const { seed, numPrompts, inputLen, outputLen, workload, numWarmup } =
		options;
	const random = createRandom(seed);
	const target = await findTarget(options, signal);
	const shapes =
		workload === undefined
			? randomShapes(numPrompts, inputLen, outputLen, random)
			: await readShapes(workload);
	note(`${target.model} at ${options.baseUrl}`);
	const warmup = shapes
		.slice(0, numWarmup)
		.map((shape) => ({ ...shape, outputLen: WARMUP_OUTPUT_LEN }));
	await sendAll(target, warmup, options, random, signal);
	const start = performance.now();
	const results = await sendAll(target, shapes, options, random, signal);
	const seconds = (performance.now() - start) / 1000;
	const figures = figuresOf(results, seconds, target.model, options);
	await report(rowsOf(figures), figures, options.json);
}

/** @throws invalid_option */
function checkOptions({ baseUrl, requestRate }: Options): void {
	if (!(requestRate > 0))
		throw new NanoVllmError(
			"invalid_option",
			`--request-rate must be above 0, got ${requestRate}.`,
		);
	if (!/^https?:$/.test(URL.parse(baseUrl)?.protocol ?? ""))
		throw new NanoVllmError(
			"invalid_option",
			`--base-url must be like http://127.0.0.1:8000, got ${baseUrl}.`,
		);
}

/** @throws invalid_option where no server answers */
async function findTarget(
	{ baseUrl, model, apiKey = process.env.NANO_VLLM_API_KEY }: Options,
	signal: AbortSignal,
): Promise<Target> {
	const base = baseUrl.replace(/\/+$/, "").replace(/\/v1$/, "");
	const headers: Record<string, string> = apiKey
		? { authorization: `Bearer ${apiKey}` }
		: {};
	let answer: string;
	try {
		const response = await fetch(`${base}/v1/models`, { headers, signal });
		answer = await response.text();
		if (!response.ok)
			throw new Error(`${response.status}: ${answer.slice(0, 200)}`);
		const first: unknown = JSON.parse(answer)?.data?.[0]?.id;
		if (typeof first !== "string") throw new Error("no model is listed");
		return { url: `${base}/v1/completions`, model: model ?? first, headers };
	} catch (cause) {
		signal.throwIfAborted();
		const { message, cause: inner } = cause as Error;
		throw new NanoVllmError(
			"invalid_option",
			`--base-url ${baseUrl}: ${inner instanceof Error ? inner.message : message}. Is a server running there?`,
			{ cause },
		);
	}
}

type Result = StreamTimes | Error;

async function sendAll(
	{ url, model, headers }: Target,
	shapes: readonly RequestShape[],
	options: Options,
	random: Random,
	signal: AbortSignal,
): Promise<Result[]> {
	const { requestRate, temperature, maxTokenId } = options;
	const bodies = shapes.map(({ inputLen, outputLen }) => ({
		model,
		prompt: Array.from({ length: inputLen }, () => random(0, maxTokenId)),
		max_tokens: outputLen,
		temperature,
		ignore_eos: true,
		stream: true,
		stream_options: { include_usage: true },
		return_token_ids: true,
	}));
	const results: Result[] = [];
	const status = createStatusLine();
	let numDone = 0;
	const closed = requestRate === Infinity ? 16 : MOST_AT_ONCE;
	const shape = {
		requestRate,
		maxConcurrency: options.maxConcurrency ?? closed,
		random: () => random(0, 2 ** 30 - 1) / 2 ** 30,
		signal,
	};
	await generateLoad(bodies.length, shape, async (i) => {
		const request = { url, headers, body: bodies[i], signal };
		results[i] = await streamCompletion(request).catch((error: Error) => error);
		status.show(`${++numDone} of ${bodies.length} requests`);
	});
	status.clear();
	signal.throwIfAborted();
	return results;
}

function figuresOf(
	results: readonly Result[],
	seconds: number,
	model: string,
	{ requestRate, maxConcurrency }: Options,
) {
	const done = results.filter((r): r is StreamTimes => !(r instanceof Error));
	const failed = results.filter((r): r is Error => r instanceof Error);
	const sum = (of: (r: StreamTimes) => number) =>
		done.reduce((total, r) => total + of(r), 0);
	const outputTokens = sum((r) => r.numOutputTokens);
	const promptTokens = sum((r) => r.numPromptTokens);
	const long = done.filter((r) => r.numOutputTokens > 1);
	return {
		model,
		requestRate: requestRate === Infinity ? null : requestRate,
		maxConcurrency: maxConcurrency ?? null,
		requests: done.length,
		failedRequests: failed.length,
		firstError: failed[0]?.message ?? null,
		promptTokens,
		outputTokens,
		seconds,
		requestsPerSecond: done.length / seconds,
		outputTokensPerSecond: outputTokens / seconds,
		totalTokensPerSecond: (promptTokens + outputTokens) / seconds,
		timeToFirstTokenMs: distributionOf(done.map((r) => r.firstMs)),
		timePerOutputTokenMs: distributionOf(
			long.map((r) => (r.endMs - r.firstMs) / (r.numOutputTokens - 1)),
		),
		interTokenLatencyMs: distributionOf(done.flatMap((r) => r.gapsMs)),
		endToEndMs: distributionOf(done.map((r) => r.endMs)),
	};
}

function rowsOf(figures: ReturnType<typeof figuresOf>): [string, string][] {
	const spread = (d: Distribution | null) =>
		d === null ? "-" : [d.mean, d.p50, d.p90, d.p99].map(figure).join(" · ");
	const { firstError } = figures;
	return [
		["requests", grouped(figures.requests)],
		["failed", grouped(figures.failedRequests)],
		...(firstError === null
			? []
			: [["first error", firstError] as [string, string]]),
		["prompt tokens", grouped(figures.promptTokens)],
		["output tokens", grouped(figures.outputTokens)],
		["seconds", figure(figures.seconds)],
		["requests/s", figure(figures.requestsPerSecond)],
		["output tokens/s", figure(figures.outputTokensPerSecond)],
		["ms: mean · p50 · p90 · p99", ""],
		["  time to first token", spread(figures.timeToFirstTokenMs)],
		["  time per output token", spread(figures.timePerOutputTokenMs)],
		["  between tokens", spread(figures.interTokenLatencyMs)],
		["  end to end", spread(figures.endToEndMs)],
	];
}
