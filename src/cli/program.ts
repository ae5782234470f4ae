/** The command line as commander sees it: every command, one way of help, one way of errors. */
import { Command, Help, type Option } from "commander";
import { addBenchKernels } from "./bench-kernels.ts";
import { addBenchLatency } from "./bench-latency.ts";
import { addBenchServe } from "./bench-serve.ts";
import { addBenchThroughput } from "./bench-throughput.ts";
import { addChat } from "./chat.ts";
import { addDownload } from "./download.ts";
import { addGenerate } from "./generate.ts";
import { addInspect } from "./inspect.ts";
import { addJob } from "./job.ts";
import { packageVersion } from "./model.ts";
import { addRunBatch } from "./run-batch.ts";
import { addServe } from "./serve.ts";
import { addWorker } from "./worker.ts";

const EXAMPLES = `
Examples:
  nano-vllm generate --demo
  nano-vllm generate "Once upon a time" --max-tokens 100
  nano-vllm chat Qwen/Qwen3-0.6B
  nano-vllm serve Qwen/Qwen3-0.6B --port 8000
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl
  nano-vllm inspect Qwen/Qwen3-0.6B
  nano-vllm bench throughput --num-prompts 64 --input-len 100:1024

nano-vllm COMMAND --help tells the flags of a command.
`;

export function createProgram(): Command {
	const program = new Command("nano-vllm")
		.description("A small LLM inference engine in TypeScript.")
		.version(packageVersion(), "-V, --version")
		.exitOverride()
		.configureHelp({ optionTerm, optionDescription: (o) => o.description })
		.configureOutput({ outputError })
		.addHelpText("after", EXAMPLES);
	addGenerate(program);
	addChat(program);
	addServe(program);
	addRunBatch(program);
	addWorker(program);
	addJob(program);
	addDownload(program);
	addInspect(program);
	const bench = program
		.command("bench")
		.description(
			"measure throughput or latency on random prompts, a server under load, or a device's kernels",
		);
	addBenchThroughput(bench);
	addBenchLatency(bench);
	addBenchServe(bench);
	addBenchKernels(bench);
	return program;
}

/** A switch shows both of its forms in one line. */
function optionTerm(option: Option): string {
	const isSwitch = !option.required && !option.optional && !option.short;
	const hasOpposite = /^(enable|async|skip|wasm|ignore|include)/.test(
		option.name(),
	);
	if (!isSwitch || !hasOpposite) return Help.prototype.optionTerm(option);
	return `--[no-]${option.name()}`;
}

/** commander's "error: …\n(Did you mean …?)" as one line with our code. */
function outputError(text: string, write: (text: string) => void): void {
	const line = text.trim().replace(/\s*\n\s*/g, " ");
	write(`${line.replace(/^error: /, "error [invalid_option]: ")}\n`);
}
