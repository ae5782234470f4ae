/** The barrier kernel under real threads: nobody leaves a phase before all have come, nobody is left behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { loadKernels } from "../../../src/backends/cpu/kernels.ts";

interface Start {
	readonly module: WebAssembly.Module;
	readonly memory: WebAssembly.Memory;
	readonly thread: number;
	readonly count: number;
	readonly phases: number;
}

const ARRIVALS = 1024;
const BARRIER = 65536;

/** Each thread counts its arrivals; behind the barrier everybody's count is its own, or one more where they are ahead. */
const source = `
const { parentPort, workerData } = require("node:worker_threads");
const { module, memory, thread, count, phases } = workerData;
const abort = () => { throw new Error("aborted"); };
const { barrier } = new WebAssembly.Instance(module, { env: { memory, abort } }).exports;
const arrivals = new Int32Array(memory.buffer, ${BARRIER} + ${ARRIVALS}, 16 * count);
let wrong = null;
let state = thread + 1;
for (let phase = 1; phase <= phases && wrong === null; phase++) {
	state = (Math.imul(state, 1103515245) + 12345) | 0;
	for (let spin = (state >>> 16) & 255; spin > 0; spin--) Atomics.load(arrivals, 0);
	Atomics.store(arrivals, 16 * thread, phase);
	barrier(${BARRIER}, count);
	for (let other = 0; other < count; other++) {
		const seen = Atomics.load(arrivals, 16 * other);
		if (seen !== phase && seen !== phase + 1) wrong = "thread " + thread + " in phase " + phase + " saw thread " + other + " in " + seen;
	}
}
parentPort.postMessage(wrong ?? "done");
`;

for (const [build, count, phases] of [
	["relaxed", 2, 4000],
	["base", 3, 1500],
	["base", 4, 1500],
] as const)
	test(`${count} threads meet ${phases} times (${build})`, {
		timeout: 60_000,
	}, async () => {
		const { module } = await loadKernels(true, {
			relaxed: build === "relaxed",
		});
		const memory = new WebAssembly.Memory({
			initial: 2,
			maximum: 65536,
			shared: true,
		});
		const workers = Array.from({ length: count }, (_, thread) => {
			const workerData: Start = { module, memory, thread, count, phases };
			return new Worker(source, { eval: true, workerData });
		});
		try {
			const ends = workers.map(
				(worker) =>
					new Promise<string>((resolve, reject) => {
						worker.on("message", resolve);
						worker.on("error", reject);
					}),
			);
			for (const end of ends)
				assert.equal(await Promise.race([end, ...ends]), "done");
			assert.deepEqual(await Promise.all(ends), new Array(count).fill("done"));
		} finally {
			// Who waits for a thread that gave up would wait for ever.
			await Promise.all(workers.map((worker) => worker.terminate()));
		}
	});

test("a barrier for one is none", async () => {
	const { module } = await loadKernels(false);
	const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536 });
	const abort = () => assert.fail("aborted");
	const { exports } = new WebAssembly.Instance(module, {
		env: { memory, abort },
	});
	const { barrier } = exports as { barrier(at: number, count: number): void };
	barrier(BARRIER, 1);
	barrier(BARRIER, 1);
});
