/**
 * Sequences that wait to run, in order. One whose adapter has no room among those that run is set aside, and others that can run may pass
 * it; but only those that were there already, so that nobody waits for ever.
 */
import type { Adapter, AdapterSlots } from "./adapters.ts";
import { PriorityQueue } from "./priority-queue.ts";
import type { Sequence } from "./sequence.ts";

type Queue = PriorityQueue<Sequence>;

/** First by priority, then by arrival. */
export const inOrder = (a: Sequence, b: Sequence): number =>
	a.priority - b.priority || a.arrival - b.arrival;

export class WaitingQueue implements Iterable<Sequence> {
	readonly #slots: AdapterSlots;
	readonly #queue: Queue = new PriorityQueue(inOrder);
	/** Those set aside, by adapter; no queue is empty. */
	readonly #aside = new Map<Adapter, Queue>();
	/** Of each of them: the last arrival that may pass it. */
	readonly #lastToPass = new WeakMap<Sequence, number>();
	#lastArrival = 0;

	constructor(slots: AdapterSlots) {
		this.#slots = slots;
	}

	push(seq: Sequence): void {
		this.#queue.push(seq);
		this.#lastArrival = Math.max(this.#lastArrival, seq.arrival);
	}

	/** The sequence that runs next; undefined where none waits or none may run. Those that ended while they waited are dropped here. */
	peek(): Sequence | undefined {
		return this.#next()?.peek();
	}

	/** Takes out what `peek` gives. */
	pop(): void {
		this.#next()?.pop();
	}

	/** The queue whose head runs next. */
	#next(): Queue | null {
		for (;;) {
			const { first, ready } = this.#headsAside();
			const seq = headOf(this.#queue);
			if (seq === undefined) return ready;
			const runsBefore = ready?.peek();
			if (runsBefore && inOrder(runsBefore, seq) < 0) return ready;
			if (first !== undefined && !this.#mayPass(seq, first)) return ready;
			if (this.#slots.hasRoom(seq.adapter)) return this.#queue;
			this.#queue.pop();
			this.#setAside(seq, seq.adapter as Adapter);
		}
	}

	/** The first in order of all set aside, and the queue of the first that can run by now. */
	#headsAside(): { first: Sequence | undefined; ready: Queue | null } {
		let first: Sequence | undefined;
		let ready: Queue | null = null;
		let readyHead: Sequence | undefined;
		for (const [adapter, queue] of this.#aside) {
			const head = headOf(queue);
			if (head === undefined) {
				this.#aside.delete(adapter);
				continue;
			}
			if (first === undefined || inOrder(head, first) < 0) first = head;
			if (!this.#slots.hasRoom(adapter)) continue;
			if (readyHead !== undefined && inOrder(readyHead, head) < 0) continue;
			ready = queue;
			readyHead = head;
		}
		if (first === undefined || readyHead === undefined) return { first, ready };
		return { first, ready: this.#mayPass(readyHead, first) ? ready : null };
	}

	#mayPass(seq: Sequence, first: Sequence): boolean {
		if (inOrder(seq, first) <= 0) return true;
		return seq.arrival <= (this.#lastToPass.get(first) ?? 0);
	}

	#setAside(seq: Sequence, adapter: Adapter): void {
		const queue = this.#aside.get(adapter) ?? new PriorityQueue(inOrder);
		queue.push(seq);
		this.#aside.set(adapter, queue);
		if (!this.#lastToPass.has(seq))
			this.#lastToPass.set(seq, this.#lastArrival);
	}

	/** The first in order, `most` of them: the last of those kept makes way. */
	first(most: number): Sequence[] {
		const kept: Queue = new PriorityQueue((a, b) => inOrder(b, a));
		for (const seq of this) {
			if (seq.isFinished) continue;
			kept.push(seq);
			if (kept.size > most) kept.pop();
		}
		return [...kept].sort(inOrder);
	}

	/** In no particular order; some may have ended. */
	*[Symbol.iterator](): Iterator<Sequence> {
		yield* this.#queue;
		for (const queue of this.#aside.values()) yield* queue;
	}
}

/** The first that has not ended. */
function headOf(queue: Queue): Sequence | undefined {
	for (;;) {
		const seq = queue.peek();
		if (seq === undefined || !seq.isFinished) return seq;
		queue.pop();
	}
}
