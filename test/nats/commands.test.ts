/** run-batch --nats, worker and job as processes: the collector killed and interrupted, a worker told to end, what is refused. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BatchRecord } from "../../src/batch/records.ts";
import {
	DUMMY,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "../cli/command-line.ts";
import { skip, startServer } from "./server.ts";

const NUM_REQUESTS = 400;
const folder = temporaryFolder();
const model = writeModel(folder);

function writeInput(name: string, numRequests: number, more = ""): string {
	const path = join(folder, name);
	const lines = Array.from({ length: numRequests }, (_, i) => {
		const body = {
			prompt: `once ${i}`,
			max_tokens: 24,
			ignore_eos: true,
			temperature: 0,
		};
		const url = "/v1/completions";
		return JSON.stringify({ custom_id: `r${i}`, method: "POST", url, body });
	});
	writeFileSync(path, `${lines.join("\n")}\n${more}`);
	return path;
}

const recordsOf = (path: string): BatchRecord[] =>
	readFileSync(path, "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));

test("a collector killed and interrupted goes on when it is started again; bad lines are told; the worker ends cleanly", {
	skip,
}, async () => {
	const { url } = await startServer();
	const worker = start([
		...["worker", "--nats", url, "-m", model, "--max-num-seqs", "2"],
		...DUMMY,
	]);
	const tooLong = JSON.stringify({
		custom_id: "long",
		...{ method: "POST", url: "/v1/completions" },
		body: { prompt: "x ".repeat(3000) },
	});
	const input = writeInput("in.jsonl", NUM_REQUESTS, `{bad\n${tooLong}\n`);
	const output = join(folder, "out.jsonl");
	const command = [
		...["run-batch", "-i", input, "-o", output, "-m", model],
		...["--nats", url, "--job", "j1", "--ack-wait", "5"],
	];
	const sizeOf = () => (existsSync(output) ? readFileSync(output).length : 0);
	const signals = ["SIGKILL", "SIGKILL", "SIGINT"] as const;
	for (const signal of signals) {
		const job = start(command);
		const before = sizeOf();
		while (sizeOf() <= before) await sleep(5);
		job.process.kill(signal);
		const { code, stderr } = await job.ended;
		if (signal !== "SIGINT") continue;
		assert.equal(code, 130, stderr);
		assert.match(stderr, /job j1 stays on the NATS server/);
	}
	assert.ok(recordsOf(output).length < NUM_REQUESTS);
	const status = await run(["job", "status", "j1", "--nats", url]);
	assert.match(status.stdout, /job j1: running .* nobody collects/);
	const last = await run(command);
	assert.equal(last.code, 0, last.stderr);
	assert.match(last.stderr, /lines? done · [\d,]+ before/);
	const records = recordsOf(output);
	const ids = new Set(records.map(({ custom_id }) => custom_id));
	assert.deepEqual(
		[records.length, ids.size],
		[NUM_REQUESTS + 1, NUM_REQUESTS + 1],
	);
	const errors = recordsOf(`${output}.errors.jsonl`) as (BatchRecord & {
		line: number;
	})[];
	assert.deepEqual(
		errors.map(({ line }) => line).sort((a, b) => a - b),
		[NUM_REQUESTS + 1, NUM_REQUESTS + 2],
	);
	const bytes = readFileSync(output);
	const again = await run(command);
	assert.equal(again.code, 0, again.stderr);
	assert.deepEqual(readFileSync(output), bytes, "nothing was left to do");
	const json = await run(["job", "status", "--nats", url, "--json"]);
	const { jobs, workers } = JSON.parse(json.stdout);
	assert.deepEqual([jobs.length, jobs[0].record.state], [1, "done"]);
	assert.deepEqual([workers.length, workers[0].device], [1, "reference"]);
	worker.process.kill("SIGTERM");
	const { code, stderr } = await worker.ended;
	assert.equal(code, 0, stderr);
	// What a killed collector had in hand was not asked again.
	assert.match(
		stderr,
		new RegExp(`\n${NUM_REQUESTS + 1} requests answered\n$`),
	);
});

test("cancelled from another process; a full disk ends the collector, not the job", {
	skip,
}, async () => {
	const { url } = await startServer();
	const input = writeInput("some.jsonl", 20);
	const output = join(folder, "some-out.jsonl");
	const command = (...flags: string[]) => [
		...["run-batch", "-i", input, "-o", output, "-m", model],
		...["--nats", url, "--job", "j2"],
		...flags,
	];
	const full = start(command("--errors-file", "/dev/full"));
	const bad = writeInput("bad.jsonl", 1, "{bad\n");
	const spoilt = existsSync("/dev/full")
		? await run([
				...["run-batch", "-i", bad, "-o", join(folder, "bad-out.jsonl")],
				...["-m", model, "--nats", url, "--errors-file", "/dev/full"],
			])
		: null;
	if (spoilt !== null) {
		assert.equal(spoilt.code, 1);
		assert.match(spoilt.stderr, /error \[output_failed\].*ENOSPC/);
	}
	const isThere = async () => {
		const { stdout } = await run(["job", "status", "--nats", url]);
		return /job j2: running/.test(stdout);
	};
	while (!(await isThere())) await sleep(50);
	const cancel = await run(["job", "cancel", "j2", "--nats", url]);
	assert.equal(cancel.stdout, "job j2 is cancelled\n");
	const { code, stderr } = await full.ended;
	assert.equal(code, 1);
	assert.match(stderr, /error \[job_cancelled\]: job j2 was cancelled/);
	const refused = await run(command());
	assert.match(refused.stderr, /error \[job_cancelled\]/);
});

test("what makes no sense is refused before anything is asked", {
	skip,
}, async () => {
	const input = writeInput("few.jsonl", 2);
	const command = (...flags: string[]) =>
		run([
			...["run-batch", "-i", input, "-o", join(folder, "few-out.jsonl")],
			...["-m", model, "--nats", "nats://127.0.0.1:9"],
			...flags,
		]);
	const rows: [flags: string[], message: RegExp][] = [
		[["--device", "cpu"], /--device is for the workers to know/],
		[["--job", "a.b"], /--job must be 1 to 64 letters/],
		[["--ack-wait", "0"], /--ack-wait must be seconds from 0\.5/],
		[["--max-deliveries", "2"], /--max-deliveries must be from 3/],
	];
	for (const [flags, message] of rows) {
		const { code, stderr } = await command(...flags);
		assert.equal(code, 1);
		assert.match(stderr, message);
	}
	const nowhere = await run(["worker", "-m", model], "", { NATS_URL: "" });
	assert.match(nowhere.stderr, /no NATS server is named/);
});
