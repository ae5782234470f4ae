/** The law of the engine: however requests are batched, chunked, cached, preempted, overlapped or aborted around, each gets the same bits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import {
	engineConfig,
	overlapping,
	type Remembered,
	tinyExecutable,
} from "../support/engine-harness.ts";
import {
	asRequest,
	enoughBlocks,
	type RandomArrival,
	randomSchedule,
	turns,
} from "../support/random-schedules.ts";

const alone = new Map<string, Promise<Remembered>>();

/** What the request gives by itself, from an engine with room for everything. */
async function byItself(arrival: RandomArrival): Promise<Remembered> {
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
		fc.asyncProperty(randomSchedule, async (s) => {
			const config = engineConfig({
				blockSize: s.blockSize,
				maxNumSeqs: s.maxNumSeqs,
				maxNumBatchedTokens: s.budget,
				enablePrefixCaching: s.enablePrefixCaching,
			});
			const executable = await tinyExecutable(config, enoughBlocks(s));
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
