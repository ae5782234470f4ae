/** Whether the step loop may go on: open, or shut and let through one step at a time as asked. Knows no engine. */
import type { NanoVllmError } from "../errors.ts";

/** Somebody who waits for a step's results. */
export type StepWaiter = PromiseWithResolvers<void>;

export class StepGate {
	#isShut = false;
	/** Steps that may still go through. */
	readonly #asked: StepWaiter[] = [];
	/** Those that went through and whose results were not read yet. */
	readonly #begun = new Set<StepWaiter>();
	/** Who wants to know when no step runs any more. */
	readonly #resting: PromiseWithResolvers<void>[] = [];

	get isShut(): boolean {
		return this.#isShut;
	}

	/** Whether the next step may be scheduled. */
	get letsThrough(): boolean {
		return !this.#isShut || this.#asked.length > 0;
	}

	shut(): void {
		this.#isShut = true;
	}

	/** Whoever waits for a step gets it as everybody does. */
	open(): void {
		this.#isShut = false;
		this.#settle(this.#resting.splice(0), null);
		this.#settle(this.#asked.splice(0), null);
	}

	/** Lets one step through. @returns when its results were read, or when there is nothing to run */
	step(): Promise<void> {
		const waiter = Promise.withResolvers<void>();
		this.#asked.push(waiter);
		return waiter.promise;
	}

	/** Resolves when no step runs, or the gate is open again. */
	rest(): Promise<void> {
		const waiter = Promise.withResolvers<void>();
		this.#resting.push(waiter);
		return waiter.promise;
	}

	/** A step goes through. @returns who asked for it */
	begin(): StepWaiter | null {
		const waiter = this.#asked.shift() ?? null;
		if (waiter !== null) this.#begun.add(waiter);
		return waiter;
	}

	/** A step's results were read. */
	accepted(waiter: StepWaiter | null): void {
		if (waiter === null) return;
		this.#begun.delete(waiter);
		waiter.resolve();
	}

	/** Nothing is in flight, and the loop waits at the gate. */
	rests(): void {
		this.#settle(this.#resting.splice(0), null);
	}

	/** The loop has ended: nothing is left to run, or nothing will be. */
	ended(error: NanoVllmError | null): void {
		this.rests();
		this.#settle([...this.#begun, ...this.#asked.splice(0)], error);
		this.#begun.clear();
	}

	#settle(
		waiters: readonly PromiseWithResolvers<void>[],
		error: NanoVllmError | null,
	): void {
		for (const { resolve, reject } of waiters)
			if (error === null) resolve();
			else reject(error);
	}
}
