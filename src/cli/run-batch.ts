/** nano-vllm run-batch: a file of OpenAI batch requests → a file of answers; started again it goes on where it was. After vLLM's run-batch. */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { readLines } from "../batch/lines.ts";
import { errorLine, isFailed } from "../batch/records.ts";
import { recover } from "../batch/recover.ts";
import {
	type BatchEngine,
	type BatchProgress,
	runBatch,
} from "../batch/run-batch.ts";
import { NanoVllmError } from "../errors.ts";
import { SERVER_DEFAULTS, type ServerOptions } from "../server/options.ts";
import {
	ANSWER_FLAGS,
	answerOptions,
	jobIdOf,
	modelName,
} from "./answer-options.ts";
import { batchEngine } from "./batch-engine.ts";
import { chunksOf, GrowingFile, measure } from "./batch-files.ts";
import { type Counts, createBatchMeter } from "./batch-meter.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { addFlags } from "./flags.ts";
import { plural } from "./format.ts";
import { addJobFlags, openJob } from "./job-engine.ts";
import { lockFile } from "./lock-file.ts";
import { addModelFlag, chosenModel, modelLine, openModel } from "./model.ts";
import { SERVER_FLAG_DEFAULTS } from "./serve-flags.ts";
import { note, withInterrupt } from "./terminal.ts";

const EXAMPLES = `
Examples:
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl --model Qwen/Qwen3-0.6B
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl --served-model-name gpt-4o-mini
  nano-vllm run-batch -i requests.jsonl -o answers.jsonl --model Qwen/Qwen3-0.6B --nats nats://broker:4222 --job nightly

A line: {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"prompt": "Once upon a time", "max_tokens": 50}}
Killed, it goes on when it is started again with the same arguments.
`;

export interface Options extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly inputFile: string;
	readonly outputFile: string;
	readonly errorsFile?: string;
	readonly nats?: string;
	readonly job?: string;
}

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
	addJobFlags(command);
	addEngineFlags(command);
}

/** What answers a batch: an LLM here, or the workers of a job. */
export interface OpenedEngine {
	readonly engine: BatchEngine;
	/** For people. */
	readonly line: string;
	stats(): Counts;
	onProgress?(progress: BatchProgress): void;
	/** Every line is done, and on the disk. */
	onDone?(): Promise<void>;
	close(): Promise<void>;
}

/** Opened last, when all else is found right. */
export interface BatchToOpen {
	readonly model: string;
	readonly options: Options;
	readonly given: Partial<ServerOptions>;
	readonly jobId: string;
	readonly numLines: number;
	readonly outputPath: string;
	readonly isWritten: (line: number) => boolean;
	readonly signal: AbortSignal;
}

async function batch(options: Options, signal: AbortSignal): Promise<void> {
	const { inputFile, outputFile } = options;
	const errorsFile = options.errorsFile ?? `${outputFile}.errors.jsonl`;
	checkApart(inputFile, outputFile, errorsFile);
	const model = chosenModel(undefined, options.model);
	const given = answerOptions(model, options);
	const { numLines, sha256 } = await measure(inputFile, signal);
	const place = options.nats === undefined ? placeOf(model) : modelName(model);
	const jobId = jobIdOf(sha256, place, engineOptions(options), given);
	const release = await lockFile(outputFile);
	try {
		await using files = new AsyncDisposableStack();
		const open = async (path: string) =>
			files.adopt(await GrowingFile.open(path), (file) => file.close());
		const output = await open(outputFile);
		const errors = await open(errorsFile);
		const done = await resume(output, errors, jobId);
		const opened = await (options.nats === undefined ? openHere : openJob)({
			...{ model, options, given, jobId, numLines, signal },
			outputPath: realpathSync(outputFile),
			isWritten: (line) => done.answered.has(line),
		});
		files.defer(() => opened.close());
		note(`${opened.line} · ${plural(numLines, "line")}`);
		const maxBytes = given.maxBodyBytes ?? SERVER_DEFAULTS.maxBodyBytes;
		const lines = readLines(
			chunksOf(inputFile),
			maxBytes + MAX_ENVELOPE_BYTES,
			true,
		);
		const job = { jobId, lines, ...done, output, errors, signal, sleep };
		const { numFailed } = await metered(opened, numLines, job);
		await opened.onDone?.();
		if (numFailed > 0)
			note(`${plural(numFailed, "line")} failed: see ${errorsFile}`);
	} finally {
		release();
	}
}

async function openHere(batch: BatchToOpen): Promise<OpenedEngine> {
	const { given, model, options, signal } = batch;
	const llm = await openModel(model, engineOptions(options), signal);
	return {
		engine: batchEngine(llm, given),
		line: modelLine(llm),
		stats: () => llm.stats(),
		close: () => llm.close(),
	};
}

async function metered(
	{ engine, stats, onProgress }: OpenedEngine,
	numLines: number,
	job: Omit<Parameters<typeof runBatch>[0], "engine">,
): Promise<BatchProgress> {
	const meter = createBatchMeter(numLines, stats);
	const show = (progress: BatchProgress) => {
		meter.show(progress);
		onProgress?.(progress);
	};
	try {
		const totals = await runBatch({ ...job, engine, onProgress: show });
		meter.clear();
		note(meter.totals(totals), "green");
		return totals;
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
