/** Workers and jobs in one process, over a real server: engines that answer with the prompt. */
import { randomBytes } from "node:crypto";
import { LineSet } from "../../src/batch/line-set.ts";
import type { Line } from "../../src/batch/lines.ts";
import { type BatchProgress, runBatch } from "../../src/batch/run-batch.ts";
import type { NanoVllmError } from "../../src/errors.ts";
import type { Broker } from "../../src/nats/broker.ts";
import { openCollection } from "../../src/nats/collection.ts";
import type { JobRecord } from "../../src/nats/job-record.ts";
import { PROTOCOL } from "../../src/nats/protocol.ts";
import { Worker } from "../../src/nats/worker.ts";
import { linesOf, type MemoryFile, memoryFile } from "../batch/dummy.ts";

export const jobRecord = (
	job: string,
	more: Partial<JobRecord> = {},
): JobRecord => ({
	protocol: PROTOCOL,
	job,
	jobId: "0123456789ab",
	model: "dummy",
	engine: {},
	answers: {},
	ackWaitMs: 1000,
	maxDeliveries: 4,
	numLines: 0,
	createdAt: new Date().toISOString(),
	state: "running",
	...more,
});

/** What a worker does with a prompt. */
export type Act = (prompt: string, signal: AbortSignal) => Promise<string>;

export interface DummyWorker {
	readonly id: string;
	/** Prompts as they were begun. */
	readonly begun: string[];
	/** Its engine, lost. */
	fail(error: NanoVllmError): void;
	readonly log: string[];
	stop(): void;
	readonly ended: Promise<void>;
}

export function startWorker(
	broker: Broker,
	act: Act,
	{ credit = 4, model = "dummy", graceMs = 5000 } = {},
): DummyWorker {
	const stop = new AbortController();
	const begun: string[] = [];
	const log: string[] = [];
	const id = `w${randomBytes(4).toString("hex")}`;
	const state = { failure: null as NanoVllmError | null };
	const worker = new Worker({
		broker,
		engine: {
			served: { names: [model], engine: { seed: 0 } },
			credit: () => credit,
			get failure() {
				return state.failure;
			},
			open:
				() =>
				async ({ body }, id, signal) => {
					const { prompt } = JSON.parse(body) as { prompt: string };
					begun.push(prompt);
					const text = await act(prompt, signal);
					const answer = {
						choices: [{ text }],
						usage: { prompt_tokens: 1, completion_tokens: 2 },
					};
					const response = { status_code: 200, request_id: id, body: answer };
					return { response, error: null };
				},
		},
		id,
		about: { host: "here", device: "none" },
		log: (text) => log.push(text),
		now: () => performance.now(),
	});
	return {
		id,
		begun,
		log,
		fail(error) {
			state.failure = error;
		},
		stop: () => stop.abort(),
		ended: heeded(worker.run(stop.signal, () => graceMs)),
	};
}

/** A test may look at it later. */
function heeded<T>(promise: Promise<T>): Promise<T> {
	promise.catch(() => {});
	return promise;
}

export interface DummyJob {
	readonly output: MemoryFile;
	readonly errors: MemoryFile;
	readonly ended: Promise<BatchProgress>;
	/** As kill -9 would: what is not written is lost. */
	stop(reason: Error): void;
}

export interface DummyJobOptions {
	readonly record: JobRecord;
	readonly output?: MemoryFile;
	readonly errors?: MemoryFile;
	/** Lines that are in the output. */
	readonly answered?: LineSet;
	readonly holder?: string;
	readonly lines?: AsyncIterable<Line>;
}

/** Collects a job to its end. */
export function startJob(
	broker: Broker,
	text: string,
	options: DummyJobOptions,
): DummyJob {
	const { output = memoryFile(), errors = memoryFile(), record } = options;
	const answered = options.answered ?? new LineSet();
	const stop = new AbortController();
	const { signal } = stop;
	const run = async () => {
		const collection = await openCollection({
			broker,
			wanted: record,
			holder: options.holder ?? "here",
			runId: randomBytes(4).toString("hex"),
			isWritten: (line) => answered.has(line),
			now: () => performance.now(),
			signal,
		});
		try {
			const progress = await runBatch({
				jobId: record.jobId,
				lines: options.lines ?? linesOf(text, 1e7),
				answered,
				reported: new LineSet(),
				...{ output, errors, signal },
				engine: collection.engine,
				sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms / 10)),
			});
			await collection.done();
			return progress;
		} finally {
			await collection.close();
		}
	};
	const ended = heeded(run());
	return { output, errors, ended, stop: (reason) => stop.abort(reason) };
}
