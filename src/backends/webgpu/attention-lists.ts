/** The lists of attention-work.ts, filled from a step: numbers alone, in arrays made once. */
import type { StepInput } from "../backend.ts";
import { ALONE, FUSED_WORDS } from "./kernels/attention-text.ts";

/** vec4<u32> each; `count` of them are the step's. */
export interface ItemList {
	readonly items: Uint32Array;
	count: number;
}

export interface ChunkOptions {
	/** Decode workgroups (items × KV heads) that fill the device: so many at least where there are tokens enough. */
	readonly workgroups: number;
	/** Cached tokens of a decode item, where `workgroups` asks for fewer or more. */
	readonly fewestTokens: number;
	readonly mostTokens: number;
}

/**
 * Items beyond one a sequence. With chunks of at least (cached tokens of all decodes) / EXTRA_ITEMS there are never more: each
 * sequence has ⌈length / chunk⌉ ≤ length / chunk + 1.
 */
export const EXTRA_ITEMS = 1024;
/** Items end at multiples of it, so that only the last of a sequence leaves lanes idle. */
const GRAIN = 32;

export const createList = (most: number): ItemList => ({
	items: new Uint32Array(4 * most),
	count: 0,
});

function push(list: ItemList, a: number, b: number, c: number, d: number) {
	const at = 4 * list.count++;
	list.items[at] = a;
	list.items[at + 1] = b;
	list.items[at + 2] = c;
	list.items[at + 3] = d;
}

const isDecode = ({ queryStart }: StepInput, s: number): boolean =>
	queryStart[s + 1] - queryStart[s] === 1;

/** Cached tokens of an item: what fills the device, within bounds, and never more items than there is room for. */
export function chunkTokens(
	cachedTokens: number,
	numKvHeads: number,
	{ workgroups, fewestTokens, mostTokens }: ChunkOptions,
): number {
	const filling = Math.ceil((cachedTokens * numKvHeads) / workgroups);
	const chunk = Math.min(mostTokens, Math.max(fewestTokens, filling));
	return Math.max(chunk, Math.ceil(cachedTokens / EXTRA_ITEMS));
}

/** Items of a sequence are of equal size: chunks, cut so that none is much smaller. */
function itemTokens(length: number, chunk: number): number {
	const parts = Math.max(1, Math.ceil(length / chunk));
	return Math.max(GRAIN, Math.ceil(length / parts / GRAIN) * GRAIN);
}

/** decodeItems and decodeMerges. */
export function listDecodes(
	input: StepInput,
	numKvHeads: number,
	options: ChunkOptions,
	items: ItemList,
	merges: ItemList,
): void {
	const { numSeqs, contextLens, queryStart, blockTableStart } = input;
	let cachedTokens = 0;
	for (let s = 0; s < numSeqs; s++)
		if (isDecode(input, s)) cachedTokens += contextLens[s];
	const chunk = chunkTokens(cachedTokens, numKvHeads, options);
	for (let s = 0; s < numSeqs; s++) {
		if (!isDecode(input, s)) continue;
		const length = contextLens[s];
		const size = itemTokens(length, chunk);
		const first = items.count;
		const token = queryStart[s];
		const flagged = length <= size ? token | ALONE : token;
		for (let from = 0; from < length; from += size) {
			const end = Math.min(length, from + size);
			push(items, flagged, blockTableStart[s], from, end);
		}
		if (length > size) push(merges, token, first, items.count - first, 0);
	}
}

/** Whether no sequence has more than so many cached tokens. */
export function isShort(
	{ numSeqs, contextLens }: StepInput,
	mostTokens: number,
): boolean {
	for (let s = 0; s < numSeqs; s++)
		if (contextLens[s] > mostTokens) return false;
	return true;
}

/** Items of the merge that has most; 0 where there is none. */
export function mostMerged({ items, count }: ItemList): number {
	let most = 0;
	for (let m = 0; m < count; m++) most = Math.max(most, items[4 * m + 2]);
	return most;
}

/** Sequences in the order of their items' size, so that no long item is left over at the end. */
function longestFirst(
	{ numSeqs, positions }: StepInput,
	chunk: number,
): Int32Array {
	const sizes = Float64Array.from(
		{ length: numSeqs },
		(_, s) => s - itemTokens(positions[s], chunk) * numSeqs,
	).sort();
	return Int32Array.from(
		sizes,
		(key) => key + Math.ceil(-key / numSeqs) * numSeqs,
	);
}

/**
 * The fused items of a step of decodes alone, and the merges of tokens with more than one; block tables begin behind the items.
 * The longest items come first. A token's own key and value are no part of the chunks but its last item's besides. `options` null: one
 * item a token.
 */
export function listFused(
	input: StepInput,
	numKvHeads: number,
	options: ChunkOptions | null,
	items: ItemList,
	merges: ItemList,
): void {
	const { numSeqs, queryStart, blockTableStart, positions, slotMapping } =
		input;
	let cachedTokens = 0;
	for (let t = 0; t < numSeqs; t++) cachedTokens += positions[t];
	const chunk =
		options === null
			? Math.max(1, cachedTokens)
			: chunkTokens(cachedTokens, numKvHeads, options);
	let numItems = 0;
	for (let t = 0; t < numSeqs; t++) {
		const size = itemTokens(positions[t], chunk);
		numItems += Math.max(1, Math.ceil(positions[t] / size));
	}
	const tables = FUSED_WORDS * numItems;
	let item = 0;
	for (const s of longestFirst(input, chunk)) {
		const t = queryStart[s];
		const length = positions[t];
		const size = itemTokens(length, chunk);
		const flagged = length <= size ? t | ALONE : t;
		const first = item;
		const table = tables + blockTableStart[s];
		for (let from = 0; from < length || from === 0; from += size) {
			push(items, flagged, table, length, slotMapping[t]);
			push(items, from, Math.min(length, from + size), 0, 0);
			item++;
		}
		if (length > size) push(merges, t, first, item - first, 0);
	}
}

/** Tiles of so many tokens that the step's prompts make. */
export function countTiles(input: StepInput, tileTokens: number): number {
	const { numSeqs, queryStart } = input;
	let count = 0;
	for (let s = 0; s < numSeqs; s++)
		if (!isDecode(input, s))
			count += Math.ceil((queryStart[s + 1] - queryStart[s]) / tileTokens);
	return count;
}

/** prefillItems of at most `maxTiles`. */
export function prefillLister(maxTiles: number) {
	const unordered = createList(maxTiles);
	const order = new Float64Array(maxTiles);
	return (input: StepInput, tileTokens: number, list: ItemList): void => {
		const { numSeqs, queryStart, blockTableStart, positions } = input;
		unordered.count = 0;
		for (let s = 0; s < numSeqs; s++) {
			const end = queryStart[s + 1];
			for (let t = queryStart[s]; t < end && !isDecode(input, s); ) {
				const count = Math.min(tileTokens, end - t);
				const tile = unordered.count;
				order[tile] = tile - (positions[t] + count) * maxTiles;
				push(unordered, t, count, blockTableStart[s], positions[t]);
				t += count;
			}
		}
		// Longest work first, so that no long tile is left over at the end.
		const { items } = unordered;
		for (const key of order.subarray(0, unordered.count).sort()) {
			const at = 4 * (key + Math.ceil(-key / maxTiles) * maxTiles);
			push(list, items[at], items[at + 1], items[at + 2], items[at + 3]);
		}
	};
}
