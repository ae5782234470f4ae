/** How long answers took of late. */

/** Of the last answers. */
const MAX_DURATIONS = 256;

export class Durations {
	readonly #last: number[] = [];
	#at = 0;

	add(seconds: number): void {
		this.#last[this.#at] = seconds;
		this.#at = (this.#at + 1) % MAX_DURATIONS;
	}

	/** 0 where none is known. */
	get median(): number {
		const sorted = this.#last.toSorted((a, b) => a - b);
		return sorted[sorted.length >> 1] ?? 0;
	}
}
