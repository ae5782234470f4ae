/**
 * What an engine tells who listens: enough to draw every step, the queues and every block of the KV cache, and to know afterwards
 * what was where. Plain data: it crosses threads and HTTP as JSON. Nothing is made, and nothing costs, while nobody listens.
 *
 * The first event a listener gets is a snapshot; each later one says what changed, and another snapshot replaces all that was told before
 * (after a reset of the prefix cache, or where a listener missed something). Sequences are named by `arrival`, counted up over an engine's
 * life. Times are milliseconds of one monotonic clock.
 *
 * Of a long queue its head is told, MAX_TOLD_WAITING sequences: who waits behind it arrives, for a listener, when it comes forward.
 */
import type { FinishReason } from "./sequence.ts";

export type EngineListener = (event: EngineEvent) => void;

/** So many waiting sequences are told of, and numWaiting counts all: 100,000 in every step would be more than anybody draws. */
export const MAX_TOLD_WAITING = 256;

export type EngineEvent =
	| SnapshotEvent
	| ArrivalEvent
	| StepEvent
	| OutputEvent
	| EndEvent
	| PauseEvent;

/** What does not change while the engine lives. */
export interface EngineInfo {
	readonly blockSize: number;
	readonly numBlocks: number;
	readonly maxNumSeqs: number;
	/** Tokens a step may compute at most. */
	readonly maxNumBatchedTokens: number;
	readonly enablePrefixCaching: boolean;
	readonly enableChunkedPrefill: boolean;
	/** Step n+1 is scheduled while n runs. */
	readonly overlaps: boolean;
}

/** Everything as it is now. */
export interface SnapshotEvent {
	readonly type: "snapshot";
	readonly atMs: number;
	readonly engine: EngineInfo;
	/** Steps scheduled so far. */
	readonly step: number;
	readonly paused: boolean;
	/** Arrivals, first to run first; the head of the queue. */
	readonly waiting: readonly number[];
	/** How many wait, told of or not. */
	readonly numWaiting: number;
	readonly running: readonly number[];
	/** Those that run, and the head of the queue. */
	readonly sequences: readonly SequenceState[];
	/** Blocks that are referenced or hold a cached prefix; all others are free and empty. */
	readonly blocks: readonly BlockState[];
	readonly counters: EngineCounters;
}

/** A sequence is queued. */
export interface ArrivalEvent {
	readonly type: "arrival";
	readonly atMs: number;
	readonly sequence: SequenceInfo;
	readonly numWaiting: number;
}

/** A step was scheduled and handed to the device. */
export interface StepEvent {
	readonly type: "step";
	readonly step: number;
	/** When the scheduler began. */
	readonly startMs: number;
	/** When the device had the step; one that runs before is still being computed then, where steps overlap. */
	readonly submitMs: number;
	/** Decodes first, as they lie in the batch. */
	readonly rows: readonly StepRowEvent[];
	readonly numTokens: number;
	/** Arrivals that were given a place among the running ones in this step, with the tokens they found in the prefix cache or share with a sibling. */
	readonly admitted: readonly {
		readonly arrival: number;
		readonly numCachedTokens: number;
	}[];
	/** Arrivals that lost their blocks to others and wait again. */
	readonly preempted: readonly number[];
	readonly waiting: readonly number[];
	readonly numWaiting: number;
	readonly running: readonly number[];
	/** Blocks whose state is another than at the event before. */
	readonly blocks: readonly BlockState[];
	/** Blocks whose cached prefix was dropped to make room. */
	readonly evicted: readonly number[];
	/** Block tables that changed: the first `kept` entries are as before, `added` follow. */
	readonly tables: readonly {
		readonly arrival: number;
		readonly kept: number;
		readonly added: readonly number[];
	}[];
	readonly counters: EngineCounters;
}

export interface StepRowEvent {
	readonly arrival: number;
	readonly phase: "prefill" | "decode";
	/** Position of its first token in this step. */
	readonly start: number;
	readonly numTokens: number;
	/** Whether the step samples its next token. */
	readonly samples: boolean;
}

/** A step's results were read. */
export interface OutputEvent {
	readonly type: "output";
	readonly step: number;
	readonly atMs: number;
	readonly tokens: readonly {
		readonly arrival: number;
		readonly tokenId: number;
	}[];
}

/** A sequence is over, and its blocks are given back. */
export interface EndEvent {
	readonly type: "end";
	readonly atMs: number;
	readonly arrival: number;
	readonly reason: FinishReason | "error";
	readonly numWaiting: number;
	/** Blocks whose state is another than at the event before. */
	readonly blocks: readonly BlockState[];
}

export interface PauseEvent {
	readonly type: "pause";
	readonly atMs: number;
	readonly paused: boolean;
}

export interface SequenceInfo {
	readonly arrival: number;
	readonly requestId: string;
	/** Which of the request's n outputs. */
	readonly index: number;
	readonly priority: number;
	readonly promptTokenIds: readonly number[];
	/** Output tokens at most. */
	readonly maxTokens: number;
	/** Name of its adapter; null: the model as it is. */
	readonly adapter: string | null;
	readonly arrivalMs: number;
}

export interface SequenceState extends SequenceInfo {
	readonly status: "waiting" | "running";
	readonly outputTokenIds: readonly number[];
	/** Tokens whose keys and values are in the cache, or will be once the steps submitted have run. */
	readonly numComputedTokens: number;
	/** Prompt tokens found in the prefix cache when it first ran; null before. */
	readonly numCachedTokens: number | null;
	readonly blockTable: readonly number[];
}

export interface BlockState {
	readonly block: number;
	/** Sequences that hold it. */
	readonly numReferences: number;
	/** Names the prefix that ends with this block: its tokens and all before them; 0: not a full, computed block. */
	readonly contentId: number;
	/** The prefix before this block; 0 or less: it is the first. */
	readonly parentContentId: number;
	/** Whether a later prompt can find it. */
	readonly isCached: boolean;
	/** In snapshots alone, of cached blocks that no sequence holds: what is in them. */
	readonly tokenIds?: readonly number[];
}

/** Counted from the engine's start. */
export interface EngineCounters {
	readonly numPromptTokens: number;
	readonly numGenerationTokens: number;
	readonly numPreemptions: number;
	/** In tokens. */
	readonly prefixCacheQueries: number;
	readonly prefixCacheHits: number;
	readonly numFreeBlocks: number;
}
