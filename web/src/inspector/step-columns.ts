/** The steps of a history as columns, oldest first, found by event and by number. Forgets what history forgets. Knows steps, no canvas. */
import type { InspectedStep } from "../../../src/inspector/state.ts";
import { Lanes, type StepColumn } from "./lanes.ts";

/** Columns kept, whatever room history has: some minutes at a hundred steps a second. */
const MAX_COLUMNS = 40_000;
/** Room for lanes grows to these, so that the picture seldom has to be painted anew. */
const LANE_STEPS = [8, 16, 32, 64, 128, 256, 512, 1024];

export class StepColumns {
	readonly #lanes = new Lanes();
	readonly #columns: StepColumn[] = [];
	#maxNumLanes = 0;

	get list(): readonly StepColumn[] {
		return this.#columns;
	}

	/** Lanes that pictures make room for. */
	get numLanes(): number {
		const least = this.#maxNumLanes;
		return LANE_STEPS.find((it) => it >= least) ?? least;
	}

	/** Everything is told anew. @param step scheduled so far; another engine's columns, which had more, are dropped */
	restart(step: number, running: readonly number[]): void {
		const last = this.#columns.at(-1)?.step;
		if (last !== undefined && step < last.step) this.#columns.length = 0;
		this.#lanes.reset(running);
	}

	/** @param running arrivals, once the step was scheduled @param index of its event @param firstIndex of the oldest event kept */
	add(
		step: InspectedStep,
		running: readonly number[],
		index: number,
		firstIndex: number,
	): void {
		const column = this.#lanes.place(step, running, index);
		this.#columns.push(column);
		this.#maxNumLanes = Math.max(this.#maxNumLanes, column.numLanes);
		this.#forget(firstIndex);
	}

	/** How many there are up to an event. */
	numUpTo(index: number): number {
		return this.#firstWhere((column) => column.index > index);
	}

	/** Place of a step, or of the first after it. */
	placeOf(step: number): number {
		return this.#firstWhere((column) => column.step.step >= step);
	}

	#forget(firstIndex: number): void {
		const columns = this.#columns;
		const isFull = columns.length > MAX_COLUMNS;
		if (!isFull && columns[0].index >= firstIndex) return;
		const numOld = this.#firstWhere(({ index }) => index >= firstIndex);
		columns.splice(0, Math.max(numOld, isFull ? MAX_COLUMNS / 8 : 0));
	}

	/** Index of the first column for which it holds, as it does for all behind; their number where for none. */
	#firstWhere(holds: (column: StepColumn) => boolean): number {
		let low = 0;
		let high = this.#columns.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (holds(this.#columns[middle])) high = middle;
			else low = middle + 1;
		}
		return low;
	}
}
