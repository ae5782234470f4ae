/** The trace: its form, as Perfetto reads it, and that it tells what happened. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "../../src/engine/events.ts";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import { History } from "../../src/inspector/history.ts";
import {
	type TraceEvent,
	type TraceSlice,
	traceOf,
} from "../../src/inspector/trace.ts";
import {
	countingExecutable,
	engineConfig,
	overlapping,
	request,
} from "../support/engine-harness.ts";

/** Chunked prompts, a pool too small for all, n > 1, a pause and an abort. */
async function recorded(overlap: boolean): Promise<EngineEvent[]> {
	const executable = countingExecutable(14);
	const engine = new LlmEngine(
		overlap ? overlapping(executable) : executable,
		engineConfig({ maxNumBatchedTokens: 8 }),
	);
	const events: EngineEvent[] = [];
	engine.observe((event) => events.push(event));
	const all = [1, 2, 3, 4].map((i) => {
		const prompt = Array.from({ length: 11 }, (_, p) => (p < 4 ? 0 : i));
		const n = i === 2 ? 2 : 1;
		return request(`r${i}`, prompt, { maxTokens: 9, n });
	});
	for (const each of all) engine.add(each);
	await engine.pause();
	await engine.step();
	engine.abort("r4");
	engine.resume();
	await Promise.all(all.map(({ seen }) => seen.done));
	await engine.close();
	return events;
}

const slicesOf = (events: readonly TraceEvent[]) =>
	events.filter((event): event is TraceSlice => event.ph === "X");

for (const overlap of [false, true])
	test(`overlap ${overlap}: a well-formed trace of all that ran`, async () => {
		const events = await recorded(overlap);
		const { traceEvents, displayTimeUnit } = JSON.parse(
			JSON.stringify(traceOf(null, events)),
		) as ReturnType<typeof traceOf>;
		assert.equal(displayTimeUnit, "ms");
		const tracks = new Set<string>();
		for (const event of traceEvents) {
			assert.ok("XiCM".includes(event.ph) && event.ph.length === 1);
			assert.ok(Number.isInteger(event.pid) && Number.isInteger(event.tid));
			assert.equal(typeof event.name, "string");
			if (event.ph === "M") tracks.add(`${event.pid} ${event.tid}`);
			else assert.ok(Number.isFinite(event.ts));
			if (event.ph === "C")
				assert.ok(Number.isInteger(event.args?.value), "a counter is a number");
		}
		const slices = slicesOf(traceEvents);
		for (const { pid, tid, dur } of slices) {
			assert.ok(tracks.has(`${pid} ${tid}`), "every track has a name");
			assert.ok(dur >= 0);
		}
		checkNesting(slices);
		checkContent(events, traceEvents);
	});

/** Slices of a track follow each other: viewers drop those that cross. */
function checkNesting(slices: readonly TraceSlice[]): void {
	const tracks = Map.groupBy(slices, ({ pid, tid }) => `${pid} ${tid}`);
	for (const [track, its] of tracks) {
		const inOrder = its.toSorted((a, b) => a.ts - b.ts || a.dur - b.dur);
		for (let i = 1; i < inOrder.length; i++) {
			const { ts, dur, name } = inOrder[i - 1];
			assert.ok(ts + dur <= inOrder[i].ts + 1e-3, `${track}: ${name}`);
		}
	}
}

function checkContent(
	events: readonly EngineEvent[],
	trace: readonly TraceEvent[],
): void {
	const steps = events.filter((event) => event.type === "step");
	const rows = steps.flatMap((step) => step.rows);
	const slices = slicesOf(trace);
	const named = (test: RegExp) => slices.filter((it) => test.test(it.name));
	assert.equal(named(/^step/).length, 2 * steps.length);
	const decodes = rows.filter(({ phase }) => phase === "decode");
	assert.equal(named(/^decode$/).length, decodes.length);
	assert.equal(named(/^prefill/).length, rows.length - decodes.length);
	const numAdmitted = steps.flatMap((step) => step.admitted).length;
	assert.ok(named(/^waiting$/).length >= numAdmitted);
	const instants = trace.filter((event) => event.ph === "i");
	const numOf = (name: string) =>
		instants.filter((event) => event.name === name).length;
	const preempted = steps.flatMap((step) => step.preempted);
	assert.ok(preempted.length > 0, "the pool is too small for all");
	assert.equal(numOf("preempted"), preempted.length);
	assert.equal(numOf("pause"), 1);
	assert.equal(numOf("resume"), 1);
	assert.equal(numOf("end: abort"), 1);
	assert.equal(numOf("end: length"), 4);
	const used = trace.findLast((event) => event.name === "KV blocks used");
	assert.deepEqual(used?.args, { value: 0 }, "all blocks are back");
}

test("a history that forgot its start gives a trace of what it has", async () => {
	const events = await recorded(true);
	const history = new History({ eventsPerKeyframe: 8, maxBytes: 10_000 });
	for (const event of events) history.push(event);
	assert.ok(history.firstIndex > 0, "it forgot some");
	const { traceEvents } = traceOf(history.beginning(), history.events());
	const kept = events.slice(history.firstIndex);
	const numSteps = kept.filter((event) => event.type === "step").length;
	const { length } = slicesOf(traceEvents).filter(
		({ pid, tid }) => pid === 1 && tid === 1,
	);
	assert.equal(length, numSteps);
	checkNesting(slicesOf(traceEvents));
});
