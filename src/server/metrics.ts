/**
 * vLLM's metrics under vLLM's names, buckets and labels, so that its dashboards, and routers that read them, work: here what
 * requests leave behind, in engine-metrics.ts the engine's own numbers. Nothing is done in a step.
 */
import type { RequestOutput } from "../index.ts";
import type { ServedEngine } from "./engine.ts";
import { addEngineMetrics } from "./engine-metrics.ts";
import { createRegistry, type Registry } from "./prometheus.ts";

export interface RequestRecorder {
	/** Tokens of an output have come. */
	onTokens(index: number, nowMs: number): void;
	onOutput(output: RequestOutput): void;
	/** Cut, or failed, before it could end. */
	onCut(reason: "abort" | "error", numOutputs: number): void;
}

export interface ServerMetrics {
	render(): string;
	/** @param maxTokens as the request asked; null: no bound */
	recorder(n: number, maxTokens: number | null): RequestRecorder;
	rejected(reason: string): void;
}

const FIRST_TOKEN_BOUNDS = [
	0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5,
	7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const TOKEN_BOUNDS = [
	0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5,
	10, 20, 40, 80,
];
const LATENCY_BOUNDS = [
	0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480,
	960, 1920, 7680,
];
const CHOICE_BOUNDS = [1, 2, 5, 10, 20];

/** 1, 2, 5, 10, 20, 50 … up to the model's context. */
function countBounds(max: number): number[] {
	const bounds: number[] = [];
	for (let unit = 1; ; unit *= 10)
		for (const digit of [1, 2, 5]) {
			if (digit * unit > max) return bounds;
			bounds.push(digit * unit);
		}
}

export function createServerMetrics(
	engine: ServedEngine,
	modelName: string,
	now: () => number,
): ServerMetrics {
	const registry = createRegistry({ engine: "0", model_name: modelName });
	addEngineMetrics(registry, engine, now);
	const requests = requestMetrics(registry, engine.maxModelLen);
	return {
		render: () => registry.render(),
		rejected: (reason) => requests.rejections.add(1, { reason }),
		recorder(n, maxTokens) {
			requests.n.observe(n);
			if (maxTokens !== null) requests.maxTokens.observe(maxTokens);
			return createRecorder(requests);
		},
	};
}

type RequestMetrics = ReturnType<typeof requestMetrics>;

function createRecorder(metrics: RequestMetrics): RequestRecorder {
	const lastMs = new Map<number, number>();
	return {
		onTokens(index, nowMs) {
			const last = lastMs.get(index);
			if (last !== undefined)
				for (const each of metrics.interToken)
					each.observe((nowMs - last) / 1000);
			lastMs.set(index, nowMs);
		},
		onOutput: (output) => observe(metrics, output),
		onCut(reason, numOutputs) {
			metrics.success.add(numOutputs, { finished_reason: reason });
		},
	};
}

function observe(metrics: RequestMetrics, output: RequestOutput): void {
	const { promptTokenIds, outputs, numCachedTokens } = output;
	const { arrivalMs, firstScheduledMs, firstTokenMs, finishedMs } =
		output.metrics;
	const seconds = (from: number, to: number) => (to - from) / 1000;
	let longest = 0;
	for (const { finishReason, tokenIds } of outputs) {
		metrics.success.add(1, { finished_reason: finishReason });
		metrics.generationTokens.observe(tokenIds.length);
		longest = Math.max(longest, tokenIds.length);
	}
	metrics.maxGenerationTokens.observe(longest);
	metrics.promptTokens.observe(promptTokenIds.length);
	metrics.computedTokens.observe(promptTokenIds.length - numCachedTokens);
	metrics.cachedTokens.add(numCachedTokens);
	if (finishedMs === null) return;
	metrics.endToEnd.observe(seconds(arrivalMs, finishedMs));
	if (firstScheduledMs === null) return;
	metrics.queue.observe(seconds(arrivalMs, firstScheduledMs));
	metrics.inference.observe(seconds(firstScheduledMs, finishedMs));
	if (firstTokenMs === null) return;
	metrics.firstToken.observe(seconds(arrivalMs, firstTokenMs));
	metrics.prefill.observe(seconds(firstScheduledMs, firstTokenMs));
	metrics.decode.observe(seconds(firstTokenMs, finishedMs));
	if (longest > 1)
		metrics.perToken.observe(seconds(firstTokenMs, finishedMs) / (longest - 1));
}

function requestMetrics(registry: Registry, maxModelLen: number) {
	const counts = countBounds(maxModelLen);
	const latency = (name: string, help: string) =>
		registry.histogram(`vllm:${name}_seconds`, help, LATENCY_BOUNDS);
	const tokens = (name: string, help: string) =>
		registry.histogram(`vllm:${name}`, help, counts);
	const perToken = (name: string, help: string) =>
		registry.histogram(`vllm:${name}_seconds`, help, TOKEN_BOUNDS);
	const reasons = ["stop", "length", "abort", "error"];
	return {
		success: registry.counter(
			"vllm:request_success_total",
			"Outputs that ended, by what ended them.",
			reasons.map((finished_reason) => ({ finished_reason })),
		),
		rejections: registry.counter(
			"vllm:admission_rejections_total",
			"Requests refused with 503.",
			["queue_full", "draining"].map((reason) => ({ reason })),
		),
		cachedTokens: registry.counter(
			"vllm:prompt_tokens_cached_total",
			"Prompt tokens of finished requests that the prefix cache had.",
		),
		firstToken: registry.histogram(
			"vllm:time_to_first_token_seconds",
			"From arrival to the first token.",
			FIRST_TOKEN_BOUNDS,
		),
		interToken: [
			perToken("inter_token_latency", "Between tokens of an output."),
			perToken(
				"time_per_output_token",
				"The older name of inter_token_latency.",
			),
		],
		perToken: perToken(
			"request_time_per_output_token",
			"Mean time a token of a request.",
		),
		endToEnd: latency("e2e_request_latency", "From arrival to the last token."),
		queue: latency("request_queue_time", "Waiting to be scheduled."),
		inference: latency(
			"request_inference_time",
			"From being scheduled to the last token.",
		),
		prefill: latency(
			"request_prefill_time",
			"From being scheduled to the first token.",
		),
		decode: latency("request_decode_time", "From the first token to the last."),
		promptTokens: tokens(
			"request_prompt_tokens",
			"Prompt tokens of a request.",
		),
		generationTokens: tokens(
			"request_generation_tokens",
			"Tokens of an output.",
		),
		maxGenerationTokens: tokens(
			"request_max_num_generation_tokens",
			"Tokens of a request's longest output.",
		),
		computedTokens: tokens(
			"request_prefill_kv_computed_tokens",
			"Prompt tokens of a request that the prefix cache had not.",
		),
		n: registry.histogram(
			"vllm:request_params_n",
			"Outputs asked for.",
			CHOICE_BOUNDS,
		),
		maxTokens: tokens("request_params_max_tokens", "max_tokens asked for."),
	};
}
