/**
 * Gives every running sequence a lane of the picture of steps, and keeps it there until it ends or is preempted: a lane that falls
 * free goes to the next one admitted, as its place in the batch does. Knows steps, no canvas.
 */
import type { InspectedStep } from "../../../src/inspector/state.ts";

export interface StepColumn {
	/** Where the step stands in the history. */
	readonly index: number;
	readonly step: InspectedStep;
	/** Lane of each row of the step. */
	readonly lanes: Uint16Array;
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

	/** @param running arrivals, once the step was scheduled */
	place(
		step: InspectedStep,
		running: readonly number[],
		index: number,
	): StepColumn {
		const preemptedLanes = step.preempted
			.map((arrival) => this.#laneOf.get(arrival))
			.filter((lane) => lane !== undefined);
		const stay = new Set(running);
		for (const arrival of this.#laneOf.keys())
			if (!stay.has(arrival)) this.#leave(arrival);
		const lanes = new Uint16Array(step.rows.length);
		for (let row = 0; row < lanes.length; row++)
			lanes[row] = this.#take(step.rows.arrival(row));
		return {
			index,
			step,
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
