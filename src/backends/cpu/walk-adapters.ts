/**
 * How the threads add what adapters change: tokens of one adapter go together through its two matrices, a tile of them and a few columns
 * at a time. A step whose tokens go through none does nothing here.
 */
import type { GateTask, LoraTask } from "./plan.ts";
import { HEADER } from "./step.ts";
import type { Thread } from "./thread.ts";

/** Tokens that share what is read of a matrix. */
const TILE = 16;

export function runGate(
	{ share, pieceOf, kernels }: Thread,
	{ gating, input, width, output }: GateTask,
	numTokens: number,
): void {
	share(numTokens, pieceOf(numTokens, 1), (start, end) =>
		kernels.gate_rows(gating, input, width, start, end, output),
	);
}

export function runLora(thread: Thread, task: LoraTask, header: number): void {
	const { words, kernels, share, pieceOf } = thread;
	const starts = words[header + HEADER.adapterStart] / 4;
	const numTokens = words[starts + task.numSlots];
	if (numTokens === 0) return;
	if (task.norm !== 0)
		share(numTokens, pieceOf(numTokens, 1), (start, end) =>
			kernels.norm_rows(
				task.input,
				task.width,
				words[header + HEADER.adapterTokens],
				start,
				end,
				task.norm,
				task.eps,
				task.normed,
			),
		);
	const numQuads = task.targets.length * task.quadsPerTarget;
	shareTiles(thread, task, header, numQuads, (tile, first, end) =>
		kernels.lora_shrink(
			task.norm === 0 ? task.input : task.normed,
			task.width,
			tile.tokens,
			tile.count,
			task.a + tile.slot * task.aBytes,
			task.ranks + tile.slot * task.targets.length * 4,
			task.quadsPerTarget,
			first,
			end,
			tile.small,
			task.smallBytes,
		),
	);
	shareTiles(thread, task, header, task.numPanels, (tile, first, end) =>
		expand(thread, task, tile, first, end),
	);
}

/** Tokens of one slot, at most TILE of them. */
interface Tile {
	slot: number;
	/** Address of their indices. */
	tokens: number;
	count: number;
	/** Of the first one's row. */
	small: number;
}

/** Shares `units` pieces of work for each tile of the step's tokens. `work` gets the same tile object each time. */
function shareTiles(
	{ words, share, pieceOf }: Thread,
	{ numSlots, small, smallBytes }: LoraTask,
	header: number,
	units: number,
	work: (tile: Tile, first: number, end: number) => void,
): void {
	const starts = words[header + HEADER.adapterStart] / 4;
	const tokens = words[header + HEADER.adapterTokens];
	const tilesOf = (slot: number) =>
		Math.ceil((words[starts + slot + 1] - words[starts + slot]) / TILE);
	let numTiles = 0;
	for (let slot = 0; slot < numSlots; slot++) numTiles += tilesOf(slot);
	const total = numTiles * units;
	const tile: Tile = { slot: 0, tokens: 0, count: 0, small: 0 };
	share(total, pieceOf(total, 2), (start, end) => {
		let at = 0;
		for (let slot = 0; slot < numSlots && at < end; slot++) {
			const after = words[starts + slot + 1];
			for (let i = words[starts + slot]; i < after; i += TILE, at += units) {
				const first = Math.max(start - at, 0);
				const last = Math.min(end - at, units);
				if (first >= last) continue;
				tile.slot = slot;
				tile.tokens = tokens + i * 4;
				tile.count = Math.min(TILE, after - i);
				tile.small = small + i * smallBytes;
				work(tile, first, last);
			}
		}
	});
}

/** Panels [first, end) of all targets together. */
function expand(
	{ words, kernels }: Thread,
	task: LoraTask,
	{ slot, tokens, count, small }: Tile,
	first: number,
	end: number,
): void {
	const { targets, quadsPerTarget, panelBytes } = task;
	const ranks = task.ranks / 4 + slot * targets.length;
	for (let i = 0; i < targets.length; i++) {
		const { firstPanel, endPanel, firstRow, columns } = targets[i];
		const from = Math.max(first, firstPanel);
		const to = Math.min(end, endPanel);
		if (from >= to || words[ranks + i] === 0) continue;
		kernels.lora_expand(
			small + i * quadsPerTarget * 16,
			task.smallBytes,
			tokens,
			count,
			task.b + slot * task.bBytes + firstPanel * panelBytes,
			panelBytes,
			words[ranks + i],
			columns,
			from - firstPanel,
			to - firstPanel,
			task.scale,
			task.output + firstRow * 4,
			task.outputBytes,
		);
	}
}
