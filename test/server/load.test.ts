/**
 * Sixty-four clients at once: streams read to the end, streams cut anywhere, wrong bodies. Nothing but 503 is the server's fault, every
 * stream that was not cut ends with a reason, and nothing is left behind. LOAD_SECONDS sets how long (8 where it is not set).
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { LLM } from "../../src/index.ts";
import { randomSource } from "../support/random.ts";
import { loadDemo, post, type Served, serve } from "./serving.ts";

const NUM_CLIENTS = 64;
const SECONDS = Number(process.env.LOAD_SECONDS ?? 8);
/** Caches have their sizes and functions are compiled by then. */
const WARM_SECONDS = Math.min(SECONDS / 2, 10);
const MAX_GROWTH_BYTES = 24 * 2 ** 20;

let llm: LLM;
let served: Served;
before(async () => {
	llm = await loadDemo({ maxNumSeqs: 32 });
	served = await serve(llm, { maxQueue: 24, requestTimeout: 60 });
});

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

const WRONG: readonly unknown[] = [
	"{",
	{ prompt: 5 },
	{ prompt: "x", temperature: -1 },
	{ prompt: "x", max_tokens: 10_000 },
	{ prompt: [9999] },
	{ prompt: "" },
];

interface Tally {
	ended: number;
	cut: number;
	full: number;
	refused: number;
	tokens: number;
}

/** A client's requests, one after the other, until time is up. */
async function client(id: number, until: number, tally: Tally): Promise<void> {
	const { below } = randomSource(id);
	while (performance.now() < until) {
		const kind = below(8);
		if (kind === 0) await sendWrong(below, tally);
		else if (kind <= 3) await streamAndCut(below, tally);
		else await streamWhole(below, tally);
	}
}

type Below = (n: number) => number;

const body = (below: Below) => ({
	prompt: `Once upon a time there were ${below(50)}`,
	max_tokens: 1 + below(40),
	n: 1 + (below(4) === 0 ? 1 : 0),
	stream: true,
	stream_options: { include_usage: true },
});

async function sendWrong(below: Below, tally: Tally): Promise<void> {
	const response = await post(
		`${served.url}/v1/completions`,
		WRONG[below(WRONG.length)],
	);
	await response.text();
	if (response.status === 503) tally.full++;
	else {
		assert.equal(response.status, 400);
		tally.refused++;
	}
}

async function streamWhole(below: Below, tally: Tally): Promise<void> {
	const asked = body(below);
	const response = await post(`${served.url}/v1/completions`, asked);
	const text = await response.text();
	if (response.status === 503) {
		tally.full++;
		return void (await sleep(5));
	}
	assert.equal(response.status, 200, text);
	const reasons = text.match(/"finish_reason":"(stop|length)"/g) ?? [];
	assert.equal(reasons.length, asked.n, text);
	assert.ok(text.endsWith("data: [DONE]\n\n"));
	tally.ended++;
	tally.tokens += Number(/"completion_tokens":(\d+)/.exec(text)?.[1]);
}

/** Leaves before the headers, between chunks, or in the middle of one. */
async function streamAndCut(below: Below, tally: Tally): Promise<void> {
	const controller = new AbortController();
	const asked = {
		...body(below),
		max_tokens: 500,
		ignore_eos: true,
		stream: below(4) > 0,
	};
	const timer = setTimeout(() => controller.abort(), below(120));
	try {
		const response = await post(
			`${served.url}/v1/completions`,
			asked,
			{},
			controller.signal,
		);
		assert.ok(response.status === 200 || response.status === 503);
		if (response.status === 503) tally.full++;
		await response.text();
	} catch {
		assert.ok(controller.signal.aborted);
		tally.cut++;
	}
	clearTimeout(timer);
}

async function idle(): Promise<number> {
	for (let i = 0; i < 500; i++) {
		const { numRequestsRunning, numRequestsWaiting, kvCacheUsage } =
			llm.stats();
		if (numRequestsRunning + numRequestsWaiting + kvCacheUsage === 0) break;
		await sleep(10);
	}
	for (let i = 0; i < 4; i++) {
		collect();
		await sleep(50);
	}
	const { heapUsed, external } = process.memoryUsage();
	return heapUsed + external;
}

const run = async (seconds: number, tally: Tally) => {
	const until = performance.now() + seconds * 1000;
	await Promise.all(
		Array.from({ length: NUM_CLIENTS }, (_, i) => client(i + 1, until, tally)),
	);
};

test(`${NUM_CLIENTS} clients for ${SECONDS} s`, async (context) => {
	const tally: Tally = { ended: 0, cut: 0, full: 0, refused: 0, tokens: 0 };
	await run(WARM_SECONDS, tally);
	const before = await idle();
	await run(SECONDS - WARM_SECONDS, tally);
	const after = await idle();
	context.diagnostic(`${JSON.stringify(tally)} · memory ${before} → ${after}`);
	const { numRequestsRunning, numRequestsWaiting, kvCacheUsage } = llm.stats();
	assert.deepEqual(
		[numRequestsRunning, numRequestsWaiting, kvCacheUsage],
		[0, 0, 0],
	);
	const load = await (await fetch(`${served.url}/load`)).json();
	assert.deepEqual(load, { server_load: 0 });
	for (const [name, count] of Object.entries(tally))
		assert.ok(count > 0, `some requests: ${name}`);
	assert.ok(after - before < MAX_GROWTH_BYTES, `${before} → ${after} bytes`);
});
