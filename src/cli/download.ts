/** nano-vllm download: a model of the hub into the cache that Python's libraries use too; stdout is where it lies. */
import type { Command } from "commander";
import { NanoVllmError } from "../errors.ts";
import { downloadModel } from "../hub/files.ts";
import { parseModelId } from "../hub/model-id.ts";
import { loadPlatform } from "../platform/detect.ts";
import { progressLine } from "./model.ts";
import { createStatusLine, note, withInterrupt } from "./terminal.ts";
import { collect } from "./values.ts";

const EXAMPLES = `
A model is ORG/NAME, with @REVISION for a branch, tag or commit, and :FILE or :QUANTIZATION for one GGUF file. Downloads that
were cut go on where they ended. HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean in Python.

Examples:
  nano-vllm download Qwen/Qwen3-0.6B
  nano-vllm download Qwen/Qwen3-0.6B-GGUF:Q8_0
  nano-vllm download Qwen/Qwen3-0.6B --revision main --include "*.json" --include "*.md"
`;

interface Options {
	readonly revision?: string;
	readonly include?: string[];
}

export function addDownload(program: Command): void {
	program
		.command("download <model>")
		.description("fetch a model of the Hugging Face hub")
		.option("--revision <name>", "branch, tag or commit (default: main)")
		.option(
			"--include <pattern>",
			"files to fetch, with * and ?; may come again (default: what the model needs)",
			collect,
		)
		.addHelpText("after", EXAMPLES)
		.action((model: string, options: Options) =>
			withInterrupt((signal) => download(model, options, signal)),
		);
}

async function download(
	model: string,
	{ revision, include }: Options,
	signal: AbortSignal,
): Promise<void> {
	const id = parseModelId(model, revision ?? null);
	if (id === null)
		throw new NanoVllmError(
			"invalid_option",
			`wanted a model of the hub, like Qwen/Qwen3-0.6B, got ${model}.`,
		);
	const status = createStatusLine();
	let fetchedBytes = 0;
	try {
		const { folder, paths } = await downloadModel(id, await loadPlatform(), {
			include: include ?? null,
			signal,
			onProgress(loadedBytes, totalBytes) {
				const stage = "download";
				status.show(progressLine(model, { stage, loadedBytes, totalBytes }));
				fetchedBytes = totalBytes;
			},
		});
		status.clear();
		if (fetchedBytes === 0) note("all of it was here already.");
		const [gguf] = paths.filter((path) => /\.gguf$/i.test(path));
		process.stdout.write(`${gguf ? `${folder}/${gguf}` : folder}\n`);
	} finally {
		status.clear();
	}
}
