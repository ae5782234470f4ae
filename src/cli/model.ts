/** Opens the model a command names, telling the terminal how far it is; the bundled one where none is named. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import type { EngineConfig } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import { LLM, type LoadProgress } from "../index.ts";
import { plural, short, size } from "./format.ts";
import { createStatusLine } from "./terminal.ts";

/** The package's folder, from src/cli/ as from dist/cli/. */
const ROOT = new URL("../../", import.meta.url);
/** The published package has it once, where pages find it too. */
const [BUNDLED] = ["demo-model", "dist/web/demo-model"]
	.map((path) => fileURLToPath(new URL(path, ROOT)))
	.filter((path) => existsSync(join(path, "config.json")));

export const packageVersion = (): string =>
	JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8")).version;

export const addModelFlag = (command: Command): Command =>
	command.option(
		"-m, --model <path>",
		"directory or URL with config.json, tokenizer.json and *.safetensors, a *.gguf, or ORG/NAME[@REVISION] on the Hugging Face hub (default: the bundled demo-model)",
	);

/** A model may be named by place or by --model, not by both. @throws invalid_option */
export function chosenModel(
	positional: string | undefined,
	flag: string | undefined,
): string {
	if (positional !== undefined && flag !== undefined && positional !== flag)
		throw new NanoVllmError(
			"invalid_option",
			`two models are named, ${positional} and --model ${flag}. Name one.`,
		);
	return positional ?? flag ?? BUNDLED;
}

export async function openModel(
	model: string,
	options: Partial<EngineConfig>,
	signal?: AbortSignal,
): Promise<LLM> {
	const status = createStatusLine();
	try {
		return await LLM.load(model, {
			...options,
			signal,
			onProgress: (progress) => status.show(progressLine(model, progress)),
		});
	} finally {
		status.clear();
	}
}

/** "downloading Qwen3-0.6B 42% of 1.5 GB" */
export function progressLine(
	model: string,
	{ stage, loadedBytes, totalBytes }: LoadProgress,
): string {
	const percent = Math.floor((100 * loadedBytes) / (totalBytes || 1));
	const name = basename(model);
	switch (stage) {
		case "download":
			return `downloading ${name} ${percent}% of ${size(totalBytes)}`;
		case "load":
			return `loading ${name} ${percent}%`;
		default:
			return stage satisfies never;
	}
}

/** "demo-model · Qwen3, 5.2M parameters · on cpu" */
export function modelLine(llm: LLM): string {
	const { architecture } = llm.modelConfig;
	const family = architecture.replace(
		/For(CausalLM|ConditionalGeneration)$/,
		"",
	);
	const parameters = short(llm.numParameters);
	return `${basename(llm.modelName)} · ${family}, ${parameters} parameters · on ${llm.device}`;
}

export const batchLine = (llm: LLM, numPrompts: number): string =>
	`${modelLine(llm)} · ${plural(numPrompts, "prompt")} in one batch`;
