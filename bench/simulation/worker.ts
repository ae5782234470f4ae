/**
 * One worker's engine: continuous batching with chunked prefill, as src/engine/scheduler.ts does it, with times in place of a device.
 * Knows no broker and no clock: it is told when a step begins and ends. Blocks never run out (docs/scale.md says when that holds).
 */
import type { Delivery } from "./delivery.ts";
import { Fifo } from "./fifo.ts";
import type { StepSeconds } from "./step-time.ts";

export interface WorkerLimits {
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	/** How many times slower than the profile. */
	readonly slowness: number;
	readonly stepSeconds: StepSeconds;
}

export class Worker {
	readonly #limits: WorkerLimits;
	readonly #waiting = new Fifo<Delivery>();
	/** Admitted, in order; the last ones of a step may be partly computed. */
	#prefilling: Delivery[] = [];
	/** Deliveries by the step that samples their last token. */
	readonly #ends = new Map<number, Delivery[]>();
	readonly #held = new Set<Delivery>();
	#numDecodes = 0;
	#contextTokens = 0;
	#step = 0;
	#chunks: { delivery: Delivery; numTokens: number }[] = [];

	constructor(limits: WorkerLimits) {
		this.#limits = limits;
	}

	get held(): ReadonlySet<Delivery> {
		return this.#held;
	}

	receive(delivery: Delivery): void {
		delivery.status = { kind: "waiting" };
		this.#held.add(delivery);
		this.#waiting.add(delivery);
	}

	/** @returns seconds the next step takes; null where there is nothing to compute */
	beginStep(): number | null {
		const { maxNumBatchedTokens, slowness, stepSeconds } = this.#limits;
		const budget = maxNumBatchedTokens - this.#numDecodes;
		const numPrefill = this.#schedulePrefills(budget);
		if (this.#numDecodes + numPrefill === 0) return null;
		const context = this.#contextTokens;
		return slowness * stepSeconds(this.#numDecodes, context, numPrefill);
	}

	#schedulePrefills(budget: number): number {
		let left = budget;
		this.#chunks = [];
		this.#prefilling = this.#prefilling.filter(isPrefill);
		for (const delivery of this.#prefilling)
			left -= this.#scheduleChunk(delivery, left);
		while (left > 0) {
			const delivery = this.#admit();
			if (delivery === null) break;
			left -= this.#scheduleChunk(delivery, left);
		}
		return budget - left;
	}

	#scheduleChunk(delivery: Delivery, budget: number): number {
		if (delivery.status.kind !== "prefill") return 0;
		const missing = delivery.request.promptLen - delivery.status.numComputed;
		const numTokens = Math.min(missing, budget);
		if (numTokens > 0) this.#chunks.push({ delivery, numTokens });
		return numTokens;
	}

	#admit(): Delivery | null {
		for (;;) {
			const numRunning = this.#numDecodes + this.#prefilling.length;
			if (numRunning >= this.#limits.maxNumSeqs) return null;
			const delivery = this.#waiting.take();
			if (delivery === undefined) return null;
			if (delivery.status.kind !== "waiting") continue;
			delivery.status = { kind: "prefill", numComputed: 0 };
			this.#prefilling.push(delivery);
			return delivery;
		}
	}

	/** @returns what sampled its last token */
	endStep(): Delivery[] {
		this.#step++;
		this.#contextTokens += this.#numDecodes;
		const ended = this.#ends.get(this.#step) ?? [];
		this.#ends.delete(this.#step);
		for (const { delivery, numTokens } of this.#chunks)
			if (this.#computed(delivery, numTokens)) ended.push(delivery);
		const done = ended.filter(({ status }) => status.kind !== "ended");
		for (const delivery of done) this.drop(delivery);
		return done;
	}

	/** @returns whether that was all there is to compute: prompts of a single output token */
	#computed(delivery: Delivery, numTokens: number): boolean {
		const { status, request } = delivery;
		if (status.kind !== "prefill") return false;
		status.numComputed += numTokens;
		if (status.numComputed < request.promptLen) return false;
		delivery.status = { kind: "decode", since: this.#step };
		this.#numDecodes++;
		this.#contextTokens += request.promptLen + 1;
		if (request.outputLen === 1) return true;
		const end = this.#step + request.outputLen - 1;
		const others = this.#ends.get(end);
		if (others === undefined) this.#ends.set(end, [delivery]);
		else others.push(delivery);
		return false;
	}

	/** Ends a delivery in whatever state it is; its status keeps the tokens that were computed for it. */
	drop(delivery: Delivery): void {
		const { status, request } = delivery;
		if (status.kind === "ended") return;
		let numComputed = 0;
		if (status.kind === "prefill") numComputed = status.numComputed;
		if (status.kind === "decode") {
			numComputed = request.promptLen + 1 + this.#step - status.since;
			this.#numDecodes--;
			this.#contextTokens -= numComputed;
		}
		delivery.status = { kind: "ended", numComputed };
		this.#held.delete(delivery);
	}

	/** Loses everything. @returns what it held */
	die(): Delivery[] {
		const lost = [...this.#held];
		for (const delivery of lost) this.drop(delivery);
		this.#waiting.clear();
		this.#prefilling = [];
		this.#ends.clear();
		this.#chunks = [];
		return lost;
	}
}

function isPrefill({ status }: Delivery): boolean {
	return status.kind === "prefill";
}
