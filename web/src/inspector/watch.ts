/**
 * What a reader watches of an engine: its events as history, the moment shown (live, or one that was), and what is pointed at, the same
 * in every picture. Knows no canvas and no page.
 */
import type { BlockState, EngineEvent } from "../../../src/engine/events.ts";
import { History } from "../../../src/inspector/history.ts";
import { snapshotOf } from "../../../src/inspector/keyframe.ts";
import type { InspectorState } from "../../../src/inspector/state.ts";
import { createFrames, type Frames } from "./frames.ts";
import type { StepColumn } from "./lanes.ts";
import { StepColumns } from "./step-columns.ts";

/** What moment is shown. */
export type Mode =
	| { readonly kind: "live" }
	/** After this event. */
	| { readonly kind: "still"; readonly index: number }
	| {
			readonly kind: "playing";
			readonly index: number;
			readonly speed: number;
	  };

export interface WatchOptions {
	/** As requestAnimationFrame. */
	readonly requestFrame: (call: (ms: number) => void) => unknown;
	/** Memory for history, roughly. */
	readonly maxBytes: number;
}

type Listener = () => void;

interface Follower {
	readonly onEvent: (event: EngineEvent) => void;
	readonly onEnd: (reason: string) => void;
}

export class Watch {
	readonly frames: Frames;
	readonly history: History;
	readonly #requestFrame: WatchOptions["requestFrame"];
	readonly #columns = new StepColumns();
	#numTouchedBlocks = 0;
	#mode: Mode = { kind: "live" };
	/** Why no more events come. */
	#end: string | null = null;
	#pointed: number | null = null;
	#pointedBlock: number | null = null;
	#selectedBlock: number | null = null;
	#selectedStep: number | null = null;
	readonly #listeners = new Set<Listener>();
	readonly #engineListeners = new Set<Listener>();
	readonly #followers = new Set<Follower>();

	constructor({
		requestFrame = (call) => requestAnimationFrame(call),
		maxBytes,
	}: Partial<WatchOptions> = {}) {
		this.#requestFrame = requestFrame;
		this.frames = createFrames(requestFrame);
		this.history = new History(maxBytes === undefined ? {} : { maxBytes });
	}

	/** Calls back whenever the moment shown, or what is pointed at, may be another. */
	readonly subscribe = (changed: Listener): (() => void) => {
		this.#listeners.add(changed);
		return () => this.#listeners.delete(changed);
	};

	/** Calls back when another engine, or one at all, is told of, or none any more, and when more of its pool is used than ever. */
	readonly subscribeToEngine = (changed: Listener): (() => void) => {
		this.#engineListeners.add(changed);
		return () => this.#engineListeners.delete(changed);
	};

