/** What the protocol promises, with workers in this process over a real server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BatchRecord } from "../../src/batch/records.ts";
import { recover } from "../../src/batch/recover.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { cancelJob, jobNames, jobStatus } from "../../src/nats/job.ts";
import { listWorkers } from "../../src/nats/presence.ts";
import { workStream } from "../../src/nats/protocol.ts";
import { MAX_IN_COMPANY } from "../../src/nats/worker-job.ts";
import {
	bytes,
	JOB,
	type MemoryFile,
	memoryFile,
	parsed,
	requestLine,
} from "../batch/dummy.ts";
import { jobRecord, startJob, startWorker } from "./dummy.ts";
import { connectTo, skip, startServer } from "./server.ts";

const server = skip ? null : await startServer();
const connection = () => connectTo(server?.url ?? "");

const prompts = (numLines: number) =>
	Array.from({ length: numLines }, (_, i) => requestLine(`r${i}`)).join("\n");

/** custom_id → what was answered; each once. */
function answersOf({ text }: MemoryFile): Map<string | null, unknown> {
	const answers = new Map<string | null, unknown>();
	for (const { custom_id, response, error } of parsed<BatchRecord>(text)) {
		assert.ok(!answers.has(custom_id), `${custom_id} is there once`);
		const body = response?.body as { choices: [{ text: string }] } | undefined;
		answers.set(custom_id, body?.choices[0].text ?? error?.code);
	}
	return answers;
}

function assertEchoed(output: MemoryFile, numLines: number): void {
	const answers = answersOf(output);
	assert.equal(answers.size, numLines);
	for (const [id, text] of answers) assert.equal(text, id);
}

const echo = async (prompt: string) => prompt;
const slowly = (ms: number) => async (prompt: string) => {
	await sleep(ms);
	return prompt;
};
const interrupted = new NanoVllmError("aborted", "interrupted.");

test("two workers share a job, bad lines are told here, and nothing is left on the server", {
	skip,
}, async () => {
	const broker = await connection();
	const workers = [
		startWorker(await connection(), slowly(5)),
		startWorker(await connection(), slowly(5)),
	];
	const text = `${prompts(200)}\n{bad\n${requestLine("r7")}`;
	const record = jobRecord("shared", { numLines: 202 });
	const { ended: done, errors, output } = startJob(broker, text, { record });
	const { numDone, numFailed } = await done;
	assert.deepEqual([numDone, numFailed], [202, 2]);
	assertEchoed(output, 200);
	assert.equal(parsed(errors.text).length, 2);
	const each = workers.map(({ begun }) => begun.length);
	assert.equal(each[0] + each[1], 200, "each is answered once");
	assert.ok(Math.min(...each) > 60, `shares ${each}`);
	assert.equal((await jobStatus(broker, "shared")).record.state, "done");
	await assert.rejects(broker.jsm.streams.info(workStream("shared")));
	for (const worker of workers) worker.stop();
	await Promise.all(workers.map((worker) => worker.ended));
});

test("a worker that is slow holds nothing up: its requests are asked again, and the first answer wins", {
	skip,
}, async () => {
	const broker = await connection();
	const dropped: string[] = [];
	const slow = startWorker(
		await connection(),
		(prompt, signal) =>
			new Promise((resolve) => {
				const timer = setTimeout(resolve, 60_000, prompt);
				signal.addEventListener("abort", () => {
					clearTimeout(timer);
					dropped.push(prompt);
					resolve(prompt);
				});
			}),
	);
	const fast = startWorker(await connection(), slowly(2));
	await sleep(300);
	const record = jobRecord("tail", { ackWaitMs: 30_000 });
	const { ended: done, output } = startJob(broker, prompts(60), { record });
	await done;
	assertEchoed(output, 60);
	assert.ok(slow.begun.length > 0, "the slow one had some");
	for (const { stop } of [slow, fast]) stop();
	await Promise.all([slow.ended, fast.ended]);
	assert.deepEqual(dropped.sort(), slow.begun.sort(), "and was told to stop");
});

