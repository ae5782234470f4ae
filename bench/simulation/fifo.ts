/** First in, first out; both ends in constant time. */
export class Fifo<T> {
	#items: T[] = [];
	#head = 0;

	get length(): number {
		return this.#items.length - this.#head;
	}

	add(item: T): void {
		this.#items.push(item);
	}

	peek(): T | undefined {
		return this.#items[this.#head];
	}

	take(): T | undefined {
		if (this.length === 0) return undefined;
		const item = this.#items[this.#head++];
		if (this.#head > 1024 && 2 * this.#head > this.#items.length) {
			this.#items = this.#items.slice(this.#head);
			this.#head = 0;
		}
		return item;
	}

	clear(): void {
		this.#items = [];
		this.#head = 0;
	}
}
