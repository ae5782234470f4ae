/** What a run came to: from the engine's events where they can be seen, and from the answers alone where not. Knows no page. */
import type {
	EngineCounters,
	EngineEvent,
} from "../../../src/engine/events.ts";

export interface RunFigures {
	readonly numRequests: number;
	readonly numOutputTokens: number;
	readonly seconds: number;
	readonly outputTokensPerSecond: number;
	/** From a request's start to its first token. */
	readonly meanTtftMs: number;
	readonly maxTtftMs: number;
	/** Longest wait between two tokens of one answer. */
	readonly longestGapMs: number;
	/** null: the engine does not show its events. */
	readonly engine: EngineFigures | null;
}

/** Of the run alone. */
export interface EngineFigures {
	readonly numSteps: number;
	/** Sequences in the fullest step. */
	readonly maxNumRows: number;
	/** Tokens of the largest step. */
	readonly maxNumTokens: number;
	/** Prompt tokens that were computed, again after a preemption too. */
	readonly numPromptTokens: number;
	readonly numPrefixQueryTokens: number;
	readonly numPrefixHitTokens: number;
	readonly numPreemptions: number;
	readonly numEvictedBlocks: number;
	/** Blocks held in the fullest moment. */
	readonly maxNumUsedBlocks: number;
	readonly numBlocks: number;
	readonly blockSize: number;
}

/** Adds up an engine's events. */
export class EngineMeter {
	#before: EngineCounters | null = null;
	#now: EngineCounters | null = null;
	#numBlocks = 0;
	#blockSize = 0;
	#numSteps = 0;
	#maxNumRows = 0;
	#maxNumTokens = 0;
	#numEvictedBlocks = 0;
	#maxNumUsedBlocks = 0;

	push(event: EngineEvent): void {
		if (event.type === "snapshot") {
			this.#before ??= event.counters;
			this.#now = event.counters;
			this.#numBlocks = event.engine.numBlocks;
			this.#blockSize = event.engine.blockSize;
		}
		if (event.type !== "step") return;
		this.#now = event.counters;
		this.#numSteps++;
		this.#maxNumRows = Math.max(this.#maxNumRows, event.rows.length);
		this.#maxNumTokens = Math.max(this.#maxNumTokens, event.numTokens);
		this.#numEvictedBlocks += event.evicted.length;
		const numUsed = this.#numBlocks - event.counters.numFreeBlocks;
		this.#maxNumUsedBlocks = Math.max(this.#maxNumUsedBlocks, numUsed);
	}

	/** null: no event came. */
	figures(): EngineFigures | null {
		const before = this.#before;
		const now = this.#now;
		if (before === null || now === null) return null;
		return {
			numSteps: this.#numSteps,
			maxNumRows: this.#maxNumRows,
			maxNumTokens: this.#maxNumTokens,
			numPromptTokens: now.numPromptTokens - before.numPromptTokens,
			numPrefixQueryTokens: now.prefixCacheQueries - before.prefixCacheQueries,
			numPrefixHitTokens: now.prefixCacheHits - before.prefixCacheHits,
			numPreemptions: now.numPreemptions - before.numPreemptions,
			numEvictedBlocks: this.#numEvictedBlocks,
			maxNumUsedBlocks: this.#maxNumUsedBlocks,
			numBlocks: this.#numBlocks,
			blockSize: this.#blockSize,
		};
	}
}

/** Adds up what the answers' streams gave. */
export class AnswerMeter {
	readonly #startMs: number;
	readonly #ttftMs: number[] = [];
	#numOutputTokens = 0;
	#longestGapMs = 0;

	constructor(startMs: number) {
		this.#startMs = startMs;
	}

	get numOutputTokens(): number {
		return this.#numOutputTokens;
	}

	/** A request was sent. @returns what to call with the number of tokens of each of its deltas */
	request(sentMs: number): (numTokens: number, atMs: number) => void {
		let lastMs: number | null = null;
		return (numTokens, atMs) => {
			if (numTokens === 0) return;
			if (lastMs === null) this.#ttftMs.push(atMs - sentMs);
			else this.#longestGapMs = Math.max(this.#longestGapMs, atMs - lastMs);
			lastMs = atMs;
			this.#numOutputTokens += numTokens;
		};
	}

	figures(endMs: number, engine: EngineFigures | null): RunFigures {
		const seconds = (endMs - this.#startMs) / 1000;
		const numRequests = this.#ttftMs.length;
		const sum = this.#ttftMs.reduce((total, ms) => total + ms, 0);
		return {
			numRequests,
			numOutputTokens: this.#numOutputTokens,
			seconds,
			outputTokensPerSecond: this.#numOutputTokens / Math.max(1e-9, seconds),
			meanTtftMs: sum / Math.max(1, numRequests),
			maxTtftMs: Math.max(0, ...this.#ttftMs),
			longestGapMs: this.#longestGapMs,
			engine,
		};
	}
}
