/**
 * One thread's walk over the plan: it takes shares of each task and meets the other threads after each. The same code runs in a
 * worker and, where memory cannot be shared, on the calling thread alone.
 */
import type { Kernels } from "./kernels.ts";
import type { EmbedTask, Plan, SampleTask } from "./plan.ts";
import { HEADER, ROW, ROW_WORDS } from "./step.ts";
import { createThread, type Thread } from "./thread.ts";
import { runGate, runLora } from "./walk-adapters.ts";
import { runAttention, runRopeAndCache } from "./walk-attention.ts";
import { runExperts } from "./walk-experts.ts";
import { runAddRows, runLinear } from "./walk-linear.ts";

export interface Walker {
	/** Runs the step whose header is at `header`. Every thread calls it with the same one. */
	run(header: number): void;
}

export function createWalker(
	plan: Plan,
	kernels: Kernels,
	memory: WebAssembly.Memory,
	thread: number,
): Walker {
	const it = createThread(plan, kernels, memory, thread);
	return {
		run(headerAddress) {
			const header = headerAddress / 4;
			const numTokens = it.words[header + HEADER.numTokens];
			if (thread === 0) carry(it, header);
			it.meet();
			for (const task of plan.tasks) {
				switch (task.kind) {
					case "embed":
						runEmbed(it, task, header);
						break;
					case "linear":
						runLinear(it, task, numTokens, 0);
						break;
					case "addRows":
						runAddRows(it, task, numTokens);
						break;
					case "ropeAndCache":
						runRopeAndCache(it, task, header);
						break;
					case "attention":
						runAttention(it, task, header);
						break;
					case "experts":
						runExperts(it, task, numTokens);
						break;
					case "gate":
						runGate(it, task, numTokens);
						break;
					case "lora":
						runLora(it, task, header);
						break;
					case "sample":
						runSample(it, task, header);
						break;
					default:
						task satisfies never;
				}
			}
		},
	};
}

/** Fills in the tokens the step before sampled. */
function carry({ words, ints }: Thread, header: number): void {
	const ids = words[header + HEADER.tokenIds] / 4;
	const to = words[header + HEADER.carryTo] / 4;
	const from = words[header + HEADER.carryFrom] / 4;
	const row = words[header + HEADER.carryRow] / 4;
	const rows = words[header + HEADER.rows] / 4;
	const previous = words[header + HEADER.previousRows] / 4;
	for (let i = 0; i < words[header + HEADER.numCarried]; i++) {
		const at = previous + words[from + i] * ROW_WORDS + ROW.result;
		// A row that failed has no token; its sequence is over and its next row is dropped.
		const id = Math.max(0, ints[at]);
		words[ids + words[to + i]] = id;
		if (ints[row + i] >= 0)
			words[rows + words[row + i] * ROW_WORDS + ROW.carried] = id;
	}
}

function runEmbed(thread: Thread, task: EmbedTask, header: number): void {
	const { words, kernels, scratch } = thread;
	const numTokens = words[header + HEADER.numTokens];
	thread.share(numTokens, thread.pieceOf(numTokens, 1), (start, end) =>
		kernels.embed(
			task.format,
			task.table,
			task.panelBytes,
			task.depth,
			words[header + HEADER.tokenIds],
			start,
			end,
			task.scale,
			scratch,
			task.output,
			task.width,
		),
	);
}

function runSample(thread: Thread, task: SampleTask, header: number): void {
	const { words, kernels, samplerScratch } = thread;
	const { linear, softCap, vocabSize, rowsPerTile } = task;
	const numRows = words[header + HEADER.numRows];
	const logitRows = words[header + HEADER.logitRows];
	const rows = words[header + HEADER.rows];
	for (let first = 0; first < numRows; first += rowsPerTile) {
		const count = Math.min(rowsPerTile, numRows - first);
		runLinear(thread, linear, count, logitRows + first * 4);
		thread.share(count, 1, (start, end) => {
			for (let r = start; r < end; r++) {
				const row = rows + (first + r) * ROW_WORDS * 4;
				const logits = linear.output + r * vocabSize * 4;
				if (softCap !== 0) kernels.soft_cap(logits, vocabSize, softCap);
				words[row / 4 + ROW.logits] = logits;
				kernels.sample_row(row, samplerScratch);
			}
		});
	}
}
