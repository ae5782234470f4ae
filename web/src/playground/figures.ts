/** The figures of runs as tables show them: name, unit, how they are written, which way is better. */
import { count, measure, percent } from "../inspector/numbers.ts";
import type { EngineFigures, RunFigures } from "./run-figures.ts";

export interface Figure {
	readonly name: string;
	/** null: the engine does not show it. */
	readonly text: (figures: RunFigures) => string | null;
	/** One line for who meets the word for the first time. */
	readonly meaning: string;
}

const ofEngine =
	(write: (engine: EngineFigures) => string) =>
	({ engine }: RunFigures): string | null =>
		engine && write(engine);

export const FIGURES: readonly Figure[] = [
	{
		name: "Throughput",
		text: (it) => `${measure(it.outputTokensPerSecond)} tok/s`,
		meaning: "output tokens of all answers, each second",
	},
	{
		name: "TTFT, mean",
		text: (it) => `${measure(it.meanTtftMs)} ms`,
		meaning: "from sending a prompt to its first token",
	},
	{
		name: "TTFT, worst",
		text: (it) => `${measure(it.maxTtftMs)} ms`,
		meaning: "of the prompt that waited longest",
	},
	{
		name: "Longest gap",
		text: (it) => `${measure(it.longestGapMs)} ms`,
		meaning: "between two tokens of one answer",
	},
	{
		name: "Time",
		text: (it) => `${measure(it.seconds)} s`,
		meaning: "until the last answer was there",
	},
	{
		name: "Output tokens",
		text: (it) => count(it.numOutputTokens),
		meaning: "of all answers",
	},
	{
		name: "Steps",
		text: ofEngine((it) => count(it.numSteps)),
		meaning: "passes through the model",
	},
	{
		name: "Sequences at once",
		text: ofEngine((it) => count(it.maxNumRows)),
		meaning: "in the fullest step",
	},
	{
		name: "Largest step",
		text: ofEngine((it) => `${count(it.maxNumTokens)} tokens`),
		meaning: "everybody in it waits as long as it takes",
	},
	{
		name: "Prompt tokens computed",
		text: ofEngine((it) => count(it.numPromptTokens)),
		meaning: "less where prefixes are found, more after preemptions",
	},
	{
		name: "Prefix hits",
		text: ofEngine((it) =>
			it.numPrefixQueryTokens === 0
				? "0"
				: `${count(it.numPrefixHitTokens)} tokens, ${percent(it.numPrefixHitTokens / it.numPrefixQueryTokens)}`,
		),
		meaning: "prompt tokens found in the pool",
	},
	{
		name: "Preemptions",
		text: ofEngine((it) => count(it.numPreemptions)),
		meaning: "sequences that gave up their blocks",
	},
	{
		name: "Blocks evicted",
		text: ofEngine((it) => count(it.numEvictedBlocks)),
		meaning: "cached prefixes dropped to make room",
	},
	{
		name: "Pool used",
		text: ofEngine((it) =>
			percent(it.maxNumUsedBlocks / Math.max(1, it.numBlocks)),
		),
		meaning: "blocks held in the fullest moment",
	},
];
