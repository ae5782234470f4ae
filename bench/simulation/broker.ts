/**
 * The broker of a work queue: who asked for how much, what nobody has yet, what comes again. Knows no time.
 * Workers that ask are served in turn, one request each, so that a short job is spread over all of them. What comes again goes first.
 */
import type { JobRequest } from "./delivery.ts";
import { Fifo } from "./fifo.ts";

export class Broker {
	readonly #fresh = new Fifo<JobRequest>();
	readonly #again = new Fifo<JobRequest>();
	readonly #asking = new Fifo<number>();
	readonly #numWanted: number[];
	readonly #isListed: boolean[];

	constructor(numWorkers: number) {
		this.#numWanted = new Array(numWorkers).fill(0);
		this.#isListed = new Array(numWorkers).fill(false);
	}

	/** Nothing is left that could be handed out. */
	get isDry(): boolean {
		return this.#fresh.length === 0 && this.#again.length === 0;
	}

	add(request: JobRequest): void {
		this.#fresh.add(request);
	}

	ask(worker: number, count: number): void {
		if (count <= 0) return;
		if (!this.#isListed[worker]) this.#asking.add(worker);
		this.#isListed[worker] = true;
		this.#numWanted[worker] += count;
	}

	/** A worker that died asks for nothing. */
	forget(worker: number): void {
		this.#numWanted[worker] = 0;
	}

	putBack(request: JobRequest): void {
		this.#again.add(request);
	}

	/** The next request and who gets it; null where there is none, or nobody who may have it. */
	match(): { request: JobRequest; worker: number } | null {
		for (const queue of [this.#again, this.#fresh]) {
			// What was answered meanwhile is passed over.
			while (queue.peek()?.isAnswered) queue.take();
			const request = queue.peek();
			if (request === undefined) continue;
			const worker = this.#nextWorker(request);
			if (worker === null) continue;
			queue.take();
			return { request, worker };
		}
		return null;
	}

	/** A second copy goes to somebody else than the first. */
	#nextWorker(request: JobRequest): number | null {
		for (let turns = this.#asking.length; turns > 0; turns--) {
			const worker = this.#asking.take() as number;
			const wants = this.#numWanted[worker] > 0;
			const isFit = request.numLive === 0 || request.holder !== worker;
			if (wants && isFit) this.#numWanted[worker]--;
			this.#isListed[worker] = this.#numWanted[worker] > 0;
			if (this.#isListed[worker]) this.#asking.add(worker);
			if (wants && isFit) return worker;
		}
		return null;
	}
}
