/**
 * What the attention of one step has to do, as lists in GPU buffers that its kernels take their work from: chunks of the cached
 * tokens of each decode, tiles of the prefill chunks' queries. All layers share them. Knows no kernel's text. After the plan() of
 * FlashInfer (Ye et al. 2025).
 *
 * A step of decodes alone is fused: it has fused items and none of the others, and no ropeAndCache. Those of few and short decodes are
 * whole: one item a token, done by a large workgroup. All others are chunks, which need a ninth buffer; where a kernel may bind only
 * eight, such steps are not fused. Items lie before the block tables, to save a buffer.
 *
 * decodeItems    vec4<u32> [numDecodeItems]: token, block-table start, first position, end. The items of a token lie together. Bit 31
 *                of the token (ALONE): it has this item only, whose output is final.
 * decodeMerges   vec4<u32> [numMerges]: token, first item, number of items, 0: the tokens of more than one item.
 * prefillItems   vec4<u32> [numPrefillItems]: first token, number of tokens (≤ tileTokens), block-table start, position of the first
 *                token. Those that see most come first.
 * blockTables    u32: the step's, as they came. Of a fused step first its items: token (with ALONE), block-table start (counted from
 *                here), position, slot, first position of the chunk, end, 0, 0. The token's own position is in no chunk, but goes with
 *                the last one.
 * partials       vec4<f32> [decode item][query head][stride8(headDim) / 4 + 1]: Σ 2^(score − max) · v, then (max, Σ 2^(score − max), 0, 0).
 */
import type { Limits, StepInput } from "../backend.ts";
import type { Heads, Program } from "../program.ts";
import { fusedKinds, hasTallTiles } from "./attention-fusion.ts";
import {
	type ChunkOptions,
	countTiles,
	createList,
	EXTRA_ITEMS,
	isShort,
	listDecodes,
	listFused,
	mostMerged,
	prefillLister,
} from "./attention-lists.ts";
import { type Gpu, USAGE } from "./device.ts";
import type { FusedKind } from "./kernels/attention-decode-fused.ts";
import {
	FUSED_WORDS,
	partialFours,
	tileHeads,
	tileTokensFor,
} from "./kernels/attention-text.ts";

export interface AttentionWork {
	readonly decodeItems: GPUBuffer;
	readonly decodeMerges: GPUBuffer;
	readonly prefillItems: GPUBuffer;
	readonly blockTables: GPUBuffer;
	readonly partials: GPUBuffer;
	/** The fused kernels that are wanted. */
	readonly fuses: readonly FusedKind[];
	/** Tokens of prefill tiles: kernels for each are wanted, a step has one of them. */
	readonly tileHeights: readonly number[];
	/** Of the step written last; null: not fused. */
	readonly fused: FusedKind | null;
	readonly numFusedItems: number;
	readonly numDecodeItems: number;
	readonly numMerges: number;
	/** Items of the merge that has most. */
	readonly mostMerged: number;
	readonly numPrefillItems: number;
	readonly tileTokens: number;
	/** Steps submitted before still see their own lists: writes to buffers take their place in the queue. */
	write(input: StepInput): void;
	destroy(): void;
}

export interface AttentionWorkOptions extends ChunkOptions {
	/** null: where the program and the device allow. */
	readonly fuses: readonly FusedKind[] | null;
	/** Of a step of whole items at most: workgroups (sequences × KV heads), and cached tokens of a sequence. */
	readonly fusedWorkgroups: number;
	readonly fusedTokens: number;
	/** Query tokens of a prefill tile; null: as suits the heads, and twice as many where tall tiles fill the device. */
	readonly tileTokens: number | null;
	/** Workgroups of tall tiles that fill the device. */
	readonly tallWorkgroups: number;
}

