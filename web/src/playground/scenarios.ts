/** Guided comparisons: two runs of the same requests that differ in one setting, and the figure that shows why the setting is there. */
import { sentences } from "./prompt-text.ts";
import type { EngineFigures, RunFigures } from "./run-figures.ts";
import type { Request } from "./workload.ts";

/** EngineSettings, but for the pool, which is told in tokens: how many bytes those are depends on the model and the device. */
export interface PoolSettings {
	readonly maxNumBatchedTokens: number;
	readonly maxNumSeqs: number;
	readonly blockSize: number;
	readonly poolTokens: number;
	readonly enableChunkedPrefill: boolean;
	readonly enablePrefixCaching: boolean;
}

export interface Variant {
	readonly name: string;
	readonly settings: PoolSettings;
}

/** The figure that a scenario is about: B's is the smaller one, or the larger. */
export interface KeyFigure {
	readonly name: string;
	readonly better: "less" | "more";
	readonly of: (engine: EngineFigures) => number;
}

export interface Scenario {
	readonly id: string;
	readonly title: string;
	/** Read before the run, in order. */
	readonly story: readonly string[];
	readonly requests: () => Request[];
	readonly a: Variant;
	readonly b: Variant;
	/** Counted, so that every run of it comes out alike. */
	readonly key: KeyFigure;
	/** Timed: what it feels like on this machine. */
	readonly feel: {
		readonly name: string;
		readonly unit: "ms" | "tok/s";
		readonly better: "less" | "more";
		readonly of: (figures: RunFigures) => number;
	};
	/** What to look at in the pictures. */
	readonly look: string;
}

const BASE: PoolSettings = {
	maxNumBatchedTokens: 1024,
	maxNumSeqs: 16,
	blockSize: 16,
	poolTokens: 8192,
	enableChunkedPrefill: true,
	enablePrefixCaching: true,
};

const throughput = {
	name: "Throughput",
	unit: "tok/s",
	better: "more",
	of: (figures: RunFigures) => figures.outputTokensPerSecond,
} as const;
const ttft = {
	name: "Mean time to first token",
	unit: "ms",
	better: "less",
	of: (figures: RunFigures) => figures.meanTtftMs,
} as const;

/** Requests alike in length, each with a prompt of its own. */
function alike(
	numRequests: number,
	numWords: number,
	numOutputTokens: number,
): Request[] {
	return Array.from({ length: numRequests }, (_, i) => ({
		prompt: `${i + 1}. ${sentences(100 + i, numWords)}`,
		numOutputTokens,
		afterTokens: 0,
	}));
}

const batching: Scenario = {
	id: "batching",
	title: "Why batching",
	story: [
		"For every token the whole model is read from memory, whether for one sequence or for sixteen.",
		"A runs sixteen requests one after the other. B runs them together: each step gives every sequence its next token.",
		"The same tokens come out of a sixteenth of the steps, and a step of sixteen rows costs far less than sixteen steps.",
	],
	requests: () => alike(16, 12, 24),
	a: { name: "one at a time", settings: { ...BASE, maxNumSeqs: 1 } },
	b: { name: "sixteen together", settings: BASE },
	key: { name: "Steps", better: "less", of: (engine) => engine.numSteps },
	feel: throughput,
	look: "In A one lane is busy and the queue waits. In B sixteen lanes end at about the same time.",
};

const pages: Scenario = {
	id: "pages",
	title: "Why pages",
	story: [
		"A sequence grows, and nobody knows how long it gets. Room for the longest answer, reserved at the start, mostly stays empty.",
		"Both runs have the same memory, 2,048 tokens. A takes it in blocks of 512, room for a whole request at once. B takes it in blocks of 16, one more whenever a sequence needs it.",
		"Blocks lie anywhere in the pool; the block table says where. So B wastes less than one small block a sequence, and more sequences fit.",
	],
	requests: () => alike(16, 28, 56),
	a: {
		name: "blocks of 512",
		settings: { ...BASE, poolTokens: 2048, blockSize: 512 },
	},
	b: {
		name: "blocks of 16",
		settings: { ...BASE, poolTokens: 2048, blockSize: 16 },
	},
	key: {
		name: "Sequences at once",
		better: "more",
		of: (engine) => engine.maxNumRows,
	},
	feel: throughput,
	look: "A's four blocks are all taken by four sequences, though most of each is empty, and the others wait. B's small blocks fill up one by one, and all take part.",
};

