/** nano-vllm generate: texts in, continuations out, all in one batch. After vLLM's offline inference and nano-vllm's example.py. */
import type { Command } from "commander";
import { resolveSamplingParams, type SamplingParamsInput } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { LLM, RequestOutput } from "../index.ts";
import { addLoraFlags, type NamedAdapters, namedAdapters } from "./adapters.ts";
import {
	createMeter,
	runTasks,
	type Totals,
	totalsLine,
	totalsOf,
} from "./batch.ts";
import { DEMO_TASKS } from "./demo.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import {
	addModelFlag,
	batchLine,
	chosenModel,
	modelLine,
	openModel,
} from "./model.ts";
import { printOutputs, promptText, type TextOf } from "./print-outputs.ts";
import { readTasks, type Task } from "./prompts.ts";
import {
	addOutputFlags,
	addSamplingFlags,
	samplingOptions,
} from "./sampling-flags.ts";
import { addStructuredFlags, structuredOptions } from "./structured-flags.ts";
import {
	createStatusLine,
	note,
	paint,
	printable,
	withInterrupt,
} from "./terminal.ts";

/** Enough to see what a model does; vLLM's 16 are for programs. */
const DEFAULT_MAX_TOKENS = 256;

const EXAMPLES = `
Examples:
  nano-vllm generate --demo
  nano-vllm generate "Once upon a time" "There was a fox" --max-tokens 100
  nano-vllm generate --chat "What is a KV cache?" --stream
  nano-vllm generate "A recipe:" --json-schema recipe.schema.json
  nano-vllm generate --chat "Is 7 prime?" --choice yes,no
  nano-vllm generate --file prompts.jsonl --json > results.jsonl
  echo "Once upon a time" | nano-vllm generate -m ./my-model --temperature 0
`;

interface Options extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly file?: string;
	readonly chat?: boolean;
	readonly demo?: boolean;
	readonly stream?: boolean;
	readonly json?: boolean;
}

export function addGenerate(program: Command): void {
	const command = program
		.command("generate [prompts...]")
		.description("continue texts or answer questions, all in one batch")
		.option("-f, --file <path>", "prompts, one a line, or JSON Lines")
		.option("--chat", "each prompt is a user message for the chat template")
		.option("--demo", "a tour: eight prompts for the bundled model")
		.option("--stream", "print the one output as it comes")
		.option("--json", "print one JSON object per prompt")
		.addHelpText("after", EXAMPLES)
		.action((args: string[], options: Options) =>
			withInterrupt((signal) => generate(args, options, signal)),
		);
	addModelFlag(command);
	addLoraFlags(command);
	addSamplingFlags(command);
	addOutputFlags(command);
	addStructuredFlags(command);
	addEngineFlags(command);
}

async function generate(
	args: readonly string[],
	options: Options,
	signal: AbortSignal,
): Promise<void> {
	const { file, chat = false } = options;
	const stdin = process.stdin.isTTY ? null : process.stdin;
	const tasks = options.demo
		? DEMO_TASKS
		: await readTasks({ args, file, chat, stdin });
	if (options.stream) checkStream(tasks, options);
	const given = { ...samplingOptions(options), ...structuredOptions(options) };
	resolveSamplingParams(given); // wrong ones are told before a model is loaded
	const adapters = namedAdapters(options);
	for (const { lora } of tasks) adapters.request(lora); // as these
	const engine = adapters.withRoom(engineOptions(options));
	const model = chosenModel(undefined, options.model);
	const llm = await openModel(model, engine, signal);
	try {
		note(options.stream ? modelLine(llm) : batchLine(llm, tasks.length));
		const params: SamplingParamsInput = {
			maxTokens: DEFAULT_MAX_TOKENS,
			...llm.defaultSamplingParams,
			...given,
		};
		const textOf: TextOf = engine.skipTokenizerInit
			? ({ tokenIds }) => tokenIds.map((id) => `${id} `).join("")
			: ({ text }) => text;
		const totals = options.stream
			? await streamTask(llm, tasks[0], params, adapters, textOf, signal)
			: await batchTasks(
					llm,
					tasks,
					params,
					adapters,
					(results) => {
						if (options.json) printJson(results);
						else printOutputs(tasks, results, textOf);
					},
					signal,
				);
		note(totalsLine(totals), "green");
		if (options.demo) note(nextSteps());
	} finally {
		await llm.close();
	}
}

/** As the reader can type it: from a clone by npm, else by its own name. */
function nextSteps(): string {
	const isScript = process.env.npm_lifecycle_event !== undefined;
	const command = isScript ? "npm run nano-vllm" : "nano-vllm";
	return `next: ${command} chat · ${command} bench latency · ${command} help`;
}

/** @throws invalid_option */
function checkStream(tasks: readonly Task[], options: Options): void {
	const { n = 1 } = samplingOptions(options);
	if (tasks.length === 1 && n === 1 && !options.json) return;
	throw new NanoVllmError(
		"invalid_option",
		"--stream prints one output as it comes: give one prompt, no --n and no --json, or leave --stream out.",
	);
}

function printJson(results: readonly RequestOutput[]): void {
	for (const result of results)
		process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function batchTasks(
	llm: LLM,
	tasks: readonly Task[],
	params: SamplingParamsInput,
	adapters: NamedAdapters,
	print: (results: readonly RequestOutput[]) => void,
	signal: AbortSignal,
): Promise<Totals> {
	const status = createStatusLine();
	const meter = createMeter();
	const start = performance.now();
	let results: RequestOutput[];
	try {
		results = await runTasks(llm, tasks, params, adapters, {
			signal,
			progress: (progress) => status.show(meter(progress)),
		});
	} finally {
		status.clear();
	}
	const seconds = (performance.now() - start) / 1000;
	print(results);
	return totalsOf(results, seconds);
}

async function streamTask(
	llm: LLM,
	task: Task,
	params: SamplingParamsInput,
	adapters: NamedAdapters,
	textOf: TextOf,
	signal: AbortSignal,
): Promise<Totals> {
	const start = performance.now();
	const loraRequest = adapters.request(task.lora);
	const deltas =
		task.kind === "chat"
			? llm.streamChat(task.messages, params, { signal, loraRequest })
			: llm.stream(task.prompt, params, { signal, loraRequest });
	if (process.stdout.isTTY && task.kind === "continue")
		process.stdout.write(paint("cyan", printable(promptText(task))));
	for (;;) {
		const { value, done } = await deltas.next();
		if (done) {
			process.stdout.write("\n");
			const seconds = (performance.now() - start) / 1000;
			return totalsOf([value], seconds);
		}
		process.stdout.write(printable(textOf(value)));
	}
}