/** An H100 has 132 multiprocessors; with eight workgroups each, decodes fill it. */
const DEFAULTS: AttentionWorkOptions = {
	workgroups: 8 * 132,
	fewestTokens: 64,
	mostTokens: 1024,
	fuses: null,
	fusedWorkgroups: 2 * 132,
	fusedTokens: 2048,
	tileTokens: null,
	tallWorkgroups: 4 * 132,
};

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
	const fuses = options.fuses ?? fusedKinds(program, gpu.abilities);
	const tiles = prefillTiles(gpu, layers, options);
	const { blockSize, maxModelLen, maxNumSeqs, maxNumBatchedTokens } = limits;
	const maxItems = maxNumSeqs + EXTRA_ITEMS;
	const maxTiles =
		Math.ceil(maxNumBatchedTokens / tiles.heights[0]) + maxNumSeqs;
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
		blockTables: create("block tables", FUSED_WORDS * maxItems + maxBlocks, 4),
		partials: create("partial outputs", maxItems * partialRow, 16),
	};
	const fusedItems = createList((FUSED_WORDS / 4) * maxItems);
	const lists = {
		decodeItems: createList(maxItems),
		decodeMerges: createList(maxNumSeqs),
		prefillItems: createList(maxTiles),
	};
	const listTiles = prefillLister(maxTiles);
	let tileTokens = tiles.heights[0];
	let fused: FusedKind | null = null;
	const fusedKindOf = (input: StepInput): FusedKind | null => {
		if (input.numTokens !== input.numSeqs) return null;
		const isWhole =
			input.numSeqs * numKvHeads <= options.fusedWorkgroups &&
			isShort(input, options.fusedTokens);
		if (isWhole && fuses.includes("whole")) return "whole";
		return fuses.includes("chunks") ? "chunks" : null;
	};
	const fill = (input: StepInput): void => {
		fusedItems.count = 0;
		for (const list of Object.values(lists)) list.count = 0;
		const { decodeItems, decodeMerges, prefillItems } = lists;
		fused = fusedKindOf(input);
		if (fused !== null) {
			const chunks = fused === "chunks" ? options : null;
			listFused(input, numKvHeads, chunks, fusedItems, decodeMerges);
			return;
		}
		listDecodes(input, numKvHeads, options, decodeItems, decodeMerges);
		tileTokens = tiles.heightFor(input);
		listTiles(input, tileTokens, prefillItems);
	};
	const upload = (
		buffer: GPUBuffer,
		data: ArrayBufferView,
		count: number,
		at = 0,
	) => {
		if (count === 0) return;
		const source = data as GPUAllowSharedBufferSource;
		gpu.device.queue.writeBuffer(buffer, 4 * at, source, 0, count);
	};
	return {
		...buffers,
		fuses,
		tileHeights: tiles.heights,
		get fused() {
			return fused;
		},
		get numFusedItems() {
			return fusedItems.count / (FUSED_WORDS / 4);
		},
		get numDecodeItems() {
			return lists.decodeItems.count;
		},
		get numMerges() {
			return lists.decodeMerges.count;
		},
		get mostMerged() {
			return mostMerged(lists.decodeMerges);
		},
		get numPrefillItems() {
			return lists.prefillItems.count;
		},
		get tileTokens() {
			return tileTokens;
		},
		write(input) {
			fill(input);
			for (const [name, { items, count }] of Object.entries(lists))
				upload(buffers[name as keyof typeof lists], items, 4 * count);
			const numBlocks = input.blockTableStart[input.numSeqs];
			const before = 4 * fusedItems.count;
			upload(buffers.blockTables, fusedItems.items, before);
			upload(buffers.blockTables, input.blockTables, numBlocks, before);
		},
		destroy() {
			for (const buffer of Object.values(buffers)) buffer.destroy();
		},
	};
}

/** Low tiles where there are few, so that they fill the device; tall ones, which read keys and values less often, where there are many. */
function prefillTiles(
	{ abilities }: Gpu,
	layers: readonly Heads[],
	{ tileTokens, tallWorkgroups }: AttentionWorkOptions,
) {
	const low = tileTokens ?? Math.min(...layers.map(tileTokensFor));
	const tall = 2 * low;
	const groups = Math.min(
		...layers.map((heads) => heads.numHeads / tileHeads(heads)),
	);
	const hasTall =
		tileTokens === null &&
		layers.every((heads) => hasTallTiles(heads, abilities, low));
	return {
		heights: hasTall ? [low, tall] : [low],
		heightFor(input: StepInput): number {
			if (!hasTall) return low;
			return countTiles(input, tall) * groups < tallWorkgroups ? low : tall;
		},
	};
}
