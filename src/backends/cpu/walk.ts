/**
 * One thread's walk over the plan: it takes shares of each task and meets the other threads after each. The same code runs in a
 * worker and, where memory cannot be shared, on the calling thread alone.
 */
import type { Kernels } from "./kernels.ts";
import {
	type LinearTask,
	type Plan,
	paddedHead,
	QUERY_TILE,
	type Task,
} from "./plan.ts";
import { HEADER, ROW, ROW_WORDS } from "./step.ts";

/** Control words (i32): steps submitted, the barrier (2), and the counters shares are taken from. */
export const CONTROL = { submitted: 0, barrier: 16, counters: 32 } as const;
const NUM_COUNTERS = 4;

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
	const { numThreads } = plan;
	const control = new Int32Array(memory.buffer, plan.control, 64);
	const barrier = plan.control + CONTROL.barrier * 4;
	const scratch = plan.threadScratch + thread * plan.threadScratchBytes;
	const samplerScratch =
		plan.samplerScratch + thread * plan.samplerScratchBytes;
	// Addresses are unsigned: a memory may be larger than 2 GiB.
	let words = new Uint32Array(memory.buffer);
	let ints = new Int32Array(memory.buffer);
	let phase = 0;

	const meet = () => {
		kernels.barrier(barrier, numThreads);
		// The counter after the next was last used two meetings ago, by nobody any more.
		if (thread === 0)
			Atomics.store(
				control,
				CONTROL.counters + ((phase + 2) % NUM_COUNTERS),
				0,
			);
		phase++;
	};

	/** Calls `work` on pieces of [0, total), a piece at a time, until the threads together have done all; then meets them. */
	const share = (
		total: number,
		piece: number,
		work: (start: number, end: number) => void,
	) => {
		const counter = CONTROL.counters + (phase % NUM_COUNTERS);
		if (numThreads === 1) work(0, total);
		else
			for (;;) {
				const start = Atomics.add(control, counter, piece);
				if (start >= total) break;
				work(start, Math.min(total, start + piece));
			}
		meet();
	};

	/** Pieces small enough that threads end together, large enough that taking one costs nothing. */
	const pieceOf = (total: number, least: number) =>
		Math.max(least, Math.ceil(total / (numThreads * 4)));

	const runLinear = (task: LinearTask, numRows: number, rows: number) => {
		share(numRows, pieceOf(numRows, 4), (start, end) =>
			kernels.prepare_rows(
				task.format,
				task.input,
				task.width,
				rows,
				start,
				end,
				task.norm,
				task.eps,
				task.depth,
				scratch,
				plan.groups,
				task.groupBytes,
			),
		);
		share(task.numPanels, pieceOf(task.numPanels, 2), (start, end) => {
			if (task.mode === "gated")
				kernels.gated_linear(
					task.format,
					plan.groups,
					task.groupBytes,
					numRows,
					task.w,
					task.panelBytes,
					start,
					end,
					task.depth,
					task.output,
					task.columns,
					scratch,
				);
			else
				kernels.linear(
					task.format,
					plan.groups,
					task.groupBytes,
					numRows,
					task.w,
					task.panelBytes,
					start,
					end,
					task.depth,
					task.bias,
					task.output,
					task.columns,
					task.mode === "add" ? 1 : 0,
					scratch,
				);
		});
	};

	const ropeAndCache = (
		task: Extract<Task, { kind: "ropeAndCache" }>,
		header: number,
	) => {
		const { numHeads, numKvHeads, headDim, width } = task;
		const positions = words[header + HEADER.positions] / 4;
		const slots = words[header + HEADER.slotMapping] / 4;
		const numTokens = words[header + HEADER.numTokens];
		const rowBytes = paddedHead(headDim) * plan.cacheElementBytes;
		const headBytes = plan.blockSize * rowBytes;
		const perToken = numHeads + numKvHeads;
		share(numTokens, pieceOf(numTokens, 1), (start, end) => {
			for (let t = start; t < end; t++) {
				const cosSin = task.cosSin + words[positions + t] * headDim * 4;
				const first = task.qkv + t * width * 4;
				for (let h = 0; h < perToken; h++)
					kernels.norm_rope(
						first + h * headDim * 4,
						headDim,
						h < numHeads ? task.qNorm : task.kNorm,
						task.eps,
						cosSin,
					);
				const slot = words[slots + t];
				const block = Math.floor(slot / plan.blockSize);
				const offset = (slot % plan.blockSize) * rowBytes;
				for (let h = 0; h < numKvHeads; h++) {
					const to =
						task.cache + block * task.blockBytes + 2 * h * headBytes + offset;
					const key = first + (numHeads + h) * headDim * 4;
					const value = key + numKvHeads * headDim * 4;
					kernels.write_cache(plan.cacheType, key, headDim, to);
					kernels.write_cache(plan.cacheType, value, headDim, to + headBytes);
				}
			}
		});
	};

	const attention = (
		task: Extract<Task, { kind: "attention" }>,
		header: number,
	) => {
		const { numHeads, numKvHeads, headDim, width } = task;
		const group = numHeads / numKvHeads;
		const numSeqs = words[header + HEADER.numSeqs];
		const queryStart = words[header + HEADER.queryStart] / 4;
		const tableStart = words[header + HEADER.blockTableStart] / 4;
		const tables = words[header + HEADER.blockTables];
		const headBytes =
			2 * plan.blockSize * paddedHead(headDim) * plan.cacheElementBytes;
		// Items: a KV head of a sequence and up to QUERY_TILE of its tokens; the tiles of a sequence lie together.
		const tileStart = new Int32Array(numSeqs + 1);
		for (let s = 0; s < numSeqs; s++) {
			const queries = words[queryStart + s + 1] - words[queryStart + s];
			tileStart[s + 1] =
				tileStart[s] + Math.ceil(queries / QUERY_TILE) * numKvHeads;
		}
		let s = 0;
		share(tileStart[numSeqs], 1, (start, end) => {
			for (let item = start; item < end; item++) {
				while (item >= tileStart[s + 1]) s++;
				const local = item - tileStart[s];
				const kvHead = local % numKvHeads;
				const first =
					words[queryStart + s] + Math.floor(local / numKvHeads) * QUERY_TILE;
				const end = Math.min(first + QUERY_TILE, words[queryStart + s + 1]);
				const attend =
					(end - first) * group >= TILED_ROWS
						? kernels.attend_tiles
						: kernels.attend;
				attend(
					plan.cacheType,
					task.qkv + kvHead * group * headDim * 4,
					width * 4,
					group,
					headDim,
					words[header + HEADER.positions],
					first,
					end,
					tables + words[tableStart + s] * 4,
					plan.blockSize,
					task.cache + kvHead * headBytes,
					task.blockBytes,
					task.scale,
					task.window,
					task.output + kvHead * group * headDim * 4,
					numHeads * headDim * 4,
					scratch,
				);
			}
		});
	};

	const sample = (task: Extract<Task, { kind: "sample" }>, header: number) => {
		const numRows = words[header + HEADER.numRows];
		const logitRows = words[header + HEADER.logitRows];
		const rows = words[header + HEADER.rows];
		for (let first = 0; first < numRows; first += task.rowsPerTile) {
			const count = Math.min(task.rowsPerTile, numRows - first);
			runLinear(task.linear, count, logitRows + first * 4);
			share(count, 1, (start, end) => {
				for (let r = start; r < end; r++) {
					const row = rows + (first + r) * ROW_WORDS * 4;
					words[row / 4 + ROW.logits] =
						task.linear.output + r * task.vocabSize * 4;
					kernels.sample_row(row, samplerScratch);
				}
			});
		}
	};

	/** Fills in the tokens the step before sampled. */
	const carry = (header: number) => {
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
	};

	return {
		run(headerAddress) {
			if (words.buffer !== memory.buffer) {
				words = new Uint32Array(memory.buffer);
				ints = new Int32Array(memory.buffer);
			}
			const header = headerAddress / 4;
			const numTokens = words[header + HEADER.numTokens];
			if (thread === 0) carry(header);
			meet();
			for (const task of plan.tasks) {
				switch (task.kind) {
					case "embed":
						share(numTokens, pieceOf(numTokens, 1), (start, end) =>
							kernels.embed(
								task.format,
								task.table,
								task.panelBytes,
								task.depth,
								words[header + HEADER.tokenIds],
								start,
								end,
								scratch,
								task.output,
								task.width,
							),
						);
						break;
					case "linear":
						runLinear(task, numTokens, 0);
						break;
					case "ropeAndCache":
						ropeAndCache(task, header);
						break;
					case "attention":
						attention(task, header);
						break;
					case "sample":
						sample(task, header);
						break;
					default:
						task satisfies never;
				}
			}
		},
	};
}

/** From this many query rows on it pays to bring keys and values to f32 first. */
const TILED_ROWS = 8;
