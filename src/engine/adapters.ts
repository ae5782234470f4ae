/**
 * Which adapters lie in the device's slots: integers and references, no matrices are touched here. An adapter holds its slot while
 * sequences run with it; then it stays until another needs the place, the one unused longest going first.
 */
import type { AdapterWeights } from "../backends/backend.ts";
import { assert } from "../errors.ts";

/** A loaded adapter. Loading one again, even from the same place, makes another. */
export interface Adapter {
	/** Positive, and of no other adapter an engine ever had: it tells apart what prefixes of which adapter the cache holds. */
	readonly id: number;
	readonly name: string;
	readonly weights: AdapterWeights;
}

/** What must stand in a slot before the next step runs. */
export interface SlotWrite {
	readonly slot: number;
	readonly adapter: Adapter;
}

export class AdapterSlots {
	readonly numSlots: number;
	/** Whose matrices each slot holds, or will before the next step; null: nobody's that count. */
	readonly #holders: (Adapter | null)[];
	/** Slots by adapter, the one unused longest first. */
	readonly #slots = new Map<Adapter, number>();
	/** Running sequences by adapter; those with none are not listed. */
	readonly #numRunning = new Map<Adapter, number>();
	#writes: SlotWrite[] = [];

	constructor(numSlots: number) {
		this.numSlots = numSlots;
		this.#holders = new Array(numSlots).fill(null);
	}

	/** Whether a sequence with this adapter may run beside those that do. */
	hasRoom(adapter: Adapter | null): boolean {
		if (adapter === null || this.#numRunning.has(adapter)) return true;
		return this.#numRunning.size < this.numSlots;
	}

	/** A sequence begins to run. */
	acquire(adapter: Adapter | null): void {
		if (adapter === null) return;
		assert(this.hasRoom(adapter), "a sequence runs where its adapter has room");
		const numRunning = this.#numRunning.get(adapter) ?? 0;
		this.#numRunning.set(adapter, numRunning + 1);
		if (!this.#slots.has(adapter)) this.#place(adapter);
	}

	/** A sequence runs no longer. */
	release(adapter: Adapter | null): void {
		if (adapter === null) return;
		const numRunning = this.#numRunning.get(adapter) ?? 0;
		assert(numRunning > 0, "an adapter is released as often as acquired");
		if (numRunning > 1) {
			this.#numRunning.set(adapter, numRunning - 1);
			return;
		}
		this.#numRunning.delete(adapter);
		const slot = this.slotOf(adapter);
		this.#slots.delete(adapter);
		this.#slots.set(adapter, slot);
	}

	/** Names of those that sequences run with. One unloaded and loaded again may run twice: it is named once. */
	running(): string[] {
		return [...new Set([...this.#numRunning.keys()].map(({ name }) => name))];
	}

	/** The slot of a running sequence's adapter. */
	slotOf(adapter: Adapter): number {
		const slot = this.#slots.get(adapter);
		assert(slot !== undefined, `adapter ${adapter.name} has a slot`);
		return slot;
	}

	/** An adapter that no sequence runs with gives up its slot. */
	forget(adapter: Adapter): void {
		assert(!this.#numRunning.has(adapter), "who runs is not forgotten");
		const slot = this.#slots.get(adapter);
		if (slot === undefined) return;
		this.#slots.delete(adapter);
		this.#holders[slot] = null;
		this.#writes = this.#writes.filter((write) => write.slot !== slot);
	}

	/** What changed since last asked. */
	takeWrites(): readonly SlotWrite[] {
		if (this.#writes.length === 0) return this.#writes;
		const writes = this.#writes;
		this.#writes = [];
		return writes;
	}

	#place(adapter: Adapter): void {
		let slot = this.#holders.indexOf(null);
		if (slot === -1) slot = this.#evict();
		this.#holders[slot] = adapter;
		this.#slots.set(adapter, slot);
		this.#writes = this.#writes.filter((write) => write.slot !== slot);
		this.#writes.push({ slot, adapter });
	}

	#evict(): number {
		for (const [adapter, slot] of this.#slots) {
			if (this.#numRunning.has(adapter)) continue;
			this.#slots.delete(adapter);
			return slot;
		}
		throw new Error("nano-vllm bug: no more adapters run than there are slots");
	}

	/** The laws: a slot is one adapter's and an adapter's slot is one; who runs has one; running sequences are counted. */
	checkIntegrity(
		running: Iterable<{ readonly adapter: Adapter | null }>,
	): void {
		const counts = new Map<Adapter, number>();
		for (const { adapter } of running)
			if (adapter !== null) counts.set(adapter, (counts.get(adapter) ?? 0) + 1);
		assert(counts.size <= this.numSlots, "adapters that run have slots");
		assert(
			counts.size === this.#numRunning.size,
			"only adapters of running sequences are held",
		);
		for (const [adapter, count] of counts) {
			assert(
				this.#numRunning.get(adapter) === count,
				`sequences of adapter ${adapter.name} are counted`,
			);
			assert(this.#slots.has(adapter), "an adapter that runs has a slot");
		}
		for (const [adapter, slot] of this.#slots)
			assert(this.#holders[slot] === adapter, `slot ${slot} is its adapter's`);
		const numHeld = this.#holders.filter((holder) => holder !== null).length;
		assert(numHeld === this.#slots.size, "every holder is known by its slot");
	}
}
