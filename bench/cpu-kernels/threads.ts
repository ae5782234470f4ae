/** The compute threads of bench/kernels.ts, as the main thread sees them: hand out a job, and be told how long it took. */
import { Worker } from "node:worker_threads";
import { CONTROL_BYTES } from "../../src/backends/cpu/plan.ts";
import type { Job, JobDone, ThreadStart } from "./worker.ts";

export interface Threads {
	/** @returns milliseconds */
	run(job: Job): Promise<number>;
	close(): Promise<void>;
}

export function startThreads(start: Omit<ThreadStart, "thread">): Threads {
	const url = new URL("./worker.ts", import.meta.url);
	const workers = Array.from({ length: start.numThreads }, (_, thread) => {
		const worker = new Worker(url);
		const message: ThreadStart = { ...start, thread };
		worker.postMessage(message);
		return worker;
	});
	return {
		async run(job) {
			// A plan's counters start at zero.
			if (job.kind === "walk")
				new Uint8Array(
					start.memory.buffer,
					job.plan.control,
					CONTROL_BYTES,
				).fill(0);
			const [{ ms }] = await Promise.all(workers.map((w) => ask(w, job)));
			return ms;
		},
		async close() {
			await Promise.all(workers.map((worker) => worker.terminate()));
		},
	};
}

function ask(worker: Worker, job: Job): Promise<JobDone> {
	return new Promise((resolve, reject) => {
		worker.once("error", reject);
		worker.once("message", (done: JobDone) => {
			worker.off("error", reject);
			resolve(done);
		});
		worker.postMessage(job);
	});
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
