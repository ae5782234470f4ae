/** Which requests are asked twice, what job status prints, which jobs a worker may take: without a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { report } from "../../src/cli/job.ts";
import { Durations, toHedge } from "../../src/nats/hedge.ts";
import {
	checkSameJob,
	mismatch,
	parseJobRecord,
} from "../../src/nats/job-record.ts";
import { checkJobName } from "../../src/nats/protocol.ts";
import { jobRecord } from "./dummy.ts";

const out = (line: number, since: number, isHedged = false) => ({
	line,
	since,
	isHedged,
});

test("the oldest first, no more than there are idle places, none that is young or asked twice", () => {
	const all = [out(1, 5000), out(2, 0), out(3, 3000), out(4, 100, true)];
	const lines = (numIdle: number, medianMs: number | null) =>
		toHedge(all, numIdle, medianMs, 6000).map(({ line }) => line);
	assert.deepEqual(lines(9, 0), [2, 3, 1]);
	assert.deepEqual(lines(2, 0), [2, 3]);
	assert.deepEqual(lines(9, 1500), [2, 3]);
	assert.deepEqual(lines(9, 2999), [2]);
	assert.deepEqual(lines(9, 4000), []);
	assert.deepEqual(lines(0, 0), []);
	assert.deepEqual(lines(9, null), [], "nobody knows what is late");
});

test("how long answers take is the middle one of the last 256", () => {
	const durations = new Durations();
	assert.equal(durations.median, null);
	for (let i = 0; i < 300; i++) durations.add(1);
	for (let i = 0; i < 200; i++) durations.add(50);
	assert.equal(durations.median, 50);
});

test("a worker takes jobs of its model that name no option it has not", () => {
	const served = { names: ["a/b", "gpt"], engine: { seed: 0, dtype: "auto" } };
	const take = (more: object) => mismatch(jobRecord("j", more), served);
	assert.equal(take({ model: "gpt" }), null);
	assert.equal(take({ model: "a/b", engine: { seed: 0 } }), null);
	assert.match(
		take({ model: "b" }) ?? "",
		/wants model b, .* serves a\/b, gpt/,
	);
	assert.match(
		take({ model: "gpt", engine: { quantization: "q8_0" } }) ?? "",
		/wants quantization q8_0, this worker has the default/,
	);
	const record = jobRecord("j");
	assert.deepEqual(parseJobRecord(JSON.stringify(record)), record);
	for (const wrong of [{ protocol: 2 }, { ackWaitMs: "x" }, { answers: null }])
		assert.equal(parseJobRecord(JSON.stringify({ ...record, ...wrong })), null);
	for (const text of ["{", "null", "7"])
		assert.equal(parseJobRecord(text), null);
});

test("a job's name goes with its input, model and options until it is done", () => {
	const at = (state: "running" | "done" | "cancelled") =>
		jobRecord("j", { state, jobId: "one" });
	checkSameJob(at("running"), "one");
	checkSameJob(at("done"), "one");
	checkSameJob(at("done"), "two");
	checkSameJob(at("cancelled"), "two");
	assert.throws(() => checkSameJob(at("running"), "two"), {
		code: "invalid_option",
	});
	assert.throws(() => checkSameJob(at("cancelled"), "one"), {
		code: "job_cancelled",
	});
	for (const name of ["", "a.b", "a b", "a*", "ä", "x".repeat(65)])
		assert.throws(() => checkJobName(name), { code: "invalid_option" });
	checkJobName("nightly-2_b");
});

test("status: a line for each job and worker, and why one is left alone", () => {
	const status = {
		record: jobRecord("nightly", { numLines: 5000, model: "a/b" }),
		progress: { numLines: 1200, numEarlier: 0, numFailed: 3, at: 0 },
		...{ numWaiting: 900, numWorkedOn: 124, numUncollected: 0 },
		collector: "host:/out.jsonl",
	};
	const worker = {
		...{ id: "w1", host: "h", device: "cpu", credit: 320, numInFlight: 124 },
		served: { names: ["a/b"], engine: {} },
		numAnswered: 1200,
		refused: { nightly: "it wants seed 5, this worker has 0" },
	};
	assert.deepEqual(report([status], [worker]).split("\n"), [
		"job nightly: running · 1,200 of 5,000 lines · 3 failed · 900 waiting · 124 worked on · 0 to collect · a/b · host:/out.jsonl",
		"  left alone by w1: it wants seed 5, this worker has 0",
		"worker w1: a/b on cpu · 124 of 320 in flight · 1,200 answered",
	]);
	const over = {
		...status,
		record: { ...status.record, state: "done" as const },
	};
	const none = { numWaiting: null, numWorkedOn: null, numUncollected: null };
	assert.match(
		report([{ ...over, ...none, collector: null }], []),
		/^job nightly: done · 1,200 of 5,000 lines · 3 failed · a\/b\nno workers$/,
	);
	assert.equal(report([], []), "no jobs\nno workers");
});
