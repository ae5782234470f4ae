/**
 * Events as history keeps them: what comes with every step lies in arrays of numbers, a fifth of the size of the objects they came as,
 * so that minutes of 256 sequences fit. Packing loses nothing.
 */
import type {
	BlockState,
	EndEvent,
	EngineEvent,
	OutputEvent,
	SnapshotEvent,
	StepEvent,
} from "../engine/events.ts";
import { StepRows } from "./step-rows.ts";

export type PackedEvent =
	| PackedStep
	| PackedOutput
	| PackedEnd
	| Exclude<EngineEvent, StepEvent | OutputEvent | EndEvent>;

export interface PackedStep
	extends Omit<StepEvent, "rows" | "waiting" | "running" | "blocks"> {
	readonly rows: StepRows;
	readonly waiting: Int32Array;
	readonly running: Int32Array;
	readonly blocks: Float64Array;
}

interface PackedOutput extends Omit<OutputEvent, "tokens"> {
	/** arrival, token id */
	readonly tokens: Int32Array;
}

interface PackedEnd extends Omit<EndEvent, "blocks"> {
	readonly blocks: Float64Array;
}

/** block, references, content, parent, cached */
const BLOCK_STRIDE = 5;

/** An object of a few fields, with its place in a list. */
const RECORD_BYTES = 72;
const EVENT_BYTES = 256;

/** @param last the step before, whose lists are shared where they are the same */
export function packEvent(
	event: EngineEvent,
	last: PackedStep | null,
): PackedEvent {
	switch (event.type) {
		case "step":
			return {
				...event,
				rows: StepRows.of(event.rows),
				waiting: packNumbers(event.waiting, last?.waiting),
				running: packNumbers(event.running, last?.running),
				blocks: packBlocks(event.blocks),
			};
		case "output": {
			const tokens = new Int32Array(2 * event.tokens.length);
			event.tokens.forEach(({ arrival, tokenId }, i) => {
				tokens[2 * i] = arrival;
				tokens[2 * i + 1] = tokenId;
			});
			return { ...event, tokens };
		}
		case "end":
			return { ...event, blocks: packBlocks(event.blocks) };
		default:
			return event;
	}
}

export function unpackEvent(packed: PackedEvent): EngineEvent {
	switch (packed.type) {
		case "step":
			return {
				...packed,
				rows: packed.rows.toEvents(),
				waiting: Array.from(packed.waiting),
				running: Array.from(packed.running),
				blocks: unpackBlocks(packed.blocks),
			};
		case "output": {
			const { tokens } = packed;
			return {
				...packed,
				tokens: Array.from({ length: tokens.length / 2 }, (_, i) => ({
					arrival: tokens[2 * i],
					tokenId: tokens[2 * i + 1],
				})),
			};
		}
		case "end":
			return { ...packed, blocks: unpackBlocks(packed.blocks) };
		default:
			return packed;
	}
}

/** Roughly, in memory. */
export function packedBytes(packed: PackedEvent): number {
	switch (packed.type) {
		case "step": {
			const { rows, waiting, running, blocks, admitted, tables } = packed;
			const numNumbers =
				packed.evicted.length +
				packed.preempted.length +
				tables.reduce((sum, { added }) => sum + added.length, 0);
			return (
				3 * EVENT_BYTES +
				rows.numBytes +
				waiting.byteLength +
				running.byteLength +
				blocks.byteLength +
				RECORD_BYTES * (admitted.length + 2 * tables.length) +
				8 * numNumbers
			);
		}
		case "output":
			return EVENT_BYTES + packed.tokens.byteLength;
		case "end":
			return EVENT_BYTES + packed.blocks.byteLength;
		case "arrival":
			return 2 * EVENT_BYTES + 8 * packed.sequence.promptTokenIds.length;
		case "snapshot":
			return EVENT_BYTES + snapshotBytes(packed);
		case "pause":
			return EVENT_BYTES;
		default:
			return packed satisfies never;
	}
}

function snapshotBytes(event: SnapshotEvent): number {
	const { sequences, blocks, waiting, running } = event;
	let numNumbers = waiting.length + running.length;
	for (const { promptTokenIds, outputTokenIds, blockTable } of sequences)
		numNumbers +=
			promptTokenIds.length + outputTokenIds.length + blockTable.length;
	for (const { tokenIds } of blocks) numNumbers += tokenIds?.length ?? 0;
	return RECORD_BYTES * (4 * sequences.length + blocks.length) + 8 * numNumbers;
}

function packNumbers(
	numbers: readonly number[],
	last: Int32Array | undefined,
): Int32Array {
	const isSame =
		last !== undefined &&
		last.length === numbers.length &&
		numbers.every((it, i) => last[i] === it);
	return isSame ? last : Int32Array.from(numbers);
}

function packBlocks(blocks: readonly BlockState[]): Float64Array {
	const data = new Float64Array(BLOCK_STRIDE * blocks.length);
	blocks.forEach((it, i) => {
		const { block, numReferences, contentId, parentContentId } = it;
		const cached = Number(it.isCached);
		data.set(
			[block, numReferences, contentId, parentContentId, cached],
			BLOCK_STRIDE * i,
		);
	});
	return data;
}

function unpackBlocks(data: Float64Array): BlockState[] {
	return Array.from({ length: data.length / BLOCK_STRIDE }, (_, i) => {
		const at = BLOCK_STRIDE * i;
		return {
			block: data[at],
			numReferences: data[at + 1],
			contentId: data[at + 2],
			parentContentId: data[at + 3],
			isCached: data[at + 4] === 1,
		};
	});
}
