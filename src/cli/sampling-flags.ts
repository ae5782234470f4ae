/** Sampling parameters as flags of generate and chat. What is not given stays what the model's authors advise. */
import type { Command } from "commander";
import type { SamplingParams, SamplingParamsInput } from "../config.ts";
import { addFlags, type Flag, givenFlags } from "./flags.ts";
import {
	collect,
	parseCount,
	parseInteger,
	parseIntegers,
	parseNumber,
} from "./values.ts";

const number = (about: string): Flag => ({
	about,
	value: "x",
	parse: parseNumber,
});
const integer = (about: string): Flag => ({
	about,
	value: "n",
	parse: parseInteger,
});

export const SAMPLING_FLAGS = {
	temperature: number("0 takes the most likely token"),
	topP: number("keep the most likely tokens up to this probability"),
	topK: integer("keep the k most likely tokens; 0: all"),
	minP: number("keep tokens at least this likely, relative to the best"),
	maxTokens: { about: "longest output", value: "n", parse: parseCount },
	minTokens: integer("no end before this many tokens"),
	presencePenalty: number("against tokens already in the output"),
	frequencyPenalty: number("the same, per occurrence"),
	repetitionPenalty: number("against tokens in prompt or output; 1: off"),
	stop: {
		about: "text that ends the output (may be repeated)",
		value: "text",
		parse: collect as Flag["parse"],
	},
	stopTokenIds: {
		about: "token ids that end the output, e.g. 2,7",
		value: "ids",
		parse: parseIntegers as Flag["parse"],
	},
	ignoreEos: { about: "go on past the end-of-sequence token" },
	allowedTokenIds: {
		about: "only these may be sampled, e.g. 15,16,17",
		value: "ids",
		parse: parseIntegers as Flag["parse"],
	},
	badWords: {
		about: "text that is never completed (may be repeated)",
		value: "text",
		parse: collect as Flag["parse"],
	},
	skipSpecialTokens: { about: "leave special tokens out of the text" },
	includeStopStrInOutput: { about: "keep the stop text" },
	seed: {
		...integer("same seed, same output; --seed is the engine's"),
		name: "sampling-seed",
	},
} satisfies Partial<Record<keyof SamplingParams, Flag>>;

/** What makes sense only where all outputs are printed at the end. */
export const OUTPUT_FLAGS = {
	n: integer("outputs per prompt"),
	logprobs: integer("log-probabilities of the k best tokens, with --json"),
	promptLogprobs: integer("the same for the prompt's tokens"),
} satisfies Partial<Record<keyof SamplingParams, Flag>>;

const HEADING = "Sampling (where left out: the model's generation_config):";

export const addSamplingFlags = (command: Command): Command =>
	addFlags(command, HEADING, SAMPLING_FLAGS);

export const addOutputFlags = (command: Command): Command =>
	addFlags(command, HEADING, OUTPUT_FLAGS);

export const samplingOptions = (
	options: Readonly<Record<string, unknown>>,
): SamplingParamsInput =>
	givenFlags({ ...SAMPLING_FLAGS, ...OUTPUT_FLAGS }, options);
