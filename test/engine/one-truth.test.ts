/** The law of the engine: however requests are batched, chunked, cached, preempted, overlapped or aborted around, each gets the same bits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import {
	engineConfig,
	overlapping,
	type Remembered,
	request,
	tinyExecutable,
} from "../support/engine-harness.ts";

interface Arrival {
	readonly prompt: number[];
	readonly maxTokens: number;
	readonly temperature: number;
	readonly seed: number;
	readonly n: number;
	readonly penalty: number;
	readonly promptLogprobs: boolean;
	/** Steps of the engine to wait before it arrives. */
	readonly delay: number;
	/** Event-loop turns after which it is aborted; null: never. */
	readonly abortAfter: number | null;
	readonly priority: number;
}

// Few distinct tokens and prompts grown from shared beginnings, so that prefixes are hit.
const tokens = (max: number) =>
	fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: max });
const arrival: fc.Arbitrary<Arrival> = fc.record({
	prompt: fc.oneof(
		tokens(30),
		tokens(6).map((tail) => [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, ...tail]),
	),
	maxTokens: fc.integer({ min: 1, max: 20 }),
	temperature: fc.constantFrom(0, 0.8, 1.5),
	seed: fc.nat({ max: 1000 }),
	n: fc.constantFrom(1, 1, 1, 3),
	penalty: fc.constantFrom(0, 0, 0.7),
	promptLogprobs: fc.boolean(),
	delay: fc.nat({ max: 6 }),
	abortAfter: fc.option(fc.nat({ max: 12 }), { freq: 4 }),
	priority: fc.nat({ max: 2 }),
});
const schedule = fc.record({
	arrivals: fc.array(arrival, { minLength: 1, maxLength: 7 }),
	numBlocks: fc.integer({ min: 13, max: 40 }),
	blockSize: fc.constantFrom(1, 3, 4, 8),
	maxNumSeqs: fc.integer({ min: 1, max: 6 }),
	budget: fc.integer({ min: 6, max: 40 }),
	enablePrefixCaching: fc.boolean(),
	overlap: fc.boolean(),
});

function asRequest(id: string, arrival: Arrival) {
	const { maxTokens, temperature, seed, n, penalty, priority } = arrival;
	const params = {
		maxTokens,
		temperature,
		seed,
		n,
		logprobs: 2,
		presencePenalty: penalty,
		repetitionPenalty: 1 + penalty,
		topK: temperature > 1 ? 20 : 0,
		promptLogprobs: arrival.promptLogprobs ? 1 : null,
	};
	return request(id, arrival.prompt, params, { priority });
}

/** Turns of the event loop: with the reference backend about one a step. */
async function turns(n: number): Promise<void> {
	for (let i = 0; i < n; i++)
		await new Promise((resolve) => setImmediate(resolve));
}

const alone = new Map<string, Promise<Remembered>>();

/** What the request gives by itself, from an engine with room for everything. */
async function byItself(arrival: Arrival): Promise<Remembered> {
	const key = JSON.stringify({ ...arrival, delay: 0, abortAfter: 0 });
	const known = alone.get(key);
	if (known !== undefined) return known;
	const run = async () => {
		const config = engineConfig({
			blockSize: 16,
			maxNumBatchedTokens: 64,
			enablePrefixCaching: false,
		});
		const engine = new LlmEngine(await tinyExecutable(config, 60), config);
		const single = asRequest("alone", arrival);
		engine.add(single);
		await single.seen.done;
		await engine.close();
		return single.seen;
	};
	const result = run();
	alone.set(key, result);
	return result;
}

test("batched = chunked = cached = preempted = overlapped = one by one, bit for bit", async () => {
	let numPreemptions = 0;
	let numHits = 0;
	await fc.assert(
		fc.asyncProperty(schedule, async (s) => {
			const longest = Math.max(
				...s.arrivals.map((a) => a.prompt.length + a.maxTokens),
			);
			const numBlocks = Math.max(s.numBlocks, Math.ceil(longest / s.blockSize));
			const config = engineConfig({
				blockSize: s.blockSize,
				maxNumSeqs: s.maxNumSeqs,
				maxNumBatchedTokens: s.budget,
				enablePrefixCaching: s.enablePrefixCaching,
			});
			const executable = await tinyExecutable(config, numBlocks);
			const engine = new LlmEngine(
				s.overlap ? overlapping(executable) : executable,
				config,
			);
			const all = await Promise.all(
				s.arrivals.map(async (arrival, i) => {
					const each = asRequest(`r${i}`, arrival);
					await turns(arrival.delay);
					engine.add(each);
					if (arrival.abortAfter !== null)
						turns(arrival.abortAfter).then(() => engine.abort(`r${i}`));
					await each.seen.done;
					return each.seen;
				}),
			);
			await turns(3);
			const stats = engine.stats();
			assert.equal(stats.kvCacheUsage, 0, "no block is leaked at idle");
			assert.equal(stats.numRequestsRunning + stats.numRequestsWaiting, 0);
			numPreemptions += stats.numPreemptions;
			numHits += stats.prefixCacheHits;
			await engine.close();

			for (const [i, arrival] of s.arrivals.entries()) {
				const expected = await byItself(arrival);
				const { tokenIds, logprobs, promptLogprobs, ends } = all[i];
				for (let index = 0; index < arrival.n; index++) {
					const end = ends[index];
					assert.equal(end.kind, "finished");
					if (end.kind === "finished" && end.reason === "abort") {
						const n = tokenIds[index].length;
						assert.deepEqual(
							tokenIds[index],
							expected.tokenIds[index].slice(0, n),
						);
						continue;
					}
					assert.deepEqual(tokenIds[index], expected.tokenIds[index]);
					assert.deepEqual(logprobs[index], expected.logprobs[index]);
					assert.deepEqual(end, expected.ends[index]);
				}
				if (ends[0].kind === "finished" && ends[0].reason !== "abort")
					assert.deepEqual(promptLogprobs, expected.promptLogprobs);
			}
		}),
		{ numRuns: 150, seed: 20261122 },
	);
	assert.ok(numPreemptions > 20, `schedules preempt (${numPreemptions})`);
	assert.ok(numHits > 500, `schedules hit the prefix cache (${numHits})`);
});
