/** Stand-ins for what a batch runs with: lines, files in memory, an engine that answers at once. */
import { ask } from "../../src/batch/ask.ts";
import { credit, type EngineLoad } from "../../src/batch/credit.ts";
import type { Sink } from "../../src/batch/journal.ts";
import { LineSet } from "../../src/batch/line-set.ts";
import { readLines } from "../../src/batch/lines.ts";
import {
	type BatchEngine,
	type BatchJob,
	type BatchProgress,
	runBatch,
} from "../../src/batch/run-batch.ts";

export const JOB = "0123456789ab";

export const LOAD: EngineLoad = {
	maxNumSeqs: 8,
	numRequestsRunning: 0,
	numBlocks: 1000,
	kvCacheUsage: 0,
};

export const requestLine = (id: string, prompt = id, more: object = {}) =>
	JSON.stringify({
		custom_id: id,
		method: "POST",
		url: "/v1/completions",
		body: { prompt, ...more },
	});

export async function* bytes(...texts: string[]): AsyncGenerator<Uint8Array> {
	for (const text of texts) yield new TextEncoder().encode(text);
}

export const linesOf = (text: string, maxBytes = 10_000) =>
	readLines(bytes(text), maxBytes, true);

export interface MemoryFile extends Sink {
	text: string;
	/** Groups that were appended. */
	readonly groups: string[];
}

export function memoryFile(): MemoryFile {
	return {
		text: "",
		groups: [],
		async append(text) {
			this.text += text;
			this.groups.push(text);
		},
	};
}

/** An engine whose answers are a function's. */
export const answeringWith = (
	fetch: (request: Request) => Promise<Response>,
): BatchEngine => ({
	answer: (request, id) => ask(fetch, request, id),
	credit: () => credit(LOAD),
	failure: null,
});

/** Answers with the prompt; `delay` lets others be in flight meanwhile. */
export const echo = (delay?: () => Promise<unknown>): BatchEngine =>
	answeringWith(async (request) => {
		const { prompt } = (await request.json()) as { prompt: string };
		await delay?.();
		return Response.json({ choices: [{ text: prompt }] });
	});

export interface Result {
	readonly output: MemoryFile;
	readonly errors: MemoryFile;
	readonly progress: BatchProgress;
}

export async function runOver(
	lines: BatchJob["lines"],
	given: Partial<BatchJob> = {},
): Promise<Result> {
	const output = memoryFile();
	const errors = memoryFile();
	const progress = await runBatch({
		jobId: JOB,
		lines,
		answered: new LineSet(),
		reported: new LineSet(),
		output,
		errors,
		engine: echo(),
		sleep: () => new Promise((resolve) => setImmediate(resolve)),
		signal: new AbortController().signal,
		...given,
	});
	return { output, errors, progress };
}

export const parsed = <T>(text: string): T[] =>
	text
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));
