/** What the playground fires and counts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnswerDelta, Engine } from "../../web/src/engine.ts";
import {
	feelVerdict,
	keyVerdict,
} from "../../web/src/playground/comparison.ts";
import { createPoolLoader } from "../../web/src/playground/pool-loader.ts";
import { sentences } from "../../web/src/playground/prompt-text.ts";
import { run } from "../../web/src/playground/run.ts";
import {
	AnswerMeter,
	EngineMeter,
	type RunFigures,
} from "../../web/src/playground/run-figures.ts";
import { SCENARIOS } from "../../web/src/playground/scenarios.ts";
import {
	DEFAULT_WORKLOAD,
	requestsOf,
} from "../../web/src/playground/workload.ts";
import { recordLoad } from "./busy-engine.ts";

test("prompts are as long as asked, begin alike, and are the same for the same seed", () => {
	assert.equal(sentences(3, 47).split(" ").length, 47);
	const workload = { ...DEFAULT_WORKLOAD, numPrompts: 20, numSharedWords: 30 };
	const requests = requestsOf(workload);
	assert.deepEqual(requests, requestsOf(workload));
	assert.notDeepEqual(requests, requestsOf({ ...workload, seed: 2 }));
	const beginnings = requests.map(({ prompt }) =>
		prompt.split(" ").slice(0, 30).join(" "),
	);
	assert.equal(new Set(beginnings).size, 1);
	assert.equal(new Set(requests.map(({ prompt }) => prompt)).size, 20);
	for (const { prompt, numOutputTokens } of requests) {
		const numOwn = prompt.split(" ").length - 31;
		assert.ok(numOwn >= workload.minOwnWords && numOwn <= workload.maxOwnWords);
		assert.ok(numOutputTokens >= 16 && numOutputTokens <= 64);
	}
});

test("the engine's figures are those of the run alone", async () => {
	const events = await recordLoad({
		numSeqs: 8,
		numBlocks: 150,
		numSteps: 120,
	});
	const meter = new EngineMeter();
	assert.equal(meter.figures(), null);
	for (const event of events) meter.push(event);
	const figures = meter.figures();
	const [first] = events;
	const steps = events.filter((event) => event.type === "step");
	const last = steps.at(-1);
	assert.ok(figures && last && first.type === "snapshot");
	assert.equal(figures.numSteps, 120);
	assert.equal(
		figures.numPreemptions,
		steps.reduce((sum, step) => sum + step.preempted.length, 0),
	);
	assert.equal(
		figures.numEvictedBlocks,
		steps.reduce((sum, step) => sum + step.evicted.length, 0),
	);
	assert.equal(
		figures.numPrefixHitTokens,
		last.counters.prefixCacheHits - first.counters.prefixCacheHits,
	);
	assert.equal(figures.maxNumRows, 8);
	assert.ok(figures.maxNumUsedBlocks <= figures.numBlocks);
});

test("time to first token and the longest gap, of answers", () => {
	const meter = new AnswerMeter(100);
	const a = meter.request(100);
	const b = meter.request(110);
	a(1, 120);
	b(2, 150);
	a(0, 170);
	a(1, 180);
	b(1, 190);
	const figures = meter.figures(200, null);
	assert.equal(figures.numOutputTokens, 5);
	assert.equal(figures.meanTtftMs, 30);
	assert.equal(figures.maxTtftMs, 40);
	assert.equal(figures.longestGapMs, 60);
	assert.equal(figures.outputTokensPerSecond, 50);
});

/** Answers with as many tokens as asked, one a turn; `log` hears of beginnings and ends. */
function echoEngine(log: string[], fails: string | null = null): Engine {
	return {
		facts: { modelName: "echo", device: null, maxModelLen: 512 },
		observe: (_listener: unknown, onEnd: (reason: string) => void) => {
			onEnd("none are shown");
			return () => {};
		},
		async *streamText(
			prompt: string,
			{ maxTokens }: { maxTokens: number },
			signal: AbortSignal,
		): AsyncGenerator<AnswerDelta> {
			log.push(`begin ${prompt}`);
			for (let i = 0; i < maxTokens; i++) {
				await new Promise((resolve) => setTimeout(resolve));
				signal.throwIfAborted();
				if (prompt === fails) throw new Error("no more");
				const tokens = [{ text: "x", logprob: null, alternatives: [] }];
				yield { text: "x", tokens, finishReason: null };
			}
			log.push(`end ${prompt}`);
		},
	} as unknown as Engine;
}

const context = (signal = new AbortController().signal) => ({
	signal,
	now: () => performance.now(),
	onEvent() {},
});

