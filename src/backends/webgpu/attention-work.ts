/**
 * What the attention of one step has to do, as lists in GPU buffers that its kernels take their work from: chunks of the cached
 * tokens of each decode, tiles of the prefill chunks' queries. All layers share them. Knows no kernel's text. After the plan() of
 * FlashInfer (Ye et al. 2025).
 *
 * decodeItems    vec4<u32> [numDecodeItems]: token, block-table start, first position, end. The items of a token lie together. Bit 31
 *                of the token (ALONE): it has this item only, whose output is final.
 * decodeMerges   vec4<u32> [numMerges]: token, first item, number of items, 0: the tokens of more than one item.
 * prefillItems   vec4<u32> [numPrefillItems]: first token, number of tokens (≤ tileTokens), block-table start, position of the first
 *                token. Those that see most come first.
 * blockTables    u32: the step's, as they came.
 * partials       vec4<f32> [decode item][query head][stride8(headDim) / 4 + 1]: Σ 2^(score − max) · v, then (max, Σ 2^(score − max), 0, 0).
 */
import type { Limits, StepInput } from "../backend.ts";
import type { Program } from "../program.ts";
import { type Gpu, USAGE } from "./device.ts";
import {
	ALONE,
	partialFours,
	tileTokensFor,
} from "./kernels/attention-text.ts";

export interface AttentionWork {
	readonly decodeItems: GPUBuffer;
	readonly decodeMerges: GPUBuffer;
	readonly prefillItems: GPUBuffer;
	readonly blockTables: GPUBuffer;
	readonly partials: GPUBuffer;
	/** Of the step written last. */
	readonly numDecodeItems: number;
	readonly numMerges: number;
	readonly numPrefillItems: number;
	readonly tileTokens: number;
	/** Steps submitted before still see their own lists: writes to buffers take their place in the queue. */
	write(input: StepInput): void;
	destroy(): void;
}

export interface AttentionWorkOptions {
	/** Decode workgroups (items × KV heads) that fill the device: so many at least where there are tokens enough. */
	readonly workgroups: number;
	/** Cached tokens of a decode item, where `workgroups` asks for fewer or more. */
	readonly fewestTokens: number;
	readonly mostTokens: number;
	/** Query tokens of a prefill tile; null: as suits the heads. */
	readonly tileTokens: number | null;
}

/** 132 multiprocessors with eight workgroups each. */
const DEFAULTS: AttentionWorkOptions = {
	workgroups: 8 * 132,
	fewestTokens: 64,
	mostTokens: 512,
	tileTokens: null,
};

/**
 * Items beyond one a sequence. With chunks of at least (cached tokens of all decodes) / EXTRA_ITEMS there are never more: each
 * sequence has ⌈length / chunk⌉ ≤ length / chunk + 1.
 */
const EXTRA_ITEMS = 1024;
/** Items end at multiples of it, so that only the last of a sequence leaves lanes idle. */
const GRAIN = 32;

/** @throws out_of_memory by way of `gpu.guarded` */
export function createAttentionWork(
	gpu: Gpu,
	program: Program,
	limits: Limits,
	tuning: Partial<AttentionWorkOptions> = {},
): AttentionWork {
	const layers = program.kvLayers;
	const options = { ...DEFAULTS, ...tuning };
	const numKvHeads = Math.min(...layers.map((heads) => heads.numKvHeads));
	const tileTokens =
		options.tileTokens ?? Math.min(...layers.map(tileTokensFor));
	const { blockSize, maxModelLen, maxNumSeqs, maxNumBatchedTokens } = limits;
	const maxItems = maxNumSeqs + EXTRA_ITEMS;
	const maxTiles = Math.ceil(maxNumBatchedTokens / tileTokens) + maxNumSeqs;
	const maxBlocks = maxNumSeqs * Math.ceil(maxModelLen / blockSize);
	const partialRow = Math.max(
		...layers.map((heads) => heads.numHeads * partialFours(heads)),
	);
	const create = (label: string, elements: number, bytes: number) =>
		gpu.device.createBuffer({
			label,
			size: Math.max(16, elements * bytes),
			usage: USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC,
		});
	const buffers = {
		decodeItems: create("decode items", maxItems, 16),
		decodeMerges: create("decode merges", maxNumSeqs, 16),
		prefillItems: create("prefill items", maxTiles, 16),
		blockTables: create("block tables", maxBlocks, 4),
		partials: create("partial outputs", maxItems * partialRow, 16),
	};
	const decodes = decodeLists(maxItems, maxNumSeqs, numKvHeads, options);
	const tiles = prefillList(maxTiles, tileTokens);
	const upload = (buffer: GPUBuffer, data: ArrayBufferView, count: number) => {
		if (count === 0) return;
		const source = data as GPUAllowSharedBufferSource;
		gpu.device.queue.writeBuffer(buffer, 0, source, 0, count);
	};
	return {
		...buffers,
		tileTokens,
		get numDecodeItems() {
			return decodes.numItems;
		},
		get numMerges() {
			return decodes.numMerges;
		},
		get numPrefillItems() {
			return tiles.numItems;
		},
		write(input) {
			decodes.write(input);
			tiles.write(input);
			upload(buffers.decodeItems, decodes.items, 4 * decodes.numItems);
			upload(buffers.decodeMerges, decodes.merges, 4 * decodes.numMerges);
			upload(buffers.prefillItems, tiles.items, 4 * tiles.numItems);
			const numBlocks = input.blockTableStart[input.numSeqs];
			upload(buffers.blockTables, input.blockTables, numBlocks);
		},
		destroy() {
			for (const buffer of Object.values(buffers)) buffer.destroy();
		},
	};
}

