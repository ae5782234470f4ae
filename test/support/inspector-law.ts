/** What the inspector's tests share: an engine whose every event is held against the engine itself. */
import assert from "node:assert/strict";
import type { EngineEvent, SnapshotEvent } from "../../src/engine/events.ts";
import type { LlmEngine } from "../../src/engine/llm-engine.ts";
import { snapshotOf } from "../../src/inspector/keyframe.ts";
import {
	applyEvent,
	createState,
	type InspectorState,
} from "../../src/inspector/state.ts";

/** A state by value, for comparison. */
export function valuesOf(state: InspectorState) {
	const { blocks, steps, ...rest } = state;
	return {
		...rest,
		blocks: blockValues(state),
		steps: steps.map((step) => ({ ...step, rows: step.rows.toEvents() })),
		numFree: blocks.numFree,
		numCached: blocks.numCached,
	};
}

function blockValues({ blocks }: InspectorState) {
	const { numReferences, isCached, contents, owners } = blocks;
	return {
		numReferences,
		isCached,
		contents,
		owners: owners.map((them) => them.toSorted((a, b) => a - b)),
	};
}

/** Listens to an engine and asserts, wherever events leave it, that the state they lead to is the engine's own. */
export class Witness {
	readonly #engine: LlmEngine;
	readonly events: EngineEvent[] = [];
	state: InspectorState | null = null;
	numChecks = 0;
	/** What it found wrong while it was told: an engine drops a listener that throws, so it is kept for `check`. */
	#failure: unknown = null;
	readonly leave: () => void;

	constructor(engine: LlmEngine) {
		this.#engine = engine;
		this.leave = engine.observe((event) => {
			try {
				this.#hear(event);
			} catch (failure) {
				this.#failure ??= failure;
			}
		});
	}

	#hear(event: EngineEvent): void {
		this.events.push(event);
		if (this.state !== null) applyEvent(this.state, event);
		else {
			assert.equal(event.type, "snapshot", "a snapshot comes first");
			this.state = createState(event as SnapshotEvent);
		}
		this.#compare();
	}

	/** @throws what was wrong, now or at any event before */
	check(): void {
		if (this.#failure !== null) throw this.#failure;
		this.#compare();
	}

	/** Ends are told one by one, after the results that brought them: before the last of them the engine is ahead. */
	#compare(): void {
		const { state } = this;
		assert.ok(state !== null);
		const truth = this.#engine.snapshot();
		if (truth.sequences.length < state.sequences.size) return;
		this.numChecks++;
		assert.deepEqual(comparable(snapshotOf(state)), comparable(truth));
		const fresh = createState(truth);
		assert.deepEqual(blockValues(state), blockValues(fresh));
		assert.equal(state.blocks.numFree, truth.counters.numFreeBlocks);
		for (let block = 0; block < state.blocks.numBlocks; block++)
			assert.equal(
				state.blocks.owners[block].length,
				state.blocks.numReferences[block],
				"who holds a block is counted",
			);
		for (const content of state.blocks.contents)
			assert.equal(
				content?.tokenIds?.length ?? state.engine.blockSize,
				state.engine.blockSize,
				"a whole block's tokens are known",
			);
	}
}

function comparable(snapshot: SnapshotEvent) {
	const { atMs: _, sequences, ...rest } = snapshot;
	return {
		...rest,
		sequences: sequences.toSorted((a, b) => a.arrival - b.arrival),
	};
}
