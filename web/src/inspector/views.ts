/** What each picture shows of the moment watched: the engine's state in the pictures' words. */
import type { InspectorState } from "../../../src/inspector/state.ts";
import { blockTokens } from "../../../src/inspector/state.ts";
import type { BlocksView } from "./blocks-picture.ts";
import { type BlockFacts, describeSequence } from "./describe.ts";
import type { StepColumn } from "./lanes.ts";
import {
	MAX_ENTRIES,
	type QueueEntry,
	type QueueView,
} from "./queue-picture.ts";
import type { StepsView } from "./steps-picture.ts";
import type { TimelineView } from "./timeline-picture.ts";
import type { Watch } from "./watch.ts";

export function stepsView(watch: Watch, columnWidth: number): StepsView {
	return {
		columns: watch.columns,
		end: watch.numColumnsShown,
		budget: budgetOf(watch),
		numLanes: watch.numLanes,
		columnWidth,
		focus: watch.pointed,
		selected: watch.selectedStep,
	};
}

export function budgetOf(watch: Watch): number {
	return watch.history.live?.engine.maxNumBatchedTokens ?? 1;
}

export function timelineView(watch: Watch): TimelineView {
	const { startMs, endMs, atMs } = watch.span;
	return {
		columns: watch.columns,
		numBlocks: watch.history.live?.engine.numBlocks ?? 1,
		startMs,
		endMs,
		cursorMs: watch.mode.kind === "live" ? null : atMs,
	};
}

const NO_QUEUE: QueueView = { entries: [], numMore: 0, focus: null };

export function queueView(
	watch: Watch,
	kind: "running" | "waiting",
): QueueView {
	const { state } = watch;
	if (state === null) return NO_QUEUE;
	const arrivals = state[kind];
	const entries = arrivals
		.slice(0, MAX_ENTRIES)
		.map((arrival) => queueEntry(state, arrival))
		.filter((entry) => entry !== null);
	const total = kind === "waiting" ? state.numWaiting : arrivals.length;
	return {
		entries,
		numMore: Math.max(0, total - entries.length),
		focus: watch.pointed,
	};
}

function queueEntry(
	{ sequences }: InspectorState,
	arrival: number,
): QueueEntry | null {
	const seq = sequences.get(arrival);
	if (seq === undefined) return null;
	const numPromptTokens = seq.info.promptTokenIds.length;
	return {
		arrival,
		numPromptTokens,
		maxTokens: numPromptTokens + seq.info.maxTokens,
		numComputedTokens: seq.numComputedTokens,
		numCachedTokens: seq.status === "running" ? (seq.numCachedTokens ?? 0) : 0,
	};
}

/** How long an eviction stays marked, at most so many steps. */
const EVICTED_MS = 1500;
const EVICTED_STEPS = 40;
const NOTHING: ReadonlySet<number> = new Set();

/** @param index of the event whose moment is shown while the watch is live; null: the latest's */
export function blocksView(
	watch: Watch,
	numDrawn: number,
	index: number | null = null,
): BlocksView {
	const state = momentOf(watch, index);
	if (state === null) return EMPTY_POOL;
	const { blocks } = state;
	const focused =
		watch.pointed === null
			? undefined
			: state.sequences.get(watch.pointed)?.blockTable;
	const focusedBlocks = focused === undefined ? NOTHING : new Set(focused);
	const evicted = evictedLately(state);
	const chain = chainIds(watch, state);
	return {
		numDrawn: Math.min(numDrawn, blocks.numBlocks),
		numReferences: (block) => blocks.numReferences[block],
		ownerOf: (block) => blocks.owners[block][0] ?? null,
		isCached: (block) => blocks.isCached[block] === 1,
		wasEvicted: (block) => evicted.has(block),
		isFocused: (block) => focusedBlocks.has(block),
		hasFocus: focused !== undefined,
		selected: watch.selectedBlock,
		isInChain: (block) => {
			const content = blocks.contents[block];
			return content !== null && chain.has(content.id);
		},
	};
}

function momentOf(watch: Watch, index: number | null): InspectorState | null {
	const { history, mode, state } = watch;
	if (index === null || mode.kind !== "live") return state;
	return index >= history.firstIndex ? history.seek(index) : state;
}

/** Index of the event after which most blocks were held; null: no step is kept. */
export function fullestMoment(watch: Watch): number | null {
	let fullest: StepColumn | null = null;
	let least = Number.POSITIVE_INFINITY;
	for (const column of watch.columns) {
		const { numFreeBlocks } = column.step.counters;
		if (numFreeBlocks > least) continue;
		least = numFreeBlocks;
		fullest = column;
	}
	return fullest?.index ?? null;
}