test("a late request is sent when the others have written enough, or are done", async () => {
	const log: string[] = [];
	const request = (
		prompt: string,
		numOutputTokens: number,
		afterTokens = 0,
	) => ({
		prompt,
		numOutputTokens,
		afterTokens,
	});
	const figures = await run(
		echoEngine(log),
		[
			request("a", 4),
			request("b", 8),
			request("late", 2, 6),
			request("last", 1, 99),
		],
		context(),
	);
	assert.equal(figures.numRequests, 4);
	assert.equal(figures.numOutputTokens, 15);
	assert.equal(figures.engine, null);
	assert.ok(log.indexOf("begin late") > log.indexOf("begin b"));
	assert.ok(log.indexOf("begin late") < log.indexOf("end b"));
	assert.equal(log.indexOf("begin last"), log.length - 2);
});

test("one failure ends all, and an abort too", async () => {
	const requests = ["a", "b", "c"].map((prompt) => ({
		prompt,
		numOutputTokens: 50,
		afterTokens: 0,
	}));
	const log: string[] = [];
	await assert.rejects(
		run(echoEngine(log, "b"), requests, context()),
		/no more/,
	);
	assert.ok(!log.some((line) => line.startsWith("end")));
	const controller = new AbortController();
	const aborted = run(echoEngine([]), requests, context(controller.signal));
	controller.abort(new Error("enough"));
	await assert.rejects(aborted, /enough/);
});

test("a pool is asked for in tokens and loaded in bytes", async () => {
	const load = { numSeqs: 2, numBlocks: 64, numSteps: 1 };
	const [recorded] = await recordLoad(load);
	assert.equal(recorded.type, "snapshot");
	const first = { ...recorded, sequences: [], running: [], blocks: [] };
	const asked: unknown[] = [];
	const BYTES_PER_TOKEN = 4096;
	const reload = async (settings: { kvCacheMemoryBytes?: number | null }) => {
		asked.push(settings);
		const numTokens = (settings.kvCacheMemoryBytes ?? 0) / BYTES_PER_TOKEN;
		const numBlocks = Math.floor(numTokens / 16);
		const snapshot = { ...first, engine: { ...first.engine, numBlocks } };
		return {
			...echoEngine([]),
			observe: (listener: (event: unknown) => void) => {
				listener(snapshot);
				return () => {};
			},
		} as unknown as Engine;
	};
	const loader = createPoolLoader(reload, echoEngine([]));
	const [{ a, b }] = SCENARIOS;
	await loader.load({ ...a.settings, poolTokens: 2048 });
	await loader.load({ ...b.settings, poolTokens: 256 });
	const whole = { enableChunkedPrefill: false, maxNumBatchedTokens: 128 };
	await loader.load({ ...b.settings, ...whole });
	assert.equal(asked.length, 4, "measured once");
	assert.deepEqual(
		asked.slice(1).map((it) => {
			const { kvCacheMemoryBytes, maxModelLen } = it as Record<string, number>;
			return [kvCacheMemoryBytes / BYTES_PER_TOKEN, maxModelLen];
		}),
		[
			[2048, 512],
			[256, 256],
			[8192, 128],
		],
	);
});

test("scenarios differ in what they say they differ in, and a verdict is a sentence", () => {
	assert.equal(new Set(SCENARIOS.map(({ id }) => id)).size, 5);
	for (const { a, b, requests } of SCENARIOS) {
		assert.notDeepEqual(a.settings, b.settings);
		assert.deepEqual(requests(), requests());
	}
	const figures = (numSteps: number, tokensPerSecond: number): RunFigures => ({
		numRequests: 1,
		numOutputTokens: 1,
		seconds: 1,
		outputTokensPerSecond: tokensPerSecond,
		meanTtftMs: 1,
		maxTtftMs: 1,
		longestGapMs: 1,
		engine: { numSteps } as RunFigures["engine"],
	});
	const [batching] = SCENARIOS;
	const key = keyVerdict(batching, figures(384, 100), figures(26, 250));
	assert.equal(key?.text, "26 instead of 384: 14.8 times less");
	assert.equal(key?.holds, true);
	const feel = feelVerdict(batching, figures(1, 100), figures(1, 250));
	assert.equal(feel.text, "250 tok/s instead of 100 tok/s: 2.5 times more");
	const worse = feelVerdict(batching, figures(1, 100), figures(1, 50));
	assert.equal(worse.holds, false);
	const none = { ...figures(1, 1), engine: null };
	assert.equal(keyVerdict(batching, none, none), null);
});
