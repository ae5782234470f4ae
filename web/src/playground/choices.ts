/** What the reader chose in the playground. It outlasts the page: a load that fails takes the page away until there is an engine again. */
import { signal } from "@preact/signals";
import { type PoolSettings, SCENARIOS } from "./scenarios.ts";
import { DEFAULT_WORKLOAD, type Workload } from "./workload.ts";

/** Instead of a scenario: one's own prompts and settings. */
export const FREE = "free";

/** Id of a scenario, or FREE. */
export const chosen = signal<string>(SCENARIOS[0].id);
export const workload = signal<Workload>(DEFAULT_WORKLOAD);
export const pool = signal<PoolSettings>({
	maxNumBatchedTokens: 512,
	maxNumSeqs: 16,
	blockSize: 16,
	poolTokens: 4096,
	enableChunkedPrefill: true,
	enablePrefixCaching: true,
});
