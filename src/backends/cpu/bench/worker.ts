/** A thread of the kernel bench: walks a plan, or runs a ceiling loop, as often as told. Knows no cases and no figures. */
import { workerPort } from "../../../platform/worker-port.ts";
import { instantiate, type Kernels } from "../kernels.ts";
import type { Plan } from "../plan.ts";
import { createWalker } from "../walk.ts";

/** Kernels that only benchmarks call: see assembly/ceiling.ts. */
interface CeilingKernels {
	read_ceiling(at: number, bytes: number): number;
	dot_ceiling(kind: number, isWide: number, at: number, rounds: number): void;
}

/** The worker's first message; every other one is a job. */
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

/** A thread has finished. */
export interface JobDone {
	readonly thread: number;
	/** From the meeting before to the one after. */
	readonly ms: number;
}

serve();

function serve(): void {
	const port = workerPort();
	let run: ((job: Job) => JobDone) | null = null;
	port.onMessage((message) => {
		if (run === null) run = startThread(message as ThreadStart);
		else port.postMessage(run(message as Job));
	});
}

function startThread(start: ThreadStart): (job: Job) => JobDone {
	const { module, memory, thread, numThreads, meeting } = start;
	const kernels = instantiate(module, memory) as Kernels & CeilingKernels;
	kernels.set_wide(start.wide ? 1 : 0);
	const meet = () => kernels.barrier(meeting, numThreads);
	return (job) => {
		const work = workOf(job, kernels, start);
		meet();
		const begin = performance.now();
		work();
		meet();
		return { thread, ms: performance.now() - begin };
	};
}

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