const chunking: Scenario = {
	id: "chunking",
	title: "Why chunk",
	story: [
		"Six answers are being written when a long prompt arrives.",
		"A computes the prompt in one step. Everybody else waits for that step to end: the answers stutter.",
		"B cuts the prompt into chunks that fill what the decodes leave of a small token budget. Each step stays short, and the answers flow on.",
	],
	requests: () => [
		...alike(6, 12, 64),
		{
			prompt: sentences(7, 600),
			numOutputTokens: 4,
			afterTokens: 60,
		},
	],
	a: {
		name: "whole prompts",
		settings: { ...BASE, enableChunkedPrefill: false },
	},
	b: {
		name: "chunks, budget 64",
		settings: { ...BASE, maxNumBatchedTokens: 64 },
	},
	key: {
		name: "Tokens of the largest step",
		better: "less",
		of: (engine) => engine.maxNumTokens,
	},
	feel: {
		name: "Longest gap between two tokens of an answer",
		unit: "ms",
		better: "less",
		of: (figures) => figures.longestGapMs,
	},
	look: "Upper part: A has one tall column, B a row of even ones. Lower part: in B the long prompt is a thick band beside thin ones that never stop.",
};

const prefix: Scenario = {
	id: "prefix",
	title: "What a prefix hit saves",
	story: [
		"Eight requests begin with the same long text, as a chat's system prompt or a document that many questions are asked about.",
		"A computes that text eight times. B finds its blocks in the pool, by what they hold, and computes it once.",
		"Found blocks are shared, not copied: a reference count says how many sequences read them.",
	],
	requests: () => {
		const shared = sentences(3, 260);
		return Array.from({ length: 8 }, (_, i) => ({
			prompt: `${shared} ${i + 1}. ${sentences(30 + i, 10)}`,
			numOutputTokens: 16,
			afterTokens: i === 0 ? 0 : 1,
		}));
	},
	a: {
		name: "no prefix cache",
		settings: { ...BASE, enablePrefixCaching: false },
	},
	b: { name: "prefix cache", settings: BASE },
	key: {
		name: "Prompt tokens computed",
		better: "less",
		of: (engine) => engine.numPromptTokens,
	},
	feel: ttft,
	look: "B's map has a row of blocks with an 8: held by eight sequences. A's is eight times as full of the same text.",
};

const memory: Scenario = {
	id: "memory",
	title: "When memory runs out",
	story: [
		"Ten answers grow at once. In A the pool is too small for all of them.",
		"When a sequence needs a block and none is free, the one that came last gives up its blocks, waits, and is computed again later. That is a preemption: nothing is lost, but work is done twice.",
		"B has room for all. How large a pool must be: sequences at once, times the tokens of a prompt and its answer.",
	],
	requests: () => alike(10, 40, 56),
	a: {
		name: "pool of 512 tokens",
		settings: { ...BASE, poolTokens: 512, maxNumBatchedTokens: 256 },
	},
	b: {
		name: "pool of 2,048 tokens",
		settings: { ...BASE, poolTokens: 2048, maxNumBatchedTokens: 256 },
	},
	key: {
		name: "Preemptions",
		better: "less",
		of: (engine) => engine.numPreemptions,
	},
	feel: throughput,
	look: "Red bars in A's lanes: a sequence lost its place there. Its lane goes to others, and it starts again as a prefill.",
};

export const SCENARIOS: readonly Scenario[] = [
	batching,
	pages,
	chunking,
	prefix,
	memory,
];
