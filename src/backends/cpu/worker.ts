/** A compute thread: walks the plan whenever a step is submitted, and tells its owner when it has failed or the step is done. */
import { workerPort } from "../../platform/worker-port.ts";
import { instantiate } from "./kernels.ts";
import { NUM_STEPS, type Plan } from "./plan.ts";
import { CONTROL } from "./thread.ts";
import { createWalker } from "./walk.ts";

/** The worker's first message. */
export interface WorkerStart {
	readonly plan: Plan;
	readonly module: WebAssembly.Module;
	readonly memory: WebAssembly.Memory;
	/** Which tile width is faster here. */
	readonly wide: boolean;
	readonly thread: number;
	/** Headers of the last steps submitted, by step modulo NUM_STEPS. */
	readonly slots: number;
}

/** What a worker says: it stands ready, thread 0 has finished a step, or it is lost. */
export type WorkerNews =
	| { readonly kind: "ready" }
	| { readonly kind: "done"; readonly step: number }
	| { readonly kind: "failed"; readonly message: string };

const port = workerPort();
port.onMessage((message) => {
	const news = (it: WorkerNews) => port.postMessage(it);
	try {
		work(message as WorkerStart, news);
	} catch (error) {
		news({ kind: "failed", message: String(error) });
	}
});

/** Never returns: the thread sleeps on the count of submitted steps between two of them. */
function work(start: WorkerStart, news: (it: WorkerNews) => void): void {
	const { plan, module, memory, thread } = start;
	const kernels = instantiate(module, memory);
	kernels.set_wide(start.wide ? 1 : 0);
	const walker = createWalker(plan, kernels, memory, thread);
	const control = new Int32Array(memory.buffer, plan.control, 64);
	news({ kind: "ready" });
	for (let step = 0; ; step++) {
		while (Atomics.load(control, CONTROL.submitted) <= step)
			Atomics.wait(control, CONTROL.submitted, step);
		const slots = new Uint32Array(memory.buffer, start.slots, NUM_STEPS);
		walker.run(slots[step % NUM_STEPS]);
		if (thread === 0) news({ kind: "done", step });
	}
}
