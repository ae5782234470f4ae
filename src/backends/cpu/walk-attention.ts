/** How a thread takes its shares of what lies between two linears of a layer: tokens to turn and store, heads of sequences to attend. */
import {
	type AttentionTask,
	QUERY_TILE,
	type RopeAndCacheTask,
} from "./plan.ts";
import { paddedHead } from "./scratch.ts";
import { HEADER } from "./step.ts";
import type { Thread } from "./thread.ts";

/** From this many query rows on it pays to bring keys and values to f32 first. */
const TILED_ROWS = 8;

export function runRopeAndCache(
	thread: Thread,
	task: RopeAndCacheTask,
	header: number,
): void {
	const { words } = thread;
	const positions = words[header + HEADER.positions] / 4;
	const slots = words[header + HEADER.slotMapping] / 4;
	const numTokens = words[header + HEADER.numTokens];
	thread.share(numTokens, thread.pieceOf(numTokens, 1), (start, end) => {
		for (let t = start; t < end; t++) {
			const row = task.qkv + t * task.width * 4;
			turnHeads(thread, task, row, words[positions + t]);
			writeCache(thread, task, row, words[slots + t]);
		}
	});
}

/** The q and k heads of one token, normalised and turned. */
function turnHeads(
	{ kernels }: Thread,
	task: RopeAndCacheTask,
	row: number,
	position: number,
): void {
	const { numHeads, numKvHeads, headDim, numFrequencies, qNorm, kNorm } = task;
	const keys = row + numHeads * headDim * 4;
	if (qNorm.all)
		kernels.rms_norm(row, qNorm.norm, numHeads * headDim, qNorm.eps, row);
	if (kNorm.all)
		kernels.rms_norm(keys, kNorm.norm, numKvHeads * headDim, kNorm.eps, keys);
	const cosSin = task.cosSin + position * numFrequencies * 8;
	for (let h = 0; h < numHeads + numKvHeads; h++) {
		const { norm, eps, all } = h < numHeads ? qNorm : kNorm;
		kernels.norm_rope(
			row + h * headDim * 4,
			headDim,
			all ? 0 : norm,
			eps,
			cosSin,
			numFrequencies,
		);
	}
}

/** The k and v heads of one token, to its slot. */
function writeCache(
	{ kernels, plan }: Thread,
	task: RopeAndCacheTask,
	row: number,
	slot: number,
): void {
	const { numHeads, numKvHeads, headDim } = task;
	const rowBytes = paddedHead(headDim) * plan.cacheElementBytes;
	const headBytes = plan.blockSize * rowBytes;
	const block = Math.floor(slot / plan.blockSize);
	const offset = (slot % plan.blockSize) * rowBytes;
	for (let h = 0; h < numKvHeads; h++) {
		const to =
			task.cache + block * task.blockBytes + 2 * h * headBytes + offset;
		const key = row + (numHeads + h) * headDim * 4;
		const value = key + numKvHeads * headDim * 4;
		kernels.write_cache(plan.cacheType, key, headDim, to);
		kernels.write_cache(plan.cacheType, value, headDim, to + headBytes);
	}
}

export function runAttention(
	{ words, kernels, plan, scratch, share }: Thread,
	task: AttentionTask,
	header: number,
): void {
	const { numHeads, numKvHeads, headDim, width, sinks } = task;
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
			const firstHead = kvHead * group;
			const first =
				words[queryStart + s] + Math.floor(local / numKvHeads) * QUERY_TILE;
			const end = Math.min(first + QUERY_TILE, words[queryStart + s + 1]);
			const attend =
				(end - first) * group >= TILED_ROWS
					? kernels.attend_tiles
					: kernels.attend;
			attend(
				plan.cacheType,
				task.qkv + firstHead * headDim * 4,
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
				task.softCap,
				sinks === 0 ? 0 : sinks + firstHead * 4,
				task.output + firstHead * headDim * 4,
				numHeads * headDim * 4,
				scratch,
			);
		}
	});
}
