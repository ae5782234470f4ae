/** Listening to the step loop: what is told in which order, by whom it may be disturbed, and what it costs nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Executable } from "../../src/backends/backend.ts";
import { type EngineEvent, MAX_TOLD_WAITING } from "../../src/engine/events.ts";
import {
	LlmEngine,
	type LlmEngineConfig,
} from "../../src/engine/llm-engine.ts";
import {
	countingExecutable,
	engineConfig,
	overlapping,
	request,
} from "../support/engine-harness.ts";
import { Witness } from "../support/inspector-law.ts";
import { turns } from "../support/random-schedules.ts";
import { makeAdapter } from "../support/sequences.ts";

function engineOf(
	executable: Executable = countingExecutable(64),
	config: Partial<LlmEngineConfig> = {},
): LlmEngine {
	return new LlmEngine(executable, engineConfig(config));
}

function add(engine: LlmEngine, id: string, maxTokens = 3, n = 1) {
	const each = request(id, [1, 2, 3, 4, 5], { maxTokens, n });
	engine.add(each);
	return each.seen;
}

const typesOf = (events: readonly EngineEvent[]) =>
	events.map(({ type }) => type);

const both = [
	["in turn", (e: Executable) => e],
	["overlapped", overlapping],
] as const;

for (const [how, wrap] of both) {
	test(`${how}: a request's events come in order, and their times too`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const witness = new Witness(engine);
		const { done } = add(engine, "r", 2);
		await done;
		await turns(3);
		witness.check();
		const told = witness.events.filter(({ type }) => type !== "end");
		assert.deepEqual(
			typesOf(told).filter((type) => type !== "step"),
			["snapshot", "arrival", "output", "output"],
		);
		assert.equal(witness.events.at(-1)?.type, "end", "ends come after results");
		const times = witness.events.flatMap((event) =>
			event.type === "step" ? [event.startMs, event.submitMs] : [event.atMs],
		);
		assert.deepEqual(
			times,
			times.toSorted((a, b) => a - b),
		);
		const steps = witness.events.filter((event) => event.type === "step");
		assert.deepEqual(
			steps.map(({ step }) => step),
			steps.map((_, i) => i + 1),
		);
		assert.deepEqual(steps[0].rows, [
			{ arrival: 0, phase: "prefill", start: 0, numTokens: 5, samples: true },
		]);
		assert.equal(steps[1].rows[0].phase, "decode");
		await engine.close();
	});

	test(`${how}: a listener that throws is dropped; others and the engine go on`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		let numHeard = 0;
		engine.observe(() => {
			if (++numHeard === 3) throw new Error("boom");
		});
		engine.observe(() => {
			throw new Error("at once");
		});
		const witness = new Witness(engine);
		const { done, tokenIds } = add(engine, "r", 9);
		await done;
		assert.equal(tokenIds[0].length, 9);
		assert.equal(numHeard, 3);
		witness.check();
		assert.ok(witness.events.length > 9);
		await engine.close();
	});

	test(`${how}: what a listener does to the engine is told after what it was told`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const heard: EngineEvent[][] = [[], []];
		const seen = add(engine, "r", 50);
		engine.observe((event) => {
			heard[0].push(event);
			if (event.type === "output" && heard[0].length > 8) engine.abort("r");
		});
		engine.observe((event) => {
			heard[1].push(event);
		});
		await seen.done;
		await turns(3);
		assert.equal(heard[0].at(-1)?.type, heard[1].at(-1)?.type);
		assert.deepEqual(heard[0].slice(-5), heard[1].slice(-5));
		const ends = heard[0].filter(({ type }) => type === "end");
		assert.equal(ends.length, 1);
		await engine.close();
	});

	test(`${how}: listening from within a sink, leaving, and listening again`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const each = request("r", [1, 2, 3], { maxTokens: 8, n: 2 });
		const witnesses: Witness[] = [];
		engine.add({
			...each,
			sink: {
				...each.sink,
				onToken: (seq, ...rest) => {
					each.sink.onToken(seq, ...rest);
					if (seq.index === 0 && seq.numTokens % 2 === 0)
						engine.observe((event) => {
							assert.equal(event.type, "snapshot");
							throw new Error("enough");
						});
					if (seq.numTokens === 5 + seq.index)
						witnesses.push(new Witness(engine));
					if (seq.numTokens === 7) witnesses.pop()?.leave();
					return null;
				},
			},
		});
		await each.seen.done;
		await turns(2);
		for (const witness of witnesses) {
			witness.check();
			witness.leave();
		}
		const again = new Witness(engine);
		assert.deepEqual(typesOf(again.events), ["snapshot"]);
		await engine.close();
	});

	test(`${how}: a reset of the prefix cache is told as a snapshot`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const witness = new Witness(engine);
		await add(engine, "r").done;
		assert.ok((witness.state?.blocks.numCached ?? 0) > 0);
		engine.resetPrefixCache();
		assert.equal(witness.events.at(-1)?.type, "snapshot");
		assert.equal(witness.state?.blocks.numCached, 0);
		witness.check();
		await engine.close();
	});

	test(`${how}: of a long queue the head is told, and who comes forward later`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)), { maxNumSeqs: 2 });
		await engine.pause();
		const numAll = MAX_TOLD_WAITING + 90;
		const witness = new Witness(engine);
		const all = Array.from({ length: numAll }, (_, i) =>
			add(engine, `r${i}`, 1),
		);
		const late: EngineEvent[] = [];
		engine.observe((event) => late.push(event));
		assert.equal(late[0].type, "snapshot");
		assert.ok(late[0].type === "snapshot");
		assert.equal(late[0].waiting.length, MAX_TOLD_WAITING);
		assert.equal(late[0].numWaiting, numAll);
		witness.leave();
		const early = witness.events.filter(({ type }) => type === "arrival");
		assert.equal(early.length, MAX_TOLD_WAITING);
		engine.abort(`r${numAll - 1}`);
		engine.resume();
		await Promise.all(all.map(({ done }) => done));
		await turns(3);
		const numEnds = late.filter(({ type }) => type === "end").length;
		assert.equal(numEnds, numAll - 1, "all but the one never told of");
		const numArrived = late.filter(({ type }) => type === "arrival").length;
		assert.equal(numArrived, 89);
		await engine.close();
	});

	test(`${how}: a failing step ends everything, and tells so`, async () => {
		const counting = countingExecutable(64);
		let step = 0;
		const engine = engineOf(
			wrap({
				...counting,
				submit: async (input) => {
					if (++step === 3) throw new Error("gone");
					return counting.submit(input);
				},
			}),
		);
		const witness = new Witness(engine);
		const { done } = add(engine, "r", 9, 2);
		await done;
		witness.check();
		const ends = witness.events.filter((event) => event.type === "end");
		assert.deepEqual(
			ends.map(({ reason }) => reason),
			["error", "error"],
		);
		await engine.close();
	});

	test(`${how}: what happens while adapters are written is told after the step it happened in`, async () => {
		const counting = countingExecutable(64);
		const engine = engineOf(
			wrap({ ...counting, writeAdapter: () => turns(2) }),
			{ maxLoras: 1 },
		);
		const witness = new Witness(engine);
		const adapter = makeAdapter(1);
		const each = request("r", [1, 2, 3], { maxTokens: 9 });
		const other = request("other", [4, 5, 6], { maxTokens: 9 });
		engine.add({ ...each, adapter });
		engine.add(other);
		await turns(1);
		engine.abort("other");
		const late: EngineEvent[] = [];
		engine.observe((event) => late.push(event));
		await each.seen.done;
		await turns(3);
		witness.check();
		const types = typesOf(witness.events);
		assert.deepEqual(types.slice(0, 5), [
			"snapshot",
			"arrival",
			"arrival",
			"step",
			"end",
		]);
		assert.equal(late[0].type, "snapshot");
		assert.ok(late[0].type === "snapshot" && late[0].sequences.length === 1);
		const [arrival] = witness.events.filter(({ type }) => type === "arrival");
		assert.ok(arrival.type === "arrival");
		assert.equal(arrival.sequence.adapter, adapter.name);
		await engine.close();
	});

	test(`${how}: pause waits for the step in flight; step runs one; resume goes on`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		await assert.rejects(engine.step(), { code: "not_paused" });
		const { done, tokenIds } = add(engine, "r", 20);
		await turns(4);
		await engine.pause();
		const { numSteps } = engine.stats();
		const had = tokenIds[0].length;
		assert.equal(had, numSteps, "every step's token was read");
		await turns(4);
		assert.equal(engine.stats().numSteps, numSteps);
		await engine.pause();
		await engine.step();
		assert.equal(tokenIds[0].length, had + 1);
		await Promise.all([engine.step(), engine.step()]);
		assert.equal(tokenIds[0].length, had + 3);
		const late = add(engine, "late", 2);
		await turns(3);
		assert.equal(engine.stats().numRequestsWaiting, 1);
		engine.resume();
		engine.resume();
		await Promise.all([done, late.done]);
		assert.equal(tokenIds[0].length, 20);
		await engine.close();
	});

	test(`${how}: a paused engine aborts, closes, and steps over nothing`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		await engine.pause();
		await engine.step();
		const aborted = add(engine, "aborted", 9);
		await engine.step();
		engine.abort("aborted");
		await aborted.done;
		assert.equal(aborted.tokenIds[0].length, 1);
		await engine.step();
		const closed = add(engine, "closed", 9);
		const step = engine.step();
		await engine.close();
		await closed.done;
		assert.equal(closed.ends[0].kind, "failed");
		await assert.rejects(step, { code: "engine_closed" });
		await assert.rejects(engine.step(), { code: "engine_closed" });
	});

	test(`${how}: a step that fails says so to who asked for it`, async () => {
		const engine = engineOf(
			wrap({
				...countingExecutable(64),
				submit: async () => {
					throw new Error("gone");
				},
			}),
		);
		await engine.pause();
		const { done } = add(engine, "r");
		await assert.rejects(engine.step(), { code: "backend_failed" });
		await done;
		await engine.close();
	});
}

test("paused while a constraint works out a mask, and stepped over it", async () => {
	const engine = engineOf();
	const each = request("r", [1, 2, 3], { maxTokens: 3 });
	const constraint = {
		mask: new Uint32Array([~0, ~0]),
		pending: null as Promise<void> | null,
		accept() {
			constraint.pending = turns(3).then(() => {
				constraint.pending = null;
			});
		},
		dispose() {},
	};
	await engine.pause();
	engine.add({ ...each, startConstraint: () => constraint });
	for (const length of [1, 2, 3]) {
		await engine.step();
		assert.equal(each.seen.tokenIds[0].length, length);
	}
	await each.seen.done;
	await engine.close();
});

test("who loses its blocks where nothing can run is told of", async () => {
	// The first fills the pool and sits out for its mask; the second needs a block, and is the last in order itself.
	const engine = engineOf(countingExecutable(4), { blockSize: 4 });
	const witness = new Witness(engine);
	const mask = new Uint32Array([~0, ~0]);
	const constraint = {
		mask,
		pending: null as Promise<void> | null,
		accept() {
			constraint.pending = turns(12).then(() => {
				constraint.pending = null;
			});
		},
		dispose() {},
	};
	const first = request("first", [1, 2, 3, 4, 5, 6, 7], { maxTokens: 2 });
	const second = request("second", [1, 1, 1, 1, 1, 1], { maxTokens: 8 });
	engine.add({ ...first, startConstraint: () => constraint });
	engine.add(second);
	await first.seen.done;
	await second.seen.done;
	await turns(2);
	witness.check();
	const snapshots = witness.events.filter(({ type }) => type === "snapshot");
	assert.equal(snapshots.length, 2);
	assert.equal(witness.state?.counters.numPreemptions, 1);
	await engine.close();
});
