/** The bench's compute threads, as the main thread sees them: hand out a job, and be told how long it took. */
import { NanoVllmError } from "../../../errors.ts";
import type { Platform, WorkerModule } from "../../../platform/platform.ts";
import { CONTROL_BYTES } from "../plan.ts";
import type { Job, JobDone, ThreadStart } from "./worker.ts";

export interface Threads {
	/** One job at a time. @returns milliseconds. @throws (rejects) backend_failed */
	run(job: Job): Promise<number>;
	close(): Promise<void>;
}

export function startThreads(
	platform: Platform,
	start: Omit<ThreadStart, "thread">,
): Threads {
	let job: PromiseWithResolvers<number> | null = null;
	let failure: NanoVllmError | null = null;
	let numDone = 0;
	let firstMs = 0;
	const hear = ({ thread, ms }: JobDone) => {
		if (thread === 0) firstMs = ms;
		if (++numDone === start.numThreads) job?.resolve(firstMs);
	};
	const fail = ({ message }: Error) => {
		const told = `a compute thread died: ${message}. Measure again.`;
		failure = new NanoVllmError("backend_failed", told);
		job?.reject(failure);
	};
	const module = workerModule();
	const workers = Array.from({ length: start.numThreads }, (_, thread) => {
		const message: ThreadStart = { ...start, thread };
		const worker = platform.spawnWorker(module, message);
		worker.onMessage((done) => hear(done as JobDone));
		worker.onError(fail);
		return worker;
	});
	return {
		async run(next) {
			if (failure !== null) throw failure;
			job = Promise.withResolvers();
			numDone = 0;
			// A plan's counters start at zero.
			if (next.kind === "walk") {
				const { control } = next.plan;
				new Uint8Array(start.memory.buffer, control, CONTROL_BYTES).fill(0);
			}
			for (const worker of workers) worker.postMessage(next);
			return job.promise;
		},
		async close() {
			await Promise.all(workers.map((worker) => worker.terminate()));
		},
	};
}

/** As source, or as a build. */
function workerModule(): WorkerModule {
	const here = import.meta.url;
	const name = here.endsWith(".ts") ? "./worker.ts" : "./worker.js";
	return {
		url: new URL(name, here),
		create: () =>
			new Worker(new URL("./worker.js", import.meta.url), { type: "module" }),
	};
}

/** The best of five times, each long enough for the clock: what is measured is the machine, not who else uses it. */
export async function bestMs(
	threads: Threads,
	jobOf: (count: number) => Job,
	sampleMs: number,
): Promise<number> {
	// The first runs bring code and data to where they belong.
	let count = 1;
	let ms = await threads.run(jobOf(count));
	for (let warmMs = ms; warmMs < sampleMs; warmMs += ms) {
		count = Math.max(count, Math.ceil((count * sampleMs) / 4 / ms));
		ms = await threads.run(jobOf(count));
	}
	count = Math.max(1, Math.ceil((count * sampleMs) / ms));
	let best = Number.POSITIVE_INFINITY;
	for (let i = 0; i < NUM_SAMPLES; i++)
		best = Math.min(best, (await threads.run(jobOf(count))) / count);
	return best;
}

const NUM_SAMPLES = 5;
