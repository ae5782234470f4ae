/**
 * A state put by, so that history can be entered there, and taken out again. Small: what never changes is shared with the state it was
 * taken of, and of an output, which grows at its end alone, only the length is kept.
 */
import type { BlockState, SnapshotEvent } from "../engine/events.ts";
import { BlockMap, type SavedBlocks } from "./block-map.ts";
import type { InspectedSequence, InspectorState } from "./state.ts";

export interface Keyframe {
	readonly state: Omit<InspectorState, "sequences" | "blocks">;
	readonly blocks: SavedBlocks;
	readonly sequences: readonly SavedSequence[];
}

interface SavedSequence {
	readonly sequence: Omit<InspectedSequence, "blockTable">;
	readonly numOutputTokens: number;
	readonly blockTable: Int32Array;
}

export function takeKeyframe(state: InspectorState): Keyframe {
	const { sequences, blocks, ...rest } = state;
	return {
		state: copyLists(rest),
		blocks: blocks.save(),
		sequences: Array.from(
			sequences.values(),
			({ blockTable, ...sequence }) => ({
				sequence,
				numOutputTokens: sequence.outputTokenIds.length,
				blockTable: Int32Array.from(blockTable),
			}),
		),
	};
}

/** A state of its own, which nothing else changes. */
export function restoreState(keyframe: Keyframe): InspectorState {
	const blocks = BlockMap.restore(keyframe.blocks);
	const sequences = new Map<number, InspectedSequence>();
	for (const { sequence, numOutputTokens, blockTable } of keyframe.sequences) {
		const { arrival } = sequence.info;
		sequences.set(arrival, {
			...sequence,
			outputTokenIds: sequence.outputTokenIds.slice(0, numOutputTokens),
			blockTable: Array.from(blockTable),
		});
		blocks.own(arrival, Array.from(blockTable));
	}
	return { ...copyLists(keyframe.state), sequences, blocks };
}

/** Roughly, in memory. */
export function keyframeBytes({ blocks, sequences, state }: Keyframe): number {
	const tables = sequences.reduce((sum, it) => sum + it.blockTable.length, 0);
	const { throughput, firstTokens } = state.series;
	const lists = [state.waiting, state.ended, state.steps];
	const numItems = [...lists, throughput, firstTokens].reduce(
		(sum, list) => sum + list.length,
		0,
	);
	return (
		13 * blocks.contents.length +
		160 * sequences.length +
		4 * tables +
		8 * numItems
	);
}

/** Everything as a snapshot tells it. */
export function snapshotOf(state: InspectorState): SnapshotEvent {
	const { atMs, engine, step, paused, numWaiting, counters } = state;
	return {
		type: "snapshot",
		atMs,
		engine,
		step,
		paused,
		waiting: [...state.waiting],
		numWaiting,
		running: [...state.running],
		sequences: Array.from(state.sequences.values(), ({ info, ...rest }) => ({
			...info,
			...rest,
			outputTokenIds: [...rest.outputTokenIds],
			blockTable: [...rest.blockTable],
		})),
		blocks: [...usedBlocks(state.blocks)],
		counters,
	};
}

function* usedBlocks(blocks: BlockMap): Generator<BlockState> {
	for (let block = 0; block < blocks.numBlocks; block++) {
		const numReferences = blocks.numReferences[block];
		const content = blocks.contents[block];
		if (numReferences === 0 && content === null) continue;
		const tokenIds = numReferences === 0 ? content?.tokenIds : null;
		yield {
			block,
			numReferences,
			contentId: content?.id ?? 0,
			parentContentId: content?.parentId ?? 0,
			isCached: blocks.isCached[block] === 1,
			...(tokenIds && { tokenIds }),
		};
	}
}

function copyLists<
	T extends Pick<InspectorState, "waiting" | "ended" | "steps" | "series">,
>(state: T): T {
	const { throughput, firstTokens } = state.series;
	return {
		...state,
		waiting: [...state.waiting],
		ended: [...state.ended],
		steps: [...state.steps],
		series: { throughput: [...throughput], firstTokens: [...firstTokens] },
	};
}