const EMPTY_POOL: BlocksView = {
	numDrawn: 0,
	numReferences: () => 0,
	ownerOf: () => null,
	isCached: () => false,
	wasEvicted: () => false,
	isFocused: () => false,
	hasFocus: false,
	selected: null,
	isInChain: () => false,
};

function evictedLately({ steps, atMs }: InspectorState): ReadonlySet<number> {
	const evicted = new Set<number>();
	const oldest = Math.max(0, steps.length - EVICTED_STEPS);
	for (let i = steps.length - 1; i >= oldest; i--) {
		const step = steps[i];
		if (step.submitMs < atMs - EVICTED_MS) break;
		for (const block of step.evicted) evicted.add(block);
	}
	return evicted;
}

function chainIds(
	{ selectedBlock }: Watch,
	{ blocks }: InspectorState,
): ReadonlySet<number> {
	if (selectedBlock === null || selectedBlock >= blocks.numBlocks)
		return NOTHING;
	return new Set(blocks.chain(selectedBlock).map(({ id }) => id));
}

/** null: there is no such block now. @param index as of blocksView */
export function blockFacts(
	watch: Watch,
	block: number,
	index: number | null = null,
): BlockFacts | null {
	const state = momentOf(watch, index);
	if (state === null || block >= state.blocks.numBlocks) return null;
	const { blocks } = state;
	return {
		block,
		holders: blocks.owners[block],
		numReferences: blocks.numReferences[block],
		isCached: blocks.isCached[block] === 1,
		numTokens: (blockTokens(state, block) ?? []).length,
	};
}

export interface BlockLink {
	readonly block: number;
	readonly tokenIds: readonly number[];
}

export interface BlockPrefix {
	/** 0: it is not a full, computed block. */
	readonly contentId: number;
	readonly tokenIds: readonly number[];
	/** The blocks from the prefix's beginning to this one. */
	readonly chain: readonly BlockLink[];
	/** Whether the first of them begins a sequence. */
	readonly isWhole: boolean;
}

export function blockPrefix(
	state: InspectorState,
	block: number,
): BlockPrefix | null {
	const { blocks } = state;
	if (block >= blocks.numBlocks) return null;
	const content = blocks.contents[block];
	const tokenIds = blockTokens(state, block) ?? [];
	const table = tableWith(state, block);
	const link = (it: number) => ({
		block: it,
		tokenIds: blockTokens(state, it) ?? [],
	});
	if (table !== null)
		return {
			contentId: content?.id ?? 0,
			tokenIds,
			chain: table.map(link),
			isWhole: true,
		};
	const contents = blocks.chain(block);
	const holderOf = new Map<number, number>();
	blocks.contents.forEach((it, at) => {
		if (it !== null && !holderOf.has(it.id)) holderOf.set(it.id, at);
	});
	if (content !== null) holderOf.set(content.id, block);
	return {
		contentId: content?.id ?? 0,
		tokenIds,
		chain: contents.map(({ id }) => link(holderOf.get(id) ?? block)),
		isWhole: (contents[0]?.parentId ?? 0) <= 0,
	};
}

/** The block table of a sequence that holds it, up to it. */
function tableWith(
	{ blocks, sequences }: InspectorState,
	block: number,
): readonly number[] | null {
	const [owner] = blocks.owners[block];
	const table = sequences.get(owner)?.blockTable;
	return table?.slice(0, table.indexOf(block) + 1) ?? null;
}

/** A sequence of the moment watched in words. */
export function sequenceWords(watch: Watch, arrival: number): string {
	const { state } = watch;
	const seq = state?.sequences.get(arrival);
	if (seq !== undefined)
		return describeSequence({
			arrival,
			status: seq.status,
			numPromptTokens: seq.info.promptTokenIds.length,
			numOutputTokens: seq.outputTokenIds.length,
			maxTokens: seq.info.maxTokens,
			numCachedTokens: seq.numCachedTokens ?? 0,
			numBlocks: seq.blockTable.length,
		});
	const ended = state?.ended.findLast((it) => it.info.arrival === arrival);
	return describeSequence({
		arrival,
		status: ended === undefined ? "unknown" : "ended",
		numPromptTokens: ended?.info.promptTokenIds.length ?? 0,
		numOutputTokens: ended?.numOutputTokens ?? 0,
		maxTokens: 0,
		numCachedTokens: 0,
		numBlocks: 0,
	});
}
