/**
 * A program as the list of tasks its threads walk, every buffer at a fixed address of one memory. Plain data: it is posted to
 * the workers as it is. layout.ts makes it, walk.ts walks it.
 */

/** The step that runs, the one before whose ids it carries, and the one being written. */
export const NUM_STEPS = 3;
export const CONTROL_BYTES = 256;
/** Query tokens of one attention item. */
export const QUERY_TILE = 64;

export interface Plan {
	readonly tasks: readonly Task[];
	readonly cacheType: number;
	readonly cacheElementBytes: number;
	readonly blockSize: number;
	readonly numThreads: number;
	/** Control words: see thread.ts. */
	readonly control: number;
	/** Prepared activation rows of the linear in progress. */
	readonly groups: number;
	/** Per thread: threadScratch + thread · threadScratchBytes; and zeros the sampler leaves as they were. */
	readonly threadScratch: number;
	readonly threadScratchBytes: number;
	readonly samplerScratch: number;
	readonly samplerScratchBytes: number;
}

export type Task =
	| EmbedTask
	| LinearTask
	| AddRowsTask
	| RopeAndCacheTask
	| AttentionTask
	| ExpertsTask
	| GateTask
	| LoraTask
	| SampleTask;

export interface EmbedTask {
	readonly kind: "embed";
	readonly format: number;
	readonly table: number;
	readonly panelBytes: number;
	readonly depth: number;
	readonly scale: number;
	readonly output: number;
	readonly width: number;
}

/** Panels of a matrix, and what a row becomes before it meets them. */
interface Panels {
	readonly format: number;
	readonly depth: number;
	readonly groupBytes: number;
	readonly w: number;
	readonly panelBytes: number;
	/** Panels of output columns; of pairs where gate and up alternate. */
	readonly numPanels: number;
	/** 0: none */
	readonly bias: number;
	readonly columns: number;
}

export interface LinearTask extends Panels {
	readonly kind: "linear";
	readonly mode: "store" | "add" | "gated";
	readonly input: number;
	readonly width: number;
	/** 0: not normalised */
	readonly norm: number;
	readonly eps: number;
	/** Of store and add. */
	readonly scale: number;
	/** Of gated: see kernels.ts. */
	readonly gating: number;
	readonly output: number;
}

/** residual[t] += scale · norm(input[t]): the end of a linear whose sums are normalised before they are added. */
export interface AddRowsTask {
	readonly kind: "addRows";
	readonly input: number;
	readonly width: number;
	readonly norm: number;
	readonly eps: number;
	readonly scale: number;
	readonly residual: number;
}

/** 0: no norm; `all`: of all heads of a token together. */
export interface HeadNorm {
	readonly norm: number;
	readonly eps: number;
	readonly all: boolean;
}

export interface RopeAndCacheTask {
	readonly kind: "ropeAndCache";
	readonly qkv: number;
	readonly width: number;
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
	readonly qNorm: HeadNorm;
	readonly kNorm: HeadNorm;
	readonly cosSin: number;
	/** 0: heads are not turned */
	readonly numFrequencies: number;
	readonly cache: number;
	readonly blockBytes: number;
}

export interface AttentionTask {
	readonly kind: "attention";
	readonly qkv: number;
	readonly width: number;
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
	readonly scale: number;
	/** 0: none, as softCap and sinks */
	readonly window: number;
	readonly softCap: number;
	readonly sinks: number;
	readonly cache: number;
	readonly blockBytes: number;
	readonly output: number;
}

/** Panels of one expert; those of expert e lie e · expertBytes on, its bias e · biasBytes. */
export interface ExpertPanels extends Panels {
	readonly expertBytes: number;
	readonly biasBytes: number;
}

/** Where a mixture keeps who goes where: see assembly/router.ts. All layers use the same places in turn. */
export interface RoutingPlaces {
	readonly logits: number;
	readonly ids: number;
	readonly weights: number;
	readonly starts: number;
	readonly groupStarts: number;
	readonly next: number;
	readonly tokens: number;
	readonly slots: number;
	readonly factors: number;
	/** What gate and up made, a row for each choice. */
	readonly hidden: number;
}

export interface ExpertsTask {
	readonly kind: "experts";
	/** Tokens taken at a time. */
	readonly maxTokens: number;
	readonly numExperts: number;
	readonly topK: number;
	readonly normalize: boolean;
	readonly scale: number;
	/** Its input is the residual, its output routing.logits. */
	readonly router: LinearTask;
	readonly gateUp: ExpertPanels;
	readonly gating: number;
	readonly limit: number;
	readonly down: ExpertPanels;
	readonly routing: RoutingPlaces;
}

/** output[t] = the first half of input[t]'s 2 · width, gated, with the second. */
export interface GateTask {
	readonly kind: "gate";
	readonly input: number;
	/** See kernels.ts. */
	readonly gating: number;
	readonly output: number;
	readonly width: number;
}

/** Rows firstRow .. of the output, as panels of 16 among those of all targets. */
export interface LoraTarget {
	readonly name: string;
	readonly firstRow: number;
	readonly columns: number;
	readonly firstPanel: number;
	readonly endPanel: number;
}

/** What adapters add to a linear's output: see assembly/lora.ts. Of slot s the matrices lie s · aBytes and s · bBytes on. */
export interface LoraTask {
	readonly kind: "lora";
	readonly input: number;
	readonly width: number;
	/** 0: not normalised */
	readonly norm: number;
	readonly eps: number;
	/** Rows of the tokens that go through an adapter, normalised. */
	readonly normed: number;
	/** What a makes of them, in the order of the step's list. */
	readonly small: number;
	readonly smallBytes: number;
	/** Of four rows of a. */
	readonly quadsPerTarget: number;
	readonly a: number;
	readonly aBytes: number;
	readonly b: number;
	readonly bBytes: number;
	readonly panelBytes: number;
	readonly numPanels: number;
	/** i32 [slot][target]; 0: the slot's adapter leaves the target alone. */
	readonly ranks: number;
	readonly numSlots: number;
	readonly targets: readonly LoraTarget[];
	readonly scale: number;
	readonly output: number;
	readonly outputBytes: number;
}

/** logits and sample in one: rows are made and sampled a tile at a time, so that logits take little memory. */
export interface SampleTask {
	readonly kind: "sample";
	readonly linear: LinearTask;
	readonly softCap: number;
	readonly rowsPerTile: number;
	readonly vocabSize: number;
}