test("a request that takes its worker with it is given up in the end; those beside it are answered", {
	skip,
}, async () => {
	const broker = await connection();
	const over = new AbortController();
	const isOver = once(over.signal, "abort");
	let numDeaths = 0;
	// Each dies as kill -9 would have it: its connection is gone, nothing is given back.
	const live = async (): Promise<void> => {
		const own = await connection();
		const deadly = async (prompt: string) => {
			await sleep(2);
			if (prompt !== "r13") return prompt;
			numDeaths++;
			await own.nc.close();
			return new Promise<string>(() => {});
		};
		const worker = startWorker(own, deadly, { credit: 8, graceMs: 0 });
		await Promise.race([own.nc.closed(), isOver]);
		worker.stop();
		await worker.ended;
		if (!over.signal.aborted) await live();
	};
	const lives = [live(), live()];
	const record = jobRecord("poison", { ackWaitMs: 500 });
	const { ended: done, output } = startJob(broker, prompts(50), { record });
	await done;
	over.abort();
	await Promise.all(lives);
	const answers = answersOf(output);
	assert.equal(answers.size, 50);
	assert.equal(answers.get("r13"), "max_deliveries");
	answers.delete("r13");
	for (const [id, text] of answers) assert.equal(text, id);
	// The copy that is made of a late one has two in company too.
	const most = record.maxDeliveries + MAX_IN_COMPANY;
	assert.ok(numDeaths >= 4 && numDeaths <= most, `${numDeaths}`);
});

test("a collector that is killed and started again loses nothing and asks nothing twice", {
	skip,
}, async () => {
	const broker = await connection();
	const worker = startWorker(await connection(), slowly(8), { credit: 8 });
	const numLines = 600;
	const record = jobRecord("again");
	const disk = memoryFile();
	for (let run = 0; run < 4; run++) {
		const { lines } = await recover("out", bytes(disk.text), JOB);
		const options = { record, output: disk, answered: lines };
		const job = startJob(broker, prompts(numLines), options);
		const before = lines.size;
		while (lines.size < before + 40) await sleep(5);
		// What is not yet appended is lost, with whatever was in its memory.
		disk.append = async () => {
			throw interrupted;
		};
		job.stop(interrupted);
		await assert.rejects(job.ended, interrupted);
		disk.append = memoryFile().append;
	}
	const { lines } = await recover("out", bytes(disk.text), JOB);
	assert.ok(lines.size > 0 && lines.size < numLines, `${lines.size}`);
	const options = { record, output: disk, answered: lines };
	await startJob(broker, prompts(numLines), options).ended;
	assertEchoed(disk, numLines);
	assert.equal(worker.begun.length, numLines, "no request is worked on twice");
	worker.stop();
	await worker.ended;
});

test("long requests and answers go through the object store, which is emptied as they are done", {
	skip,
}, async () => {
	const small = await startServer({ config: "max_payload: 65536" });
	const broker = await connectTo(small.url);
	const worker = startWorker(await connectTo(small.url), echo);
	const long = (i: number) => `${i}`.repeat(100_000);
	const text = [1, 2, 3, 4].map((i) => requestLine(`r${i}`, long(i)));
	const { ended: done, output } = startJob(broker, text.join("\n"), {
		record: jobRecord("long"),
	});
	await done;
	const answers = answersOf(output);
	for (const i of [1, 2, 3, 4]) assert.equal(answers.get(`r${i}`), long(i));
	await assert.rejects(broker.jsm.streams.info("OBJ_nano-vllm-long-bodies"));
	worker.stop();
	await worker.ended;
});

test("two jobs share a worker alike, whichever began first", {
	skip,
}, async () => {
	const broker = await connection();
	const worker = startWorker(await connection(), slowly(5), { credit: 8 });
	const text = prompts(400);
	const first = startJob(broker, text, { record: jobRecord("first") });
	while (worker.begun.length < 50) await sleep(5);
	const other = Array.from({ length: 100 }, (_, i) => requestLine(`o${i}`));
	const record = jobRecord("second", { jobId: "ba9876543210" });
	const second = startJob(broker, other.join("\n"), {
		...{ record, holder: "there" },
	});
	await second.ended;
	const since = worker.begun.findIndex((prompt) => prompt.startsWith("o"));
	const share = worker.begun
		.slice(since, since + 100)
		.filter((prompt) => prompt.startsWith("o")).length;
	assert.ok(share >= 40 && share <= 60, `${share} of 100`);
	await first.ended;
	assertEchoed(first.output, 400);
	worker.stop();
	await worker.ended;
});

test("a worker leaves jobs alone that want another model or option, and says why", {
	skip,
}, async () => {
	const broker = await connection();
	const [other, own] = [
		startWorker(await connection(), echo, { model: "other" }),
		startWorker(await connection(), echo),
	];
	const record = jobRecord("choosy");
	await startJob(broker, prompts(20), { record }).ended;
	assert.deepEqual([other.begun.length, own.begun.length], [0, 20]);
	assert.match(
		other.log.join(),
		/job choosy: left to others, it wants model dummy, this worker serves other/,
	);
	const seeded = jobRecord("seeded", { engine: { seed: 5 } });
	const waiting = startJob(broker, prompts(20), { record: seeded });
	while (!own.log.join().includes("it wants seed 5, this worker has 0"))
		await sleep(10);
	await cancelJob(broker, "seeded");
	await assert.rejects(waiting.ended, { code: "job_cancelled" });
	assert.equal(own.begun.length, 20);
	for (const worker of [own, other]) worker.stop();
	await Promise.all([own.ended, other.ended]);
});

