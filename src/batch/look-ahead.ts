/**
 * Requests read and not yet started, and which of them comes next: the one whose prompt begins most like the last one's, so that it finds
 * those blocks in the prefix cache; else the oldest. None is passed over more than a fixed number of times.
 */
import type { BatchRequest } from "./request-line.ts";

/** Characters below which a shared beginning spares no block. */
const MIN_SHARED = 64;

export interface LookAheadLimits {
	readonly maxRequests: number;
	readonly maxBytes: number;
	/** Requests that may go before an older one. */
	readonly maxPassed: number;
}

interface Entry {
	readonly request: BatchRequest;
	/** Requests taken before it came. */
	readonly since: number;
	isTaken: boolean;
}

export class LookAhead {
	readonly #limits: LookAheadLimits;
	/** By key, so that likely neighbours lie side by side. At most maxRequests, so moving them costs little. */
	readonly #sorted: Entry[] = [];
	/** By arrival; taken ones leave when they come to the front. */
	#queue: Entry[] = [];
	#front = 0;
	#numBytes = 0;
	#numTaken = 0;
	#lastKey = "";

	constructor(limits: LookAheadLimits) {
		this.#limits = limits;
	}

	get size(): number {
		return this.#sorted.length;
	}

	get isFull(): boolean {
		const { maxRequests, maxBytes } = this.#limits;
		return this.size >= maxRequests || this.#numBytes >= maxBytes;
	}

	add(request: BatchRequest): void {
		const entry = { request, since: this.#numTaken, isTaken: false };
		this.#sorted.splice(this.#place(request.key), 0, entry);
		this.#queue.push(entry);
		this.#numBytes += request.numBytes;
	}

	/** undefined where there is none. */
	take(): BatchRequest | undefined {
		const oldest = this.#oldest();
		if (oldest === undefined) return undefined;
		const isDue = this.#numTaken - oldest.since >= this.#limits.maxPassed;
		const entry = isDue ? oldest : (this.#neighbour() ?? oldest);
		this.#sorted.splice(this.#indexOf(entry), 1);
		entry.isTaken = true;
		this.#numTaken++;
		this.#numBytes -= entry.request.numBytes;
		this.#lastKey = entry.request.key;
		return entry.request;
	}

	#oldest(): Entry | undefined {
		while (this.#queue[this.#front]?.isTaken) this.#front++;
		if (this.#front > this.#limits.maxRequests) {
			this.#queue = this.#queue.slice(this.#front);
			this.#front = 0;
		}
		return this.#queue[this.#front];
	}

	/** What shares the most with the last key stands beside its place. */
	#neighbour(): Entry | undefined {
		const at = this.#place(this.#lastKey);
		const [before, after] = [this.#sorted[at - 1], this.#sorted[at]];
		const shared = (entry: Entry | undefined) =>
			entry === undefined ? 0 : sharedLength(entry.request.key, this.#lastKey);
		const [a, b] = [shared(before), shared(after)];
		if (Math.max(a, b) < MIN_SHARED) return undefined;
		return b >= a ? after : before;
	}

	/** Where a key belongs: behind all smaller ones. */
	#place(key: string): number {
		let low = 0;
		let high = this.#sorted.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.#sorted[middle].request.key < key) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	#indexOf(entry: Entry): number {
		let at = this.#place(entry.request.key);
		while (this.#sorted[at] !== entry) at++;
		return at;
	}
}

function sharedLength(a: string, b: string): number {
	const length = Math.min(a.length, b.length);
	let i = 0;
	while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
	return i;
}
