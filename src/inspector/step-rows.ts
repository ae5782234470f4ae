/** The rows of one step in one array of integers: 600 steps of 256 rows are drawn sixty times a second, and minutes of them are kept. */
import type { StepRowEvent } from "../engine/events.ts";

/** arrival, first position, tokens · 4 + decode · 2 + samples */
const STRIDE = 3;

export class StepRows {
	readonly #data: Int32Array;

	private constructor(data: Int32Array) {
		this.#data = data;
	}

	static of(rows: readonly StepRowEvent[]): StepRows {
		const data = new Int32Array(STRIDE * rows.length);
		rows.forEach(({ arrival, phase, start, numTokens, samples }, i) => {
			const flags = 2 * Number(phase === "decode") + Number(samples);
			data.set([arrival, start, 4 * numTokens + flags], STRIDE * i);
		});
		return new StepRows(data);
	}

	get length(): number {
		return this.#data.length / STRIDE;
	}

	get numBytes(): number {
		return this.#data.byteLength;
	}

	arrival(row: number): number {
		return this.#data[STRIDE * row];
	}

	/** Position of its first token. */
	start(row: number): number {
		return this.#data[STRIDE * row + 1];
	}

	numTokens(row: number): number {
		return this.#data[STRIDE * row + 2] >> 2;
	}

	/** Else it is a chunk of a prompt, or of what a preempted sequence computes again. */
	isDecode(row: number): boolean {
		return (this.#data[STRIDE * row + 2] & 2) !== 0;
	}

	/** Whether the step samples its next token. */
	samples(row: number): boolean {
		return (this.#data[STRIDE * row + 2] & 1) !== 0;
	}

	toEvents(): StepRowEvent[] {
		return Array.from({ length: this.length }, (_, row) => ({
			arrival: this.arrival(row),
			phase: this.isDecode(row) ? "decode" : "prefill",
			start: this.start(row),
			numTokens: this.numTokens(row),
			samples: this.samples(row),
		}));
	}
}
