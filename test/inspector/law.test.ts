/** The law of the inspector: what events lead to is what the engine is, after each of them, whoever listens from when, in any schedule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StepInput } from "../../src/backends/backend.ts";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import { History } from "../../src/inspector/history.ts";
import { applyEvent, createState } from "../../src/inspector/state.ts";
import {
	countingExecutable,
	engineConfig,
	overlapping,
} from "../support/engine-harness.ts";
import { valuesOf, Witness } from "../support/inspector-law.ts";
import {
	asRequest,
	enoughBlocks,
	type RandomSchedule,
	randomSchedule,
	turns,
} from "../support/random-schedules.ts";

/** Tokens that differ, and repeat often enough for prefixes to be hit. */
function someToken(input: StepInput, row: number): number {
	const last = input.tokenIds[input.logitRows[row]];
	return (last + input.sampling.outputPosition[row]) % 5;
}

function engineOf(schedule: RandomSchedule): LlmEngine {
	const executable = countingExecutable(enoughBlocks(schedule), someToken);
	return new LlmEngine(
		schedule.overlap ? overlapping(executable) : executable,
		engineConfig({
			blockSize: schedule.blockSize,
			maxNumSeqs: schedule.maxNumSeqs,
			maxNumBatchedTokens: schedule.budget,
			enablePrefixCaching: schedule.enablePrefixCaching,
		}),
	);
}

const SALTS = [null, null, "a", "b"];

/** Runs a schedule's requests; aborts that come after `n` turns come in any state a request may be in. */
async function play(engine: LlmEngine, { arrivals }: RandomSchedule) {
	await Promise.all(
		arrivals.map(async (arrival, i) => {
			const each = asRequest(`r${i}`, arrival);
			const cacheSalt = SALTS[arrival.seed % SALTS.length];
			await turns(arrival.delay);
			engine.add({ ...each, cacheSalt });
			if (arrival.abortAfter !== null)
				turns(arrival.abortAfter).then(() => engine.abort(`r${i}`));
			await each.seen.done;
		}),
	);
	await turns(3);
}

/** Replays from the start, and from wherever history enters, to some events. */
function checkHistory(events: readonly Parameters<typeof applyEvent>[1][]) {
	const [first] = events;
	assert.ok(first.type === "snapshot");
	const history = new History({ eventsPerKeyframe: 7 });
	for (const event of events) history.push(event);
	assert.deepEqual([...history.events()], events, "packing loses nothing");
	const state = createState(first);
	const values = [structuredClone(valuesOf(state))];
	for (const event of events.slice(1)) {
		applyEvent(state, event);
		values.push(structuredClone(valuesOf(state)));
	}
	const last = events.length - 1;
	for (const at of [last, 0, last >> 1, (last + 1) >> 1, last, last >> 2]) {
		assert.deepEqual(structuredClone(valuesOf(history.seek(at))), values[at]);
		assert.equal(history.indexAt(history.timeAt(at)) >= at, true);
	}
	assert.ok(history.live !== null);
	assert.deepEqual(structuredClone(valuesOf(history.live)), values[last]);
}

test("random schedules: after every event the state is the engine's own, for who listens from the start and for who joins late", async () => {
	const seen = { preemptions: 0, hits: 0, evictions: 0, aborts: 0, late: 0 };
	await fc.assert(
		fc.asyncProperty(
			randomSchedule,
			fc.nat({ max: 30 }),
			async (schedule, joinAt) => {
				const engine = engineOf(schedule);
				const early = new Witness(engine);
				const playing = play(engine, schedule);
				await turns(joinAt);
				const late = new Witness(engine);
				await playing;
				if (late.events.length > 1) seen.late++;
				for (const witness of [early, late]) {
					witness.check();
					assert.ok(witness.numChecks > 0);
					checkHistory(witness.events);
				}
				const stats = engine.stats();
				assert.equal(early.state?.running.length, 0);
				seen.preemptions += stats.numPreemptions;
				seen.hits += stats.prefixCacheHits;
				for (const event of early.events) {
					if (event.type === "step") seen.evictions += event.evicted.length;
					if (event.type === "end" && event.reason === "abort") seen.aborts++;
				}
				late.leave();
				early.leave();
				await engine.close();
			},
		),
		{ numRuns: 120, seed: 20261122 },
	);
	assert.ok(seen.preemptions > 20, `schedules preempt (${seen.preemptions})`);
	assert.ok(seen.hits > 300, `schedules hit the cache (${seen.hits})`);
	assert.ok(seen.evictions > 100, `schedules evict (${seen.evictions})`);
	assert.ok(seen.aborts > 20, `schedules abort (${seen.aborts})`);
	assert.ok(seen.late > 60, `some join in the middle (${seen.late})`);
});

test("random schedules step by step: a paused engine takes one step when asked, and the state between steps is the engine's", async () => {
	let numSteps = 0;
	await fc.assert(
		fc.asyncProperty(randomSchedule, async (schedule) => {
			const engine = engineOf(schedule);
			const witness = new Witness(engine);
			await engine.pause();
			assert.equal(witness.state?.paused, true);
			for (const [i, arrival] of schedule.arrivals.entries())
				engine.add(asRequest(`r${i}`, arrival));
			const { numRequestsWaiting } = engine.stats();
			await turns(2);
			assert.equal(engine.stats().numRequestsWaiting, numRequestsWaiting);
			for (let left = 3000; ; left--) {
				const before = engine.stats().numSteps;
				await engine.step();
				witness.check();
				const ran = engine.stats().numSteps - before;
				if (ran === 0) break;
				assert.equal(ran, 1, "one step is one step");
				assert.equal(witness.state?.steps.at(-1)?.outputMs !== null, true);
				numSteps++;
				assert.ok(left > 0, "it comes to an end");
			}
			assert.equal(witness.state?.sequences.size, 0);
			engine.resume();
			await engine.close();
		}),
		{ numRuns: 40, seed: 5 },
	);
	assert.ok(numSteps > 500);
});
