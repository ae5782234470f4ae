/**
 * Gives every running sequence a lane of the picture of steps, and keeps it there until it ends or is preempted: a lane that falls
 * free goes to the next one admitted, as its place in the batch does. Knows events, no canvas.
 */
import type { StepEvent } from "../../../src/engine/events.ts";

export interface StepColumn {
	/** Where the step stands in the history. */
	readonly index: number;
	readonly event: StepEvent;
	/** Lane of each row of the step. */
	readonly lanes: readonly number[];
	/** Lanes of those that lost their blocks in it. */
	readonly preemptedLanes: readonly number[];
	/** Lanes in use. */
	readonly numLanes: number;
}

export class Lanes {
	readonly #laneOf = new Map<number, number>();
	/** By lane; undefined: free. */
	readonly #arrivals: (number | undefined)[] = [];

	/** Gives up all lanes, then takes these in order. */
	reset(running: readonly number[]): void {
		this.#laneOf.clear();
		this.#arrivals.length = 0;
		for (const arrival of running) this.#take(arrival);
	}

	place(event: StepEvent, index: number): StepColumn {
		const preemptedLanes = event.preempted
			.map((arrival) => this.#laneOf.get(arrival))
			.filter((lane) => lane !== undefined);
		const running = new Set(event.running);
		for (const arrival of this.#laneOf.keys())
			if (!running.has(arrival)) this.#leave(arrival);
		const lanes = event.rows.map(({ arrival }) => this.#take(arrival));
		return {
			index,
			event,
			lanes,
			preemptedLanes,
			numLanes: this.#arrivals.length,
		};
	}

	#take(arrival: number): number {
		const known = this.#laneOf.get(arrival);
		if (known !== undefined) return known;
		const free = this.#arrivals.indexOf(undefined);
		const lane = free < 0 ? this.#arrivals.length : free;
		this.#arrivals[lane] = arrival;
		this.#laneOf.set(arrival, lane);
		return lane;
	}

	#leave(arrival: number): void {
		const lane = this.#laneOf.get(arrival);
		if (lane !== undefined) this.#arrivals[lane] = undefined;
		this.#laneOf.delete(arrival);
		while (
			this.#arrivals.length > 0 &&
			this.#arrivals[this.#arrivals.length - 1] === undefined
		)
			this.#arrivals.pop();
	}
}
