/** Events in the order of their times; of two at the same time, the one that was added first. A binary heap. */
export class EventQueue<E> {
	readonly #heap: { time: number; order: number; event: E }[] = [];
	#numAdded = 0;

	add(time: number, event: E): void {
		const heap = this.#heap;
		const entry = { time, order: this.#numAdded++, event };
		let at = heap.length;
		heap.push(entry);
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if (!isBefore(entry, heap[parent])) break;
			heap[at] = heap[parent];
			at = parent;
		}
		heap[at] = entry;
	}

	next(): { readonly time: number; readonly event: E } | undefined {
		const heap = this.#heap;
		const first = heap[0];
		const last = heap.pop();
		if (last === undefined || heap.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child]))
				child++;
			if (!isBefore(heap[child], last)) break;
			heap[at] = heap[child];
			at = child;
		}
		heap[at] = last;
		return first;
	}
}

function isBefore(
	a: { time: number; order: number },
	b: { time: number; order: number },
): boolean {
	return a.time < b.time || (a.time === b.time && a.order < b.order);
}
