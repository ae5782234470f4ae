/** A binary heap: push and pop in O(log n), so that a long queue costs a step nothing. */
export class PriorityQueue<T> implements Iterable<T> {
	readonly #items: T[] = [];
	readonly #compare: (a: T, b: T) => number;

	/** `compare` < 0: a comes before b. */
	constructor(compare: (a: T, b: T) => number) {
		this.#compare = compare;
	}

	get size(): number {
		return this.#items.length;
	}

	peek(): T | undefined {
		return this.#items[0];
	}

	push(item: T): void {
		const items = this.#items;
		let at = items.length;
		items.push(item);
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if (this.#compare(items[parent], item) <= 0) break;
			items[at] = items[parent];
			at = parent;
		}
		items[at] = item;
	}

	pop(): T | undefined {
		const items = this.#items;
		const first = items[0];
		const last = items.pop();
		if (last === undefined || items.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= items.length) break;
			if (
				child + 1 < items.length &&
				this.#compare(items[child + 1], items[child]) < 0
			)
				child++;
			if (this.#compare(items[child], last) >= 0) break;
			items[at] = items[child];
			at = child;
		}
		items[at] = last;
		return first;
	}

	/** In no particular order. */
	[Symbol.iterator](): Iterator<T> {
		return this.#items.values();
	}
}
