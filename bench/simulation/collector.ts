/**
 * The one who wants the answers: lets out as many requests as workers may soon ask for, and says which are late. Knows no broker and
 * no clock.
 */
import type { JobRequest } from "./delivery.ts";
import { Durations } from "./durations.ts";

/** Requests that are out at once: at least, and of what all workers would hold. */
const MIN_WINDOW = 1024;
const WINDOW_OF_CREDIT = 2;
/** None is late before. */
const MIN_LATE_SECONDS = 1;

export class Collector {
	readonly #requests: readonly JobRequest[];
	readonly #window: number;
	readonly #durations = new Durations();
	#numOut = 0;
	#numAnswered = 0;
	/** Requests before this one are answered. */
	#firstOpen = 0;

	/** @param credit of all workers together */
	constructor(requests: readonly JobRequest[], credit: number) {
		this.#requests = requests;
		this.#window = Math.max(MIN_WINDOW, WINDOW_OF_CREDIT * credit);
	}

	/** @returns what is let out now */
	letOut(now: number): readonly JobRequest[] {
		const start = this.#numOut;
		const end = this.#numAnswered + this.#window;
		this.#numOut = Math.max(start, Math.min(this.#requests.length, end));
		const out = this.#requests.slice(start, this.#numOut);
		for (const request of out) request.publishedAt = now;
		return out;
	}

	/** @param seconds the worker took */
	onAnswer(seconds: number): void {
		this.#numAnswered++;
		this.#durations.add(seconds);
	}

	/** @returns requests to hedge, at most `most`, the oldest first: those out for longer than `factor` medians of the last answers */
	late(now: number, factor: number, most: number): readonly JobRequest[] {
		const limit = Math.max(MIN_LATE_SECONDS, factor * this.#durations.median);
		while (this.#requests[this.#firstOpen]?.isAnswered) this.#firstOpen++;
		const late: JobRequest[] = [];
		for (let i = this.#firstOpen; i < this.#numOut; i++) {
			const request = this.#requests[i];
			if (late.length === most || request.publishedAt > now - limit) break;
			if (!request.isAnswered && !request.isHedged) late.push(request);
		}
		return late;
	}
}