	push(event: EngineEvent): void {
		this.#end = null;
		this.history.push(event);
		const index = this.#lastIndex;
		if (event.type === "snapshot" || event.type === "step")
			this.#touch(event.blocks);
		if (event.type === "snapshot") {
			this.#columns.restart(event.step, event.running);
			for (const call of this.#engineListeners) call();
		}
		const step = this.history.live?.steps.at(-1);
		if (event.type === "step" && step !== undefined) {
			const { firstIndex } = this.history;
			this.#columns.add(step, event.running, index, firstIndex);
		}
		// A moment that is held stays, but there is more behind it.
		this.#changed();
		if (this.isTold)
			for (const follower of this.#followers) follower.onEvent(event);
	}

	/** Blocks ever used, and those before them. */
	get numTouchedBlocks(): number {
		return this.#numTouchedBlocks;
	}

	#touch(blocks: readonly BlockState[]): void {
		const before = this.#numTouchedBlocks;
		for (const { block } of blocks)
			if (block >= this.#numTouchedBlocks) this.#numTouchedBlocks = block + 1;
		if (this.#numTouchedBlocks !== before)
			for (const call of this.#engineListeners) call();
	}

	/** The events' source is gone. */
	end(reason: string): void {
		this.#end = reason;
		for (const follower of this.#followers) follower.onEnd(reason);
		for (const call of this.#engineListeners) call();
		this.#changed();
	}

	/** Tells the events from now on, a snapshot of what is first. @returns what ends that */
	follow(onEvent: Follower["onEvent"], onEnd: Follower["onEnd"]): () => void {
		const follower = { onEvent, onEnd };
		this.#followers.add(follower);
		const { live } = this.history;
		if (live !== null) onEvent(snapshotOf(live));
		if (this.#end !== null) onEnd(this.#end);
		return () => this.#followers.delete(follower);
	}

	get endReason(): string | null {
		return this.#end;
	}

	/** Whether anything was told at all. */
	get isTold(): boolean {
		return this.history.live !== null;
	}

	get mode(): Mode {
		return this.#mode;
	}

	/** The engine at the moment shown; to be read at once, as it changes in place. null: nothing was told yet. */
	get state(): InspectorState | null {
		if (!this.isTold) return null;
		return this.#mode.kind === "live"
			? this.history.live
			: this.history.seek(this.index);
	}

	/** Index of the last event of the moment shown. */
	get index(): number {
		const { firstIndex } = this.history;
		const lastIndex = this.#lastIndex;
		if (this.#mode.kind === "live") return lastIndex;
		return Math.min(lastIndex, Math.max(firstIndex, this.#mode.index));
	}

	/** Milliseconds of the moment shown, and of all that are kept. */
	get span(): { startMs: number; endMs: number; atMs: number } {
		if (!this.isTold) return { startMs: 0, endMs: 0, atMs: 0 };
		const { history } = this;
		return {
			startMs: history.timeAt(history.firstIndex),
			endMs: history.timeAt(this.#lastIndex),
			atMs: history.timeAt(this.index),
		};
	}

	/** All kept steps, oldest first. */
	get columns(): readonly StepColumn[] {
		return this.#columns.list;
	}

	/** Steps up to the moment shown. */
	get numColumnsShown(): number {
		return this.#columns.numUpTo(this.index);
	}

	/** Lanes that pictures make room for. */
	get numLanes(): number {
		return this.#columns.numLanes;
	}

	/** Shows the moment after an event. */
	goTo(index: number): void {
		this.#show({ kind: "still", index });
	}

	goToTime(ms: number): void {
		if (!this.isTold) return;
		const index = this.history.indexAt(ms);
		if (index >= this.#lastIndex && this.#mode.kind === "live") return;
		this.goTo(index);
	}

	/** Holds what is shown; the engine goes on. */
	freeze(): void {
		this.goTo(this.index);
	}

	goLive(): void {
		this.#show({ kind: "live" });
	}

	/** Shows the moment so many steps further; back where negative. */
	nudge(numSteps: number): void {
		const { columns } = this;
		if (columns.length === 0) return;
		const at = this.numColumnsShown - 1 + numSteps;
		this.goTo(columns[Math.max(0, Math.min(columns.length - 1, at))].index);
	}

	/** Goes on from the moment shown as it went, so many times faster, until the latest event. */
	play(speed: number): void {
		if (!this.isTold) return;
		const mode: Mode = { kind: "playing", index: this.index, speed };
		this.#show(mode);
		let timeMs = this.span.atMs;
		let lastMs: number | null = null;
		const advance = (ms: number) => {
			if (this.#mode.kind !== "playing" || this.#mode.speed !== speed) return;
			timeMs += lastMs === null ? 0 : (ms - lastMs) * speed;
			lastMs = ms;
			const index = this.history.indexAt(timeMs);
			if (index >= this.#lastIndex) return this.goTo(index);
			if (index !== this.#mode.index)
				this.#show({ kind: "playing", index, speed });
			this.#requestFrame(advance);
		};
		this.#requestFrame(advance);
	}

	/** The sequence that is pointed at. */
	get pointed(): number | null {
		return this.#pointed;
	}

	point(arrival: number | null): void {
		if (arrival === this.#pointed) return;
		this.#pointed = arrival;
		this.#changed();
	}

	get pointedBlock(): number | null {
		return this.#pointedBlock;
	}

	/** Points at the block's first holder too. */
	pointAtBlock(block: number | null): void {
		if (block === this.#pointedBlock) return;
		this.#pointedBlock = block;
		const owners = block === null ? [] : this.state?.blocks.owners[block];
		this.#pointed = owners?.[0] ?? null;
		this.#changed();
	}

	get selectedBlock(): number | null {
		return this.#selectedBlock;
	}

	selectBlock(block: number | null): void {
		this.#selectedBlock = block;
		this.#changed();
	}

	/** From the selected block, or to the first, among the first `numDrawn`. */
	moveBlock(by: number, numDrawn: number): void {
		const last = numDrawn - 1;
		const from = this.#selectedBlock;
		if (last < 0) return;
		const to = from === null && Number.isFinite(by) ? 0 : (from ?? 0) + by;
		const isOutside = to < 0 || to > last;
		if (isOutside && Number.isFinite(by)) return;
		this.selectBlock(Math.max(0, Math.min(last, to)));
	}

	get selectedStep(): number | null {
		return this.#selectedStep;
	}

	selectStep(step: number | null): void {
		if (step === this.#selectedStep) return;
		this.#selectedStep = step;
		this.#changed();
	}

	/** From the selected step, or to the latest shown. */
	moveStep(by: number): void {
		const end = this.numColumnsShown;
		if (end === 0) return;
		const from =
			this.#selectedStep === null
				? end
				: this.#columns.placeOf(this.#selectedStep);
		const to = Math.max(0, Math.min(end - 1, from + by));
		this.selectStep(this.columns[to].step.step);
	}

	/** null: none is selected, or it is kept no more. */
	selectedColumn(): StepColumn | null {
		if (this.#selectedStep === null) return null;
		const column = this.columns[this.#columns.placeOf(this.#selectedStep)];
		return column?.step.step === this.#selectedStep ? column : null;
	}

	lastColumn(): StepColumn | null {
		return this.columns[this.numColumnsShown - 1] ?? null;
	}

	get #lastIndex(): number {
		return this.history.endIndex - 1;
	}

	#show(mode: Mode): void {
		this.#mode = mode;
		this.#changed();
	}

	#changed(): void {
		for (const call of this.#listeners) call();
	}
}
