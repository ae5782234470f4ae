/** A request as the engine takes it, and what it tells of it. Knows no schedule and no text. */
import type { Adapter } from "./adapters.ts";
import type { TokenConstraint } from "./constraint.ts";
import type { Sequence, SequenceParams } from "./sequence.ts";

export interface EngineRequest {
	readonly requestId: string;
	readonly promptTokenIds: Int32Array;
	readonly params: SequenceParams;
	/** Smaller runs first. */
	readonly priority: number;
	/** Makes each sequence's constraint, its first mask ready; null: none. */
	readonly startConstraint?: (() => TokenConstraint) | null;
	/** Absent or null: the model as it is. */
	readonly adapter?: Adapter | null;
	/** Cached blocks are shared with requests of the same salt alone; absent or null: with those that have none. */
	readonly cacheSalt?: string | null;
	readonly sink: RequestSink;
}

export interface LogprobEntry {
	readonly tokenId: number;
	readonly logprob: number;
	readonly rank: number;
}

/** Receives what becomes of a request. A sink that throws fails its own request, no other. */
export interface RequestSink {
	/** `isStop`: the token ends the sequence and is not text. logprobs: the chosen token's entry first. @returns the stop string the text now ends with */
	onToken(
		seq: Sequence,
		tokenId: number,
		isStop: boolean,
		logprobs: readonly LogprobEntry[] | null,
	): string | null;
	onPromptLogprobs(position: number, entries: readonly LogprobEntry[]): void;
	/** Called once per sequence; its status says how it ended. */
	onFinish(seq: Sequence): void;
}

export interface RequestMetrics {
	readonly arrivalMs: number;
	firstScheduledMs: number | null;
	firstTokenMs: number | null;
	finishedMs: number | null;
	numPreemptions: number;
}
