/** nano-vllm run-batch: a file of OpenAI batch requests → a file of answers; started again it goes on where it was. After vLLM's run-batch. */
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { basename, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { readLines } from "../batch/lines.ts";
import { errorLine, isFailed } from "../batch/records.ts";
import { recover } from "../batch/recover.ts";
import { type BatchProgress, runBatch } from "../batch/run-batch.ts";
import type { EngineConfig } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import {
	resolveServerOptions,
	SERVER_DEFAULTS,
	type ServerOptions,
} from "../server/options.ts";
import { batchEngine } from "./batch-engine.ts";
import {
	chunksOf,
	GrowingFile,
	type Measured,
	measure,
} from "./batch-files.ts";
import { type BatchMeter, createBatchMeter } from "./batch-meter.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { addFlags, type FlagTable, givenFlags } from "./flags.ts";
import { plural } from "./format.ts";
import { lockFile } from "./lock-file.ts";
import { addModelFlag, chosenModel, modelLine, openModel } from "./model.ts";
import { SERVER_FLAG_DEFAULTS, SERVER_FLAGS } from "./serve-flags.ts";
import { note, withInterrupt } from "./terminal.ts";

const EXAMPLES = `
Examples:
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl --model Qwen/Qwen3-0.6B
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl --served-model-name gpt-4o-mini

A line: {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"prompt": "Once upon a time", "max_tokens": 50}}
Killed, it goes on when it is started again with the same arguments.
`;

interface Options extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly inputFile: string;
	readonly outputFile: string;
	readonly errorsFile?: string;
}

/** Of the server's flags, those that are about answers. */
const ANSWER_FLAGS: FlagTable = {
	servedModelName: SERVER_FLAGS.servedModelName,
	maxBodyBytes: SERVER_FLAGS.maxBodyBytes,
	enableAutoToolChoice: SERVER_FLAGS.enableAutoToolChoice,
	toolCallParser: SERVER_FLAGS.toolCallParser,
	reasoningParser: SERVER_FLAGS.reasoningParser,
};

/** Of the engine's options, those that change what is answered; a run may go on with others on another device. */
const ANSWER_OPTIONS = [
	"dtype",
	"quantization",
	"loadFormat",
	"revision",
	"maxModelLen",
	"kvCacheDtype",
	"seed",
] as const satisfies readonly (keyof EngineConfig)[];

/** The line around a body: custom_id, method, url. */
const MAX_ENVELOPE_BYTES = 64 * 1024;

export function addRunBatch(program: Command): void {
	const command = program
		.command("run-batch")
		.description("answer a file of OpenAI batch requests, resumably")
		.requiredOption(
			"-i, --input-file <path>",
			"requests, one JSON object a line",
		)
		.requiredOption(
			"-o, --output-file <path>",
			"answers, in the order they end",
		)
		.option(
			"--errors-file <path>",
			"lines that failed, with their numbers (default: OUTPUT.errors.jsonl)",
		)
		.addHelpText("after", EXAMPLES)
		.action((options: Options) =>
			withInterrupt((signal) => batch(options, signal)),
		);
	addModelFlag(command);
	addFlags(command, "Answers:", ANSWER_FLAGS, SERVER_FLAG_DEFAULTS);
	addEngineFlags(command);
}

async function batch(options: Options, signal: AbortSignal): Promise<void> {
	const { inputFile, outputFile } = options;
	const errorsFile = options.errorsFile ?? `${outputFile}.errors.jsonl`;
	checkApart(inputFile, outputFile, errorsFile);
	const model = chosenModel(undefined, options.model);
	const engine = engineOptions(options);
	const given = answerOptions(model, options);
	const measured = await measure(inputFile, signal);
	const jobId = jobIdOf(measured, model, engine, given);
	const release = await lockFile(outputFile);
	try {
		await using files = new AsyncDisposableStack();
		const open = async (path: string) =>
			files.adopt(await GrowingFile.open(path), (file) => file.close());
		const output = await open(outputFile);
		const errors = await open(errorsFile);
		const done = await resume(output, errors, jobId);
		const llm = await openModel(model, engine, signal);
		files.defer(() => llm.close());
		note(`${modelLine(llm)} · ${plural(measured.numLines, "line")}`);
		const meter = createBatchMeter(measured.numLines, () => llm.stats());
		const maxBytes = given.maxBodyBytes ?? SERVER_DEFAULTS.maxBodyBytes;
		const lines = readLines(
			chunksOf(inputFile),
			maxBytes + MAX_ENVELOPE_BYTES,
			true,
		);
		const job = { jobId, lines, ...done, output, errors, signal };
		const totals = await metered(meter, (onProgress) =>
			runBatch({ ...job, engine: batchEngine(llm, given), sleep, onProgress }),
		);
		note(meter.totals(totals), "green");
		if (totals.numFailed > 0)
			note(`${plural(totals.numFailed, "line")} failed: see ${errorsFile}`);
	} finally {
		release();
	}
}

async function metered(
	meter: BatchMeter,
	run: (
		onProgress: (progress: BatchProgress) => void,
	) => Promise<BatchProgress>,
): Promise<BatchProgress> {
	try {
		return await run((progress) => meter.show(progress));
	} finally {
		meter.clear();
	}
}

/** @throws invalid_option */
function checkApart(...paths: string[]): void {
	if (new Set(paths.map((path) => resolve(path))).size === paths.length) return;
	throw new NanoVllmError(
		"invalid_option",
		`--input-file, --output-file and --errors-file must be three files, got ${paths.join(", ")}.`,
	);
}

/** @throws invalid_option, before a model is loaded */
function answerOptions(
	model: string,
	options: Options,
): Partial<ServerOptions> {
	const isId = /^[\w.-]+\/[\w.-]+/.test(model);
	const given = {
		servedModelName: [isId ? model : basename(model)],
		...givenFlags<ServerOptions>(ANSWER_FLAGS, options),
	};
	resolveServerOptions(given);
	return given;
}

/** Twelve hexadecimal digits of a hash of all that decides what is answered. */
function jobIdOf(
	{ sha256 }: Measured,
	model: string,
	engine: Partial<EngineConfig>,
	given: Partial<ServerOptions>,
): string {
	const options = ANSWER_OPTIONS.map((key) => engine[key] ?? null);
	const named = placeOf(model);
	const all = JSON.stringify([1, sha256, named, options, given]);
	return createHash("sha256").update(all).digest("hex").slice(0, 12);
}

/** A folder is the same by any way that leads to it. */
function placeOf(model: string): string {
	try {
		return realpathSync(model);
	} catch {
		return model;
	}
}

/** Cuts torn tails off, and tells the errors file what it missed. */
async function resume(output: GrowingFile, errors: GrowingFile, jobId: string) {
	const told = await recover(errors.path, errors.chunks(), jobId);
	const missed: { readonly line: number; readonly text: string }[] = [];
	const written = await recover(
		output.path,
		output.chunks(),
		jobId,
		({ line, record }) => {
			if (!isFailed(record) || told.lines.has(line)) return;
			missed.push({ line, text: errorLine(record, line) });
		},
	);
	await errors.cut(told.numWholeBytes);
	await output.cut(written.numWholeBytes);
	if (missed.length > 0)
		await errors.append(missed.map(({ text }) => text).join(""));
	for (const { line } of missed) told.lines.add(line);
	return { answered: written.lines, reported: told.lines };
}
