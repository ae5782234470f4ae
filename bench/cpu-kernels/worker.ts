/** A thread of bench/kernels.ts: walks a plan, or runs a ceiling loop, as often as told. Thread 0 says how long it took. */
import { parentPort } from "node:worker_threads";
import { instantiate, type Kernels } from "../../src/backends/cpu/kernels.ts";
import type { Plan } from "../../src/backends/cpu/plan.ts";
import { createWalker } from "../../src/backends/cpu/walk.ts";

/** Kernels that only benchmarks call: see assembly/ceiling.ts. */
interface CeilingKernels {
	read_ceiling(at: number, bytes: number): number;
	dot_ceiling(kind: number, isWide: number, at: number, rounds: number): void;
}

/** The worker's first message. */
export interface ThreadStart {
	readonly module: WebAssembly.Module;
	readonly memory: WebAssembly.Memory;
	readonly wide: boolean;
	readonly thread: number;
	readonly numThreads: number;
	/** Where the threads meet before the clock starts: a barrier's two words. */
	readonly meeting: number;
}

export type Job =
	/** Steps of one plan, the header of each at `header`. */
	| {
			readonly kind: "walk";
			readonly plan: Plan;
			readonly header: number;
			readonly count: number;
	  }
	/** Every thread reads its share of the bytes. */
	| {
			readonly kind: "read";
			readonly at: number;
			readonly bytes: number;
			readonly count: number;
	  }
	/** Every thread has a place of its own, `stride` bytes after the one before. */
	| {
			readonly kind: "dot";
			readonly instruction: number;
			readonly wide: boolean;
			readonly at: number;
			readonly stride: number;
			readonly count: number;
	  };

/** A thread has finished; ms is thread 0's, from the meeting before to the one after. */
export interface JobDone {
	readonly ms: number;
}

const port = parentPort;
if (port === null) throw new Error("worker.ts runs as a worker thread");
port.once("message", (start: ThreadStart) => {
	const { module, memory, numThreads, meeting } = start;
	const kernels = instantiate(module, memory) as Kernels & CeilingKernels;
	kernels.set_wide(start.wide ? 1 : 0);
	const meet = () => kernels.barrier(meeting, numThreads);
	port.on("message", (job: Job) => {
		const work = workOf(job, kernels, start);
		meet();
		const begin = performance.now();
		work();
		meet();
		const done: JobDone = { ms: performance.now() - begin };
		port.postMessage(done);
	});
});

function workOf(
	job: Job,
	kernels: Kernels & CeilingKernels,
	{ memory, thread, numThreads }: ThreadStart,
): () => void {
	switch (job.kind) {
		case "walk": {
			const walker = createWalker(job.plan, kernels, memory, thread);
			return () => {
				for (let i = 0; i < job.count; i++) walker.run(job.header);
			};
		}
		case "read": {
			const share = Math.floor(job.bytes / numThreads / 128) * 128;
			return () => {
				for (let i = 0; i < job.count; i++)
					kernels.read_ceiling(job.at + thread * share, share);
			};
		}
		case "dot": {
			const at = job.at + thread * job.stride;
			return () =>
				kernels.dot_ceiling(job.instruction, job.wide ? 1 : 0, at, job.count);
		}
		default:
			return job satisfies never;
	}
}
