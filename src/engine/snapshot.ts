/** The engine as it is now, in the words of events.ts: what a listener hears first. */
import type { BlockManager } from "./block-manager.ts";
import {
	type BlockState,
	type EngineCounters,
	type EngineInfo,
	MAX_TOLD_WAITING,
	type SequenceInfo,
	type SequenceState,
	type SnapshotEvent,
} from "./events.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";

/** What of an engine its listeners are told about. */
export interface Observed {
	readonly info: EngineInfo;
	readonly blocks: BlockManager;
	readonly scheduler: Scheduler;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
	readonly arrivalMsOf: (seq: Sequence) => number;
	/** What changes with every step. */
	readonly progress: () => EngineProgress;
}

export interface EngineProgress {
	readonly numSteps: number;
	readonly isPaused: boolean;
	readonly numPromptTokens: number;
	readonly numGenerationTokens: number;
}

export function takeSnapshot(observed: Observed): SnapshotEvent {
	const { info, scheduler, now } = observed;
	const { numSteps, isPaused } = observed.progress();
	const waiting = scheduler.nextWaiting(MAX_TOLD_WAITING);
	const running = scheduler.running();
	return {
		type: "snapshot",
		atMs: now(),
		engine: info,
		step: numSteps,
		paused: isPaused,
		waiting: waiting.map(({ arrival }) => arrival),
		numWaiting: scheduler.numWaiting,
		running: running.map(({ arrival }) => arrival),
		sequences: [...running, ...waiting].map((seq) =>
			sequenceState(seq, observed),
		),
		blocks: [...usedBlocks(observed.blocks)],
		counters: engineCounters(observed),
	};
}

export function engineCounters(observed: Observed): EngineCounters {
	const { scheduler, blocks } = observed;
	const { numPromptTokens, numGenerationTokens } = observed.progress();
	return {
		numPromptTokens,
		numGenerationTokens,
		numPreemptions: scheduler.numPreemptions,
		prefixCacheQueries: scheduler.numPrefixQueryTokens,
		prefixCacheHits: scheduler.numPrefixHitTokens,
		numFreeBlocks: blocks.numFreeBlocks,
	};
}

export function sequenceInfo(
	seq: Sequence,
	{ arrivalMsOf }: Observed,
): SequenceInfo {
	const { arrival, requestId, index, priority, adapter } = seq;
	return {
		arrival,
		requestId,
		index,
		priority,
		promptTokenIds: Array.from(seq.tokenIds.subarray(0, seq.numPromptTokens)),
		maxTokens: seq.params.maxOutputTokens,
		adapter: adapter === null ? null : adapter.name,
		arrivalMs: arrivalMsOf(seq),
	};
}

function sequenceState(seq: Sequence, observed: Observed): SequenceState {
	const { numPromptTokens, numTokens, tokenIds } = seq;
	return {
		...sequenceInfo(seq, observed),
		status: seq.status.kind === "running" ? "running" : "waiting",
		outputTokenIds: Array.from(tokenIds.subarray(numPromptTokens, numTokens)),
		numComputedTokens: seq.numComputedTokens,
		numCachedTokens: seq.numCachedTokens,
		blockTable: Array.from(seq.blockTable.subarray(0, seq.numBlocks)),
	};
}

function* usedBlocks(blocks: BlockManager): Generator<BlockState> {
	for (let block = 0; block < blocks.numBlocks; block++) {
		const state = blocks.stateOf(block);
		if (state.numReferences > 0) yield state;
		else if (state.contentId > 0)
			yield { ...state, tokenIds: blocks.tokensOf(block) };
	}
}
