/** How many sequences to have in the engine's hands: what it can run, and a few that wait so that it never does. */

/** What of an engine's statistics decides. */
export interface EngineLoad {
	readonly maxNumSeqs: number;
	readonly numRequestsRunning: number;
	readonly numBlocks: number;
	/** 0 to 1. */
	readonly kvCacheUsage: number;
}

/** Waiting sequences beyond those that there is room for: a share of the batch, since many may end in one step. */
const SPARE_SHARE = 1 / 4;
const MIN_SPARE = 2;

/**
 * running + room + spare. room: free slots of the batch, and no more than the free blocks hold, going by what those that run use now.
 * So where blocks are short the queue stays short, and what is not yet in it can still be put in a better order.
 */
export function credit(load: EngineLoad): number {
	const { maxNumSeqs, numRequestsRunning: numRunning, numBlocks } = load;
	const used = load.kvCacheUsage * numBlocks;
	const perSequence = numRunning === 0 ? 1 : Math.max(1, used / numRunning);
	const byBlocks = Math.floor((numBlocks - used) / perSequence);
	const room = Math.max(0, Math.min(maxNumSeqs - numRunning, byBlocks));
	const spare = Math.max(MIN_SPARE, Math.ceil(maxNumSeqs * SPARE_SHARE));
	return numRunning + room + spare;
}
