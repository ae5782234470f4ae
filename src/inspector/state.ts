/**
 * An engine as its events tell of it: queues, sequences, every block of the KV cache and what is in it, the last steps, series over
 * time. A reducer that changes its state in place, for 8,192 blocks and 256 sequences sixty times a second. Knows events alone: no
 * engine, no page.
 */
import type {
	ArrivalEvent,
	BlockState,
	EndEvent,
	EngineCounters,
	EngineEvent,
	EngineInfo,
	OutputEvent,
	SequenceInfo,
	SnapshotEvent,
	StepEvent,
} from "../engine/events.ts";
import { BlockMap } from "./block-map.ts";
import { addToSeries, emptySeries, type Series } from "./series.ts";
import { StepRows } from "./step-rows.ts";

export interface InspectorState {
	engine: EngineInfo;
	/** Time of the last event. */
	atMs: number;
	/** Steps scheduled so far. */
	step: number;
	paused: boolean;
	/** Arrivals, first to run first. Of a long queue the head, as of the last step. */
	waiting: number[];
	numWaiting: number;
	running: readonly number[];
	/** By arrival: those that run, and the head of the queue. */
	readonly sequences: Map<number, InspectedSequence>;
	/** The last that ended, latest last: a step drawn may name them. */
	readonly ended: EndedSequence[];
	blocks: BlockMap;
	counters: EngineCounters;
	/** The last steps, latest last. */
	readonly steps: InspectedStep[];
	series: Series;
}

export interface InspectedSequence {
	readonly info: SequenceInfo;
	status: "waiting" | "running";
	/** Grows at its end alone. */
	readonly outputTokenIds: number[];
	numComputedTokens: number;
	/** Prompt tokens found in the prefix cache when it first ran; null before. */
	numCachedTokens: number | null;
	readonly blockTable: number[];
}

export interface EndedSequence {
	readonly info: SequenceInfo;
	readonly atMs: number;
	readonly reason: EndEvent["reason"];
	readonly numOutputTokens: number;
}

/** A step, and what came of it. Never changed: replaced when its results are read. */
export interface InspectedStep {
	readonly step: number;
	/** When the scheduler began. */
	readonly startMs: number;
	/** When the device had it. */
	readonly submitMs: number;
	/** When its results were read; null: not yet. */
	readonly outputMs: number | null;
	readonly numTokens: number;
	readonly numOutputTokens: number;
	/** Decodes first. */
	readonly rows: StepRows;
	readonly admitted: StepEvent["admitted"];
	readonly preempted: readonly number[];
	/** Blocks whose cached prefix was dropped to make room. */
	readonly evicted: readonly number[];
	readonly numWaiting: number;
	readonly numRunning: number;
	readonly counters: EngineCounters;
}

export const MAX_STEPS = 600;
export const MAX_ENDED = 512;

export function createState(snapshot: SnapshotEvent): InspectorState {
	const state: InspectorState = {
		engine: snapshot.engine,
		atMs: snapshot.atMs,
		step: 0,
		paused: false,
		waiting: [],
		numWaiting: 0,
		running: [],
		sequences: new Map(),
		ended: [],
		blocks: new BlockMap(snapshot.engine.numBlocks),
		counters: snapshot.counters,
		steps: [],
		series: emptySeries(),
	};
	applySnapshot(state, snapshot);
	return state;
}

/**
 * Changes the state by one event. Of sequences it was never told of it learns nothing.
 * @param rows the step's, where they are packed already
 */
export function applyEvent(
	state: InspectorState,
	event: EngineEvent,
	rows?: StepRows,
): void {
	addToSeries(state.series, state, event);
	switch (event.type) {
		case "snapshot":
			applySnapshot(state, event);
			break;
		case "arrival":
			applyArrival(state, event);
			break;
		case "step":
			applyStep(state, event, rows ?? StepRows.of(event.rows));
			break;
		case "output":
			applyOutput(state, event);
			break;
		case "end":
			applyEnd(state, event);
			break;
		case "pause":
			state.paused = event.paused;
			state.atMs = event.atMs;
			break;
		default:
			event satisfies never;
	}
}

/** Replaces all that is; what was stays where it is the same engine's. */
function applySnapshot(state: InspectorState, event: SnapshotEvent): void {
	if (event.atMs < state.atMs || event.step < state.step) {
		state.steps.length = 0;
		state.ended.length = 0;
		state.series = emptySeries();
	}
	state.engine = event.engine;
	state.atMs = event.atMs;
	state.step = event.step;
	state.paused = event.paused;
	state.waiting = [...event.waiting];
	state.numWaiting = event.numWaiting;
	state.running = event.running;
	state.counters = event.counters;
	state.sequences.clear();
	state.blocks = new BlockMap(event.engine.numBlocks);
	for (const sequence of event.sequences) {
		const { status, outputTokenIds, numComputedTokens } = sequence;
		const { numCachedTokens, blockTable, ...info } = sequence;
		state.sequences.set(sequence.arrival, {
			info,
			status,
			outputTokenIds: [...outputTokenIds],
			numComputedTokens,
			numCachedTokens,
			blockTable: [...blockTable],
		});
		state.blocks.own(sequence.arrival, blockTable);
	}
	applyBlocks(state, event.blocks);
}

function applyArrival(state: InspectorState, event: ArrivalEvent): void {
	const { sequence: info, numWaiting, atMs } = event;
	state.atMs = atMs;
	state.numWaiting = numWaiting;
	if (state.sequences.has(info.arrival)) return;
	state.sequences.set(info.arrival, {
		info,
		status: "waiting",
		outputTokenIds: [],
		numComputedTokens: 0,
		numCachedTokens: null,
		blockTable: [],
	});
	insertInOrder(state, info);
}