test("cancelled: workers stop, the collector ends with what there was, and the same job does not begin again by itself", {
	skip,
}, async () => {
	const broker = await connection();
	const aborted: string[] = [];
	const worker = startWorker(
		await connection(),
		async (prompt, signal) => {
			if (Number(prompt.slice(1)) < 20) return prompt;
			await once(signal, "abort");
			aborted.push(prompt);
			return prompt;
		},
		{ credit: 4 },
	);
	const record = jobRecord("off", { ackWaitMs: 30_000 });
	const job = startJob(broker, prompts(100), { record });
	while (worker.begun.length < 24) await sleep(5);
	const { numWorkedOn, collector } = await jobStatus(broker, "off");
	assert.deepEqual([numWorkedOn, collector], [4, "here"]);
	assert.ok((await jobNames(broker)).includes("off"));
	const { id } = worker;
	assert.ok((await listWorkers(broker.workers)).some((w) => w.id === id));
	await cancelJob(broker, "off");
	await assert.rejects(job.ended, { code: "job_cancelled" });
	while (aborted.length < 4) await sleep(5);
	const answers = answersOf(job.output);
	assert.equal(answers.size, 20);
	await assert.rejects(startJob(broker, prompts(100), { record }).ended, {
		code: "job_cancelled",
	});
	await assert.rejects(cancelJob(broker, "off"), { code: "invalid_option" });
	worker.stop();
	await worker.ended;
});

test("a worker that ends finishes what it has, or gives it back at once; one whose engine is lost gives back too", {
	skip,
}, async () => {
	const broker = await connection();
	const patient = startWorker(await connection(), slowly(300));
	const stuck = startWorker(await connection(), () => new Promise(() => {}), {
		graceMs: 0,
	});
	const broken = startWorker(await connection(), () => new Promise(() => {}));
	const record = jobRecord("ends", { ackWaitMs: 60_000 });
	const job = startJob(broker, prompts(12), { record });
	const all = [patient, stuck, broken];
	while (all.some(({ begun }) => begun.length < 4)) await sleep(5);
	for (const { stop } of [patient, stuck]) stop();
	const lost = new NanoVllmError("device_lost", "gone");
	broken.fail(lost);
	await Promise.all([patient.ended, stuck.ended]);
	await assert.rejects(broken.ended, lost);
	const rest = startWorker(await connection(), echo);
	const begin = performance.now();
	await job.ended;
	assert.ok(performance.now() - begin < 5000, "long before the ack wait");
	assertEchoed(job.output, 12);
	assert.equal(patient.begun.length, 4);
	assert.deepEqual(
		rest.begun.toSorted(),
		[...stuck.begun, ...broken.begun].toSorted(),
	);
	rest.stop();
	await rest.ended;
});

test("one collector a job; its name is free for another job when it is done", {
	skip,
}, async () => {
	const broker = await connection();
	const record = jobRecord("mine");
	const job = startJob(broker, prompts(5), { record });
	await sleep(100);
	const other = jobRecord("mine", { jobId: "ba9876543210" });
	await assert.rejects(startJob(broker, prompts(5), { record: other }).ended, {
		code: "invalid_option",
		message: /job mine is running with another input/,
	});
	const second = startJob(broker, prompts(5), { record, holder: "elsewhere" });
	const worker = startWorker(await connection(), echo);
	await job.ended;
	assertEchoed(job.output, 5);
	// It waited for the first one's lease, and found its own output empty.
	await second.ended;
	assertEchoed(second.output, 5);
	await startJob(broker, prompts(3), { record: other }).ended;
	worker.stop();
	await worker.ended;
});

test("a server that lost its store is told again what it lost", {
	skip,
}, async () => {
	const broker = await connection();
	const worker = startWorker(await connection(), slowly(20));
	const record = jobRecord("lost");
	const job = startJob(broker, prompts(200), { record });
	while (worker.begun.length < 20) await sleep(5);
	await broker.jsm.streams.purge(workStream("lost"));
	await broker.nc.reconnect();
	await job.ended;
	assertEchoed(job.output, 200);
	worker.stop();
	await worker.ended;
});
