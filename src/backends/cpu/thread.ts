/** One thread among those that walk a plan: takes shares of work from common counters and meets the others. Knows no ops. */
import type { Kernels } from "./kernels.ts";
import type { Plan } from "./plan.ts";

/** Control words (i32): steps submitted, the barrier (2), and the counters shares are taken from. */
export const CONTROL = { submitted: 0, barrier: 16, counters: 32 } as const;
const NUM_COUNTERS = 4;

export interface Thread {
	readonly plan: Plan;
	readonly kernels: Kernels;
	/** 0 is the one that does what only one may. */
	readonly index: number;
	readonly scratch: number;
	readonly samplerScratch: number;
	/** The memory. Addresses are unsigned: it may be larger than 2 GiB. */
	readonly words: Uint32Array;
	readonly ints: Int32Array;
	/** Waits for all threads. */
	meet(): void;
	/** Calls `work` on pieces of [0, total), a piece at a time, until the threads together have done all; then meets them. */
	share(
		total: number,
		piece: number,
		work: (start: number, end: number) => void,
	): void;
	/** Pieces small enough that threads end together, large enough that taking one costs nothing. */
	pieceOf(total: number, least: number): number;
}

export function createThread(
	plan: Plan,
	kernels: Kernels,
	memory: WebAssembly.Memory,
	index: number,
): Thread {
	const { numThreads } = plan;
	const control = new Int32Array(memory.buffer, plan.control, 64);
	const barrier = plan.control + CONTROL.barrier * 4;
	let words = new Uint32Array(memory.buffer);
	let ints = new Int32Array(memory.buffer);
	let phase = 0;

	const meet = () => {
		kernels.barrier(barrier, numThreads);
		// The counter after the next was last used two meetings ago, by nobody any more.
		if (index === 0)
			Atomics.store(
				control,
				CONTROL.counters + ((phase + 2) % NUM_COUNTERS),
				0,
			);
		phase++;
	};
	const renew = () => {
		if (words.buffer === memory.buffer) return;
		words = new Uint32Array(memory.buffer);
		ints = new Int32Array(memory.buffer);
	};

	return {
		plan,
		kernels,
		index,
		scratch: plan.threadScratch + index * plan.threadScratchBytes,
		samplerScratch: plan.samplerScratch + index * plan.samplerScratchBytes,
		get words() {
			renew();
			return words;
		},
		get ints() {
			renew();
			return ints;
		},
		meet,
		share(total, piece, work) {
			const counter = CONTROL.counters + (phase % NUM_COUNTERS);
			if (numThreads === 1) {
				if (total > 0) work(0, total);
			} else
				for (;;) {
					const start = Atomics.add(control, counter, piece);
					if (start >= total) break;
					work(start, Math.min(total, start + piece));
				}
			meet();
		},
		pieceOf: (total, least) =>
			Math.max(least, Math.ceil(total / (numThreads * 4))),
	};
}