/** First by priority, then by arrival. */
function insertInOrder(
	{ waiting, sequences }: InspectorState,
	{ arrival, priority }: SequenceInfo,
): void {
	let at = waiting.length;
	for (; at > 0; at--) {
		const before = sequences.get(waiting[at - 1])?.info;
		if (before === undefined || before.priority < priority) break;
		if (before.priority === priority && before.arrival < arrival) break;
	}
	waiting.splice(at, 0, arrival);
}

function applyStep(
	state: InspectorState,
	event: StepEvent,
	rows: StepRows,
): void {
	state.atMs = event.submitMs;
	state.step = event.step;
	state.waiting = [...event.waiting];
	state.numWaiting = event.numWaiting;
	state.running = event.running;
	state.counters = event.counters;
	for (const arrival of event.preempted) {
		const seq = state.sequences.get(arrival);
		if (seq === undefined) continue;
		seq.status = "waiting";
		seq.numComputedTokens = 0;
	}
	for (const { arrival, numCachedTokens } of event.admitted) {
		const seq = state.sequences.get(arrival);
		if (seq === undefined) continue;
		seq.status = "running";
		seq.numCachedTokens ??= numCachedTokens;
	}
	for (const { arrival, start, numTokens } of event.rows) {
		const seq = state.sequences.get(arrival);
		if (seq !== undefined) seq.numComputedTokens = start + numTokens;
	}
	for (const table of event.tables) applyTable(state, table);
	applyBlocks(state, event.blocks);
	state.steps.push(stepOf(event, rows));
	if (state.steps.length > MAX_STEPS) state.steps.shift();
}

function stepOf(event: StepEvent, rows: StepRows): InspectedStep {
	const { step, startMs, submitMs, numTokens, numWaiting, counters } = event;
	const { admitted, preempted, evicted, running } = event;
	return {
		step,
		startMs,
		submitMs,
		outputMs: null,
		numTokens,
		numOutputTokens: 0,
		rows,
		admitted,
		preempted,
		evicted,
		numWaiting,
		numRunning: running.length,
		counters,
	};
}

function applyTable(
	{ sequences, blocks }: InspectorState,
	{ arrival, kept, added }: StepEvent["tables"][number],
): void {
	const table = sequences.get(arrival)?.blockTable;
	if (table === undefined) return;
	blocks.disown(arrival, table.splice(kept));
	blocks.own(arrival, added);
	for (const block of added) table.push(block);
}

function applyOutput(state: InspectorState, event: OutputEvent): void {
	state.atMs = event.atMs;
	for (const { arrival, tokenId } of event.tokens)
		state.sequences.get(arrival)?.outputTokenIds.push(tokenId);
	const { counters, steps } = state;
	const numOutputTokens = event.tokens.length;
	state.counters = {
		...counters,
		numGenerationTokens: counters.numGenerationTokens + numOutputTokens,
	};
	const at = steps.findLastIndex(({ step }) => step === event.step);
	if (at >= 0)
		steps[at] = { ...steps[at], outputMs: event.atMs, numOutputTokens };
}

function applyEnd(state: InspectorState, event: EndEvent): void {
	const { arrival, atMs, reason } = event;
	state.atMs = atMs;
	state.numWaiting = event.numWaiting;
	const seq = state.sequences.get(arrival);
	if (seq !== undefined) {
		state.blocks.disown(arrival, seq.blockTable);
		state.sequences.delete(arrival);
		const numOutputTokens = seq.outputTokenIds.length;
		state.ended.push({ info: seq.info, atMs, reason, numOutputTokens });
		if (state.ended.length > MAX_ENDED) state.ended.shift();
	}
	const others = (it: number) => it !== arrival;
	state.waiting = state.waiting.filter(others);
	state.running = state.running.filter(others);
	applyBlocks(state, event.blocks);
}

function applyBlocks(
	state: InspectorState,
	changed: readonly BlockState[],
): void {
	const { blocks } = state;
	for (const block of changed)
		blocks.set(block, () => ownedTokens(state, block.block));
	if (blocks.numFree === state.counters.numFreeBlocks) return;
	state.counters = { ...state.counters, numFreeBlocks: blocks.numFree };
}

/** A block's tokens as its owner knows them, which may be fewer than it has room for; null: nobody holds it. */
function ownedTokens(
	{ blocks, sequences, engine: { blockSize } }: InspectorState,
	block: number,
): number[] | null {
	const seq = sequences.get(blocks.owners[block][0]);
	if (seq === undefined) return null;
	// Blocks that are asked about lie near the end.
	const at = seq.blockTable.lastIndexOf(block);
	const numComputed = seq.numComputedTokens - at * blockSize;
	return tokensAt(seq, at * blockSize, Math.min(blockSize, numComputed));
}

/** What is in a block: a whole one's content, else what its owner has put there so far; null: it is empty, or its tokens were never told. */
export function blockTokens(
	state: InspectorState,
	block: number,
): readonly number[] | null {
	const content = state.blocks.contents[block];
	return content === null ? ownedTokens(state, block) : content.tokenIds;
}

/** Known tokens from a position on, so many at most. */
function tokensAt(
	{ info, outputTokenIds }: InspectedSequence,
	start: number,
	length: number,
): number[] {
	if (length <= 0) return [];
	const { promptTokenIds } = info;
	const behind = start - promptTokenIds.length;
	const fromPrompt = promptTokenIds.slice(start, start + length);
	const fromOutput = outputTokenIds.slice(
		Math.max(0, behind),
		Math.max(0, behind + length),
	);
	return [...fromPrompt, ...fromOutput];
}
