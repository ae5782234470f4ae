/** What the benchmarks share: flags, an engine without text, the report. */
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import type { EngineConfig, SamplingParamsInput } from "../config.ts";
import type { LLM } from "../index.ts";
import { loadPlatform } from "../platform/detect.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { table } from "./format.ts";
import { addModelFlag, chosenModel, openModel } from "./model.ts";
import { parseNumber } from "./values.ts";

export interface BenchOptions extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly json?: string;
	readonly temperature: number;
	/** Of the engine and of the prompts. */
	readonly seed?: number;
}

export function addBenchFlags(command: Command): Command {
	command
		.option(
			"--temperature <x>",
			"of the samples [default: 0.6]",
			parseNumber,
			0.6,
		)
		.option("--json <file>", "write the figures as one JSON object");
	return addEngineFlags(addModelFlag(command));
}

/** Prompts and outputs are token ids: a tokenizer is loaded only if asked for, so config.json with dummy weights is enough. */
export function openForBench(
	model: string | undefined,
	options: BenchOptions,
	engine: Partial<EngineConfig>,
	signal: AbortSignal,
): Promise<LLM> {
	const given = engineOptions(options);
	return openModel(
		chosenModel(model, options.model),
		{ skipTokenizerInit: true, ...engine, ...given },
		signal,
	);
}

/** Exactly `outputLen` tokens. */
export const fixedLength = (
	outputLen: number,
	temperature: number,
): SamplingParamsInput => ({
	maxTokens: outputLen,
	ignoreEos: true,
	temperature,
	detokenize: false,
});

export const modelName = (llm: LLM): string => basename(llm.modelName);

export async function peakRssBytes(): Promise<number | null> {
	return (await loadPlatform()).peakRssBytes() ?? null;
}

/** A table for people on stdout; the object for programs in the file. */
export async function report(
	rows: readonly (readonly [string, string])[],
	figures: object,
	file: string | undefined,
): Promise<void> {
	process.stdout.write(`${table(rows)}\n`);
	await writeFigures(figures, file);
}

export async function writeFigures(
	figures: object,
	file: string | undefined,
): Promise<void> {
	if (file !== undefined)
		await writeFile(file, `${JSON.stringify(figures, null, 2)}\n`);
}
