/** One batch from a file to a file, as run-batch does it, for benches. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LineSet } from "../src/batch/line-set.ts";
import { readLines } from "../src/batch/lines.ts";
import { runBatch } from "../src/batch/run-batch.ts";
import { batchEngine } from "../src/cli/batch-engine.ts";
import { chunksOf, GrowingFile } from "../src/cli/batch-files.ts";
import type { LLM } from "../src/index.ts";

/** A line of the input: exactly `maxTokens` greedy tokens. */
export function batchLine(
	i: number,
	prompt: string | readonly number[],
	maxTokens: number,
): string {
	const sampling = { temperature: 0, ignore_eos: true };
	const body = { prompt, max_tokens: maxTokens, ...sampling };
	const url = "/v1/completions";
	return `${JSON.stringify({ custom_id: `${i}`, method: "POST", url, body })}\n`;
}

/** Answers all lines of `input` into new files of `folder`. @throws where one is not answered */
export async function answerFile(
	llm: LLM,
	input: string,
	folder: string,
	round: number,
	numRequests: number,
): Promise<void> {
	const output = await GrowingFile.open(join(folder, `out${round}.jsonl`));
	const errors = await GrowingFile.open(join(folder, `errors${round}.jsonl`));
	const { numDone, numFailed } = await runBatch({
		jobId: "bench",
		lines: readLines(chunksOf(input), 1e6, true),
		answered: new LineSet(),
		reported: new LineSet(),
		output,
		errors,
		engine: batchEngine(llm, {}),
		sleep,
		signal: new AbortController().signal,
	});
	await output.close();
	await errors.close();
	if (numDone !== numRequests || numFailed !== 0)
		throw new Error(`${numDone} done, ${numFailed} failed`);
}
