/**
 * The last minutes of an engine's events, and its state at any of them. Kept in stretches that each begin with a keyframe, so that any
 * event is a few hundred away from one; the oldest stretches go when memory is used up. Knows events alone.
 */
import type { EngineEvent } from "../engine/events.ts";
import {
	type Keyframe,
	keyframeBytes,
	restoreState,
	takeKeyframe,
} from "./keyframe.ts";
import {
	type PackedEvent,
	type PackedStep,
	packEvent,
	packedBytes,
	unpackEvent,
} from "./packed-event.ts";
import { applyEvent, createState, type InspectorState } from "./state.ts";

export interface HistoryOptions {
	/** Memory to use, roughly. */
	readonly maxBytes: number;
	/** Events from one keyframe to the next. */
	readonly eventsPerKeyframe: number;
}

export const HISTORY_DEFAULTS: Readonly<HistoryOptions> = {
	maxBytes: 128 * 2 ** 20,
	eventsPerKeyframe: 256,
};

interface Stretch {
	/** Of its first event. */
	readonly index: number;
	/** As it was before the first event; null: nothing was. */
	readonly before: Keyframe | null;
	readonly events: PackedEvent[];
	numBytes: number;
}

export class History {
	readonly #options: HistoryOptions;
	readonly #stretches: Stretch[] = [];
	#numBytes = 0;
	#live: InspectorState | null = null;
	#lastStep: PackedStep | null = null;
	/** Where `seek` went last. */
	#sought: { index: number; readonly state: InspectorState } | null = null;

	constructor(options: Partial<HistoryOptions> = {}) {
		this.#options = { ...HISTORY_DEFAULTS, ...options };
	}

	/** The state after the last event; null before the first snapshot. It changes in place. */
	get live(): InspectorState | null {
		return this.#live;
	}

	/** Index of the oldest event kept, counted from the first there ever was. */
	get firstIndex(): number {
		return this.#stretches[0]?.index ?? 0;
	}

	/** One past the index of the latest event. */
	get endIndex(): number {
		const last = this.#stretches.at(-1);
		return last === undefined ? 0 : last.index + last.events.length;
	}

	/** Roughly, in memory. */
	get numBytes(): number {
		return this.#numBytes;
	}

	/** Takes the next event in. What comes before the first snapshot is left out: there is nothing it could change. */
	push(event: EngineEvent): void {
		if (this.#live === null && event.type !== "snapshot") return;
		const stretch = this.#stretchForNext();
		const packed = packEvent(event, this.#lastStep);
		const rows = packed.type === "step" ? packed.rows : undefined;
		if (packed.type === "step") this.#lastStep = packed;
		const numBytes = packedBytes(packed);
		stretch.events.push(packed);
		stretch.numBytes += numBytes;
		this.#numBytes += numBytes;
		if (this.#live !== null) applyEvent(this.#live, event, rows);
		else if (event.type === "snapshot") this.#live = createState(event);
		this.#forget();
	}

	/** @throws RangeError for one not kept */
	event(index: number): EngineEvent {
		const { index: first, events } = this.#stretchOf(index);
		return unpackEvent(events[index - first]);
	}

	/** All that are kept, oldest first. */
	*events(): Generator<EngineEvent> {
		for (const { events } of this.#stretches)
			for (const event of events) yield unpackEvent(event);
	}

	/** The state before the oldest event kept; null: nothing was. */
	beginning(): InspectorState | null {
		const before = this.#stretches[0]?.before ?? null;
		return before === null ? null : restoreState(before);
	}

	/**
	 * The state after an event. It is the caller's to read until the next call, which may change it in place. Going forward costs the events
	 * between, anything else those since a keyframe.
	 * @throws RangeError for one not kept
	 */
	seek(index: number): InspectorState {
		const stretch = this.#stretchOf(index);
		let sought = this.#sought;
		if (sought === null || sought.index > index || sought.index < stretch.index)
			sought = this.#enter(stretch);
		while (sought.index < index)
			applyPacked(sought.state, stretch.events[++sought.index - stretch.index]);
		this.#sought = sought;
		return sought.state;
	}

	/** When an event happened; a step when it was submitted. */
	timeAt(index: number): number {
		const { index: first, events } = this.#stretchOf(index);
		const event = events[index - first];
		return event.type === "step" ? event.submitMs : event.atMs;
	}

	/** Index of the last event at or before a time; the oldest kept where all are later. */
	indexAt(ms: number): number {
		let low = this.firstIndex;
		let high = this.endIndex - 1;
		while (low < high) {
			const middle = Math.ceil((low + high) / 2);
			if (this.timeAt(middle) <= ms) low = middle;
			else high = middle - 1;
		}
		return low;
	}

	/** The state after the first event of a stretch. */
	#enter({ index, before, events }: Stretch): {
		index: number;
		readonly state: InspectorState;
	} {
		const [first] = events;
		if (before === null) {
			if (first.type !== "snapshot")
				throw new Error("nano-vllm bug: history begins with a snapshot");
			return { index, state: createState(first) };
		}
		const state = restoreState(before);
		applyPacked(state, first);
		return { index, state };
	}

	#stretchForNext(): Stretch {
		const last = this.#stretches.at(-1);
		const { eventsPerKeyframe } = this.#options;
		if (last !== undefined && last.events.length < eventsPerKeyframe)
			return last;
		const before = this.#live === null ? null : takeKeyframe(this.#live);
		const numBytes = before === null ? 0 : keyframeBytes(before);
		const stretch = { index: this.endIndex, before, events: [], numBytes };
		this.#stretches.push(stretch);
		this.#numBytes += numBytes;
		return stretch;
	}

	#forget(): void {
		while (
			this.#numBytes > this.#options.maxBytes &&
			this.#stretches.length > 1
		)
			this.#numBytes -= this.#stretches.shift()?.numBytes ?? 0;
	}

	#stretchOf(index: number): Stretch {
		const { firstIndex, endIndex } = this;
		if (!(index >= firstIndex && index < endIndex))
			throw new RangeError(
				`event ${index} is not kept: history has those from ${firstIndex} to before ${endIndex}.`,
			);
		let low = 0;
		let high = this.#stretches.length - 1;
		while (low < high) {
			const middle = Math.ceil((low + high) / 2);
			if (this.#stretches[middle].index <= index) low = middle;
			else high = middle - 1;
		}
		return this.#stretches[low];
	}
}

function applyPacked(state: InspectorState, packed: PackedEvent): void {
	const rows = packed.type === "step" ? packed.rows : undefined;
	applyEvent(state, unpackEvent(packed), rows);
}
