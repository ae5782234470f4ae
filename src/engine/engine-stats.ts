/** What an engine counts, and what it says of itself when asked. */
import type { BlockManager } from "./block-manager.ts";
import type { Batch, Scheduler } from "./scheduler.ts";

export interface EngineStats {
	readonly numRequestsRunning: number;
	readonly numRequestsWaiting: number;
	/** 0..1 */
	readonly kvCacheUsage: number;
	readonly numBlocks: number;
	readonly numSteps: number;
	/** Tokens computed in all steps. */
	readonly numStepTokens: number;
	/** Steps of more than 2^(i-1) tokens and at most 2^i, by i. */
	readonly numStepsBySize: ArrayLike<number>;
	readonly numPromptTokens: number;
	readonly numGenerationTokens: number;
	readonly numPreemptions: number;
	/** In tokens, as vLLM counts them. */
	readonly prefixCacheQueries: number;
	readonly prefixCacheHits: number;
	/** Names of the adapters that running sequences go through, and that waiting ones will. */
	readonly runningAdapters: readonly string[];
	readonly waitingAdapters: readonly string[];
}

/** Counted from the engine's start. */
export class StepCounts {
	numSteps = 0;
	numStepTokens = 0;
	readonly numStepsBySize = new Float64Array(32);
	numPromptTokens = 0;
	numGenerationTokens = 0;

	/** A step was scheduled. */
	count({ numTokens }: Batch): void {
		this.numSteps++;
		this.numStepTokens += numTokens;
		this.numStepsBySize[32 - Math.clz32(numTokens - 1)]++;
	}
}

export function engineStats(
	counts: StepCounts,
	scheduler: Scheduler,
	{ numBlocks, numFreeBlocks }: BlockManager,
): EngineStats {
	return {
		numRequestsRunning: scheduler.numRunning,
		numRequestsWaiting: scheduler.numWaiting,
		kvCacheUsage: 1 - numFreeBlocks / numBlocks,
		numBlocks,
		numSteps: counts.numSteps,
		numStepTokens: counts.numStepTokens,
		numStepsBySize: counts.numStepsBySize,
		numPromptTokens: counts.numPromptTokens,
		numGenerationTokens: counts.numGenerationTokens,
		numPreemptions: scheduler.numPreemptions,
		prefixCacheQueries: scheduler.numPrefixQueryTokens,
		prefixCacheHits: scheduler.numPrefixHitTokens,
		...scheduler.adapterNames(),
	};
}
