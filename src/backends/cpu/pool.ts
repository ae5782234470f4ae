/** The threads that run a plan's steps, one after another, as the main thread sees them: submit, and be told. */
import { NanoVllmError } from "../../errors.ts";
import type {
	Platform,
	WorkerHandle,
	WorkerModule,
} from "../../platform/platform.ts";
import { instantiate } from "./kernels.ts";
import { NUM_STEPS, type Plan } from "./plan.ts";
import { CONTROL } from "./thread.ts";
import { createWalker } from "./walk.ts";
import type { WorkerNews, WorkerStart } from "./worker.ts";

export interface StepRunner {
	/** True where the caller goes on while the step runs. */
	readonly overlaps: boolean;
	/** Resolves when a thread has died; absent where there is none that could. */
	readonly lost?: Promise<NanoVllmError>;
	/** Runs the step whose header stands at `header`. At most two may be under way. @throws (rejects) backend_failed */
	run(header: number): Promise<void>;
	close(): Promise<void>;
}

/** On the calling thread, where memory cannot be shared. */
export function inlineRunner(
	plan: Plan,
	module: WebAssembly.Module,
	memory: WebAssembly.Memory,
	wide: boolean,
): StepRunner {
	const kernels = instantiate(module, memory);
	kernels.set_wide(wide ? 1 : 0);
	const walker = createWalker(plan, kernels, memory, 0);
	return {
		overlaps: false,
		run: async (header) => walker.run(header),
		close: async () => {},
	};
}

interface Waiting {
	readonly resolve: () => void;
	readonly reject: (error: Error) => void;
}

/** As source, as a build, or beside a bundle. */
function workerModule(): WorkerModule {
	const here = import.meta.url;
	const name = here.endsWith(".ts") ? "./worker.ts" : "./worker.js";
	return {
		url: new URL(name, here),
		create: () =>
			new Worker(new URL("./worker.js", import.meta.url), { type: "module" }),
	};
}

export async function workerRunner(
	platform: Platform,
	plan: Plan,
	module: WebAssembly.Module,
	memory: WebAssembly.Memory,
	wide: boolean,
	slots: number,
): Promise<StepRunner> {
	const control = new Int32Array(memory.buffer, plan.control, 64);
	const waiting = new Map<number, Waiting>();
	let numSubmitted = 0;
	let failure: NanoVllmError | null = null;
	let numReady = 0;
	const lost = Promise.withResolvers<NanoVllmError>();
	const ready = Promise.withResolvers<void>();
	ready.promise.catch(() => {}); // heard where it is awaited
	const workers: WorkerHandle[] = [];

	/** All threads at once: one that is left alone waits for the others at its next meeting, and keeps the process alive. */
	const end = async (error: NanoVllmError) => {
		failure ??= error;
		ready.reject(failure);
		for (const { reject } of waiting.values()) reject(failure);
		waiting.clear();
		await Promise.all(workers.map((worker) => worker.terminate()));
	};
	const fail = (message: string) => {
		const told = `a compute thread died: ${message}. Load the model again.`;
		const error = new NanoVllmError("backend_failed", told);
		lost.resolve(error);
		void end(error);
	};
	const setReferenced = (on: boolean) => {
		for (const worker of workers) worker.setReferenced(on);
	};
	const hear = (news: WorkerNews) => {
		switch (news.kind) {
			case "ready":
				if (++numReady === plan.numThreads) ready.resolve();
				break;
			case "done":
				waiting.get(news.step)?.resolve();
				waiting.delete(news.step);
				if (waiting.size === 0) setReferenced(false);
				break;
			case "failed":
				fail(news.message);
				break;
			default:
				news satisfies never;
		}
	};
	const threadModule = workerModule();
	const close = () =>
		end(
			new NanoVllmError(
				"engine_closed",
				"the model was closed. Load it again.",
			),
		);
	try {
		for (let thread = 0; thread < plan.numThreads; thread++) {
			const start: WorkerStart = {
				plan,
				module,
				memory,
				wide,
				thread,
				slots,
			};
			const worker = platform.spawnWorker(threadModule, start);
			worker.onMessage((message) => hear(message as WorkerNews));
			worker.onError((error) => fail(error.message));
			workers.push(worker);
		}
		await ready.promise;
	} catch (error) {
		await close();
		throw error;
	}
	setReferenced(false);

	return {
		overlaps: true,
		lost: lost.promise,
		run(header) {
			if (failure !== null) return Promise.reject(failure);
			const step = numSubmitted++;
			if (waiting.size === 0) setReferenced(true);
			const done = new Promise<void>((resolve, reject) => {
				waiting.set(step, { resolve, reject });
			});
			new Uint32Array(memory.buffer, slots, NUM_STEPS)[step % NUM_STEPS] =
				header;
			Atomics.store(control, CONTROL.submitted, numSubmitted);
			Atomics.notify(control, CONTROL.submitted);
			return done;
		},
		close,
	};
}