const isDecode = ({ queryStart }: StepInput, s: number): boolean =>
	queryStart[s + 1] - queryStart[s] === 1;

/** Cached tokens of an item: what fills the device, within bounds, and never more items than there is room for. */
export function chunkTokens(
	cachedTokens: number,
	numKvHeads: number,
	{
		workgroups,
		fewestTokens,
		mostTokens,
	}: Omit<AttentionWorkOptions, "tileTokens">,
): number {
	const filling = Math.ceil((cachedTokens * numKvHeads) / workgroups);
	const chunk = Math.min(mostTokens, Math.max(fewestTokens, filling));
	return Math.max(chunk, Math.ceil(cachedTokens / EXTRA_ITEMS));
}

function decodeLists(
	maxItems: number,
	maxNumSeqs: number,
	numKvHeads: number,
	options: AttentionWorkOptions,
) {
	const items = new Uint32Array(4 * maxItems);
	const merges = new Uint32Array(4 * maxNumSeqs);
	const lists = { items, merges, numItems: 0, numMerges: 0, write };
	function write(input: StepInput): void {
		const { numSeqs, contextLens, queryStart, blockTableStart } = input;
		lists.numItems = 0;
		lists.numMerges = 0;
		let cachedTokens = 0;
		for (let s = 0; s < numSeqs; s++)
			if (isDecode(input, s)) cachedTokens += contextLens[s];
		const chunk = chunkTokens(cachedTokens, numKvHeads, options);
		for (let s = 0; s < numSeqs; s++)
			if (isDecode(input, s))
				add(queryStart[s], blockTableStart[s], contextLens[s], chunk);
	}
	/** Items of equal size. */
	function add(token: number, table: number, length: number, chunk: number) {
		const parts = Math.ceil(length / chunk);
		const size = Math.ceil(length / parts / GRAIN) * GRAIN;
		const first = lists.numItems;
		const flag = length <= size ? ALONE : 0;
		for (let from = 0; from < length; from += size) {
			const at = 4 * lists.numItems++;
			items[at] = token | flag;
			items[at + 1] = table;
			items[at + 2] = from;
			items[at + 3] = Math.min(length, from + size);
		}
		if (flag !== 0) return;
		const at = 4 * lists.numMerges++;
		merges[at] = token;
		merges[at + 1] = first;
		merges[at + 2] = lists.numItems - first;
	}
	return lists;
}

function prefillList(maxTiles: number, tileTokens: number) {
	const unordered = new Uint32Array(4 * maxTiles);
	const items = new Uint32Array(4 * maxTiles);
	const order = new Float64Array(maxTiles);
	const list = { items, numItems: 0, write };
	function write(input: StepInput): void {
		const { numSeqs, queryStart, blockTableStart, positions } = input;
		list.numItems = 0;
		for (let s = 0; s < numSeqs; s++) {
			const end = queryStart[s + 1];
			for (let t = queryStart[s]; t < end && !isDecode(input, s); ) {
				const count = Math.min(tileTokens, end - t);
				add(t, count, blockTableStart[s], positions[t]);
				t += count;
			}
		}
		sort();
	}
	function add(token: number, count: number, table: number, position: number) {
		const tile = list.numItems++;
		unordered.set([token, count, table, position], 4 * tile);
		order[tile] = tile - (position + count) * maxTiles;
	}
	/** Longest work first, so that no long tile is left over at the end. */
	function sort(): void {
		const keys = order.subarray(0, list.numItems).sort();
		for (let i = 0; i < keys.length; i++) {
			const tile = keys[i] + Math.ceil(-keys[i] / maxTiles) * maxTiles;
			for (let word = 0; word < 4; word++)
				items[4 * i + word] = unordered[4 * tile + word];
		}
	}
	return list;
}
