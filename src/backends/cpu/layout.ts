/** Lays a program out in one memory: weights, activations, tasks, steps, and the cache in what is left. Knows no threads and no weights' values. */
import { NanoVllmError } from "../../errors.ts";
import type { Limits, MemoryNeed, TensorDtype } from "../backend.ts";
import type { Op, Program, Weight } from "../program.ts";
import { createArena } from "./arena.ts";
import { expertGroupsOf } from "./expert-tasks.ts";
import {
	FORMATS,
	GROUP_ROWS,
	groupBytes,
	type WeightFormat,
} from "./format.ts";
import {
	createPlaces,
	type PackedMatrix,
	type PlacedVector,
	type Places,
	ROWS_PER_TILE,
	type RopeTable,
} from "./places.ts";
import { CONTROL_BYTES, NUM_STEPS, type Plan } from "./plan.ts";
import {
	paddedHead,
	samplerScratchOf,
	stagingRowOf,
	threadScratchOf,
} from "./scratch.ts";
import { stepBytesOf } from "./step.ts";
import { makeTasks } from "./tasks.ts";

export interface Layout {
	readonly plan: Plan;
	readonly matrices: readonly PackedMatrix[];
	readonly vectors: ReadonlyMap<string, PlacedVector>;
	readonly ropeTables: readonly RopeTable[];
	/** Where steps are written, in turn. */
	readonly steps: readonly number[];
	/** Where rows of weights stand while they are packed. */
	readonly staging: number;
	readonly numBlocks: number;
	readonly weightBytes: number;
	readonly kvCacheBytes: number;
	/** Bytes of memory all this takes. */
	readonly memoryBytes: number;
}

export interface LayoutOptions {
	readonly limits: Limits;
	readonly cacheType: TensorDtype;
	readonly numThreads: number;
	/** Not asked of a mixture's router, which stays in f32. */
	readonly formatOf: (weight: Weight, op: Op) => WeightFormat;
	/** What would make the weights fit, where they do not: the end of the error. */
	readonly mend?: () => string;
}

export const WASM_MEMORY_BYTES = 2 ** 32;
export const PAGE_BYTES = 65_536;
/** Constants of the kernels lie below. */
const FIRST_ADDRESS = 2 ** 16;
/** What the cache takes where nobody says: enough for some long conversations, little enough for any machine. */
const DEFAULT_KV_CACHE_BYTES = 2 ** 30;
export const STAGING_BYTES = 8 * 2 ** 20;

/** Sizes alone: asks for no memory, and a program larger than any has one too. */
export const memoryNeed = (
	program: Program,
	options: LayoutOptions,
): MemoryNeed => layOutSteps(program, options).need;

/** What a WebAssembly memory has room for beside them. */
export const cacheRoom = (need: MemoryNeed): number =>
	need.deviceBytes - need.weightBytes - need.stepBytes;

/** @throws out_of_memory where weights and one block of cache do not fit wasm32 */
export function layOut(program: Program, options: LayoutOptions): Layout {
	const { arena, places, need, blockBytes, cacheTasks, ...laidOut } =
		layOutSteps(program, options);
	const numBlocks = blocksThatFit(options, need);
	const layerStart = program.kvLayers.map((_, layer) =>
		arena.take(numBlocks * blockBytes[layer]),
	);
	for (const { task, layer } of cacheTasks) task.cache = layerStart[layer];
	return {
		...laidOut,
		matrices: [...places.matrices.values()],
		vectors: places.vectors,
		ropeTables: [...places.ropes.values()],
		numBlocks,
		weightBytes: need.weightBytes,
		kvCacheBytes: numBlocks * need.bytesPerBlock,
		memoryBytes: arena.end,
	};
}

/** Everything but the cache. */
function layOutSteps(program: Program, options: LayoutOptions) {
	const { limits, numThreads, cacheType } = options;
	const arena = createArena(FIRST_ADDRESS);
	const control = arena.take(CONTROL_BYTES);
	const places = createPlaces(arena, limits, options.formatOf);
	// Weights first: they are what the file brings, and what does not fit is said in their terms.
	for (const op of program.ops) placeWeights(op, places);
	const weightBytes = arena.end - FIRST_ADDRESS;

	const elementBytes = cacheType === "f32" ? 4 : 2;
	const blockBytes = program.kvLayers.map(
		({ numKvHeads, headDim }) =>
			2 * numKvHeads * limits.blockSize * paddedHead(headDim) * elementBytes,
	);
	const { tasks, cacheTasks } = makeTasks(
		program,
		places,
		arena,
		limits,
		blockBytes,
	);
	const matrices = [...places.matrices.values()];
	const groups = arena.take(groupsBytes(program, limits, matrices));
	const samplerScratchBytes = samplerScratchOf(program.vocabSize);
	const samplerScratch = arena.take(numThreads * samplerScratchBytes);
	const threadScratchBytes = threadScratchOf(program, matrices);
	const threadScratch = arena.take(numThreads * threadScratchBytes);
	const numSlots = program.adapters?.numSlots ?? 0;
	const stepBytes = stepBytesOf(limits, program.vocabSize, numSlots);
	const steps = Array.from({ length: NUM_STEPS }, () => arena.take(stepBytes));
	const staging = arena.take(STAGING_BYTES + stagingRowOf(matrices));

	const bytesPerBlock = blockBytes.reduce((sum, bytes) => sum + bytes, 0);
	return {
		arena,
		places,
		need: {
			weightBytes,
			stepBytes: arena.end - weightBytes,
			bytesPerBlock,
			blockSize: limits.blockSize,
			deviceBytes: WASM_MEMORY_BYTES - PAGE_BYTES,
		},
		blockBytes,
		cacheTasks,
		steps,
		staging,
		plan: {
			tasks,
			cacheType: FORMATS[cacheType].id,
			cacheElementBytes: elementBytes,
			blockSize: limits.blockSize,
			numThreads,
			control,
			groups,
			threadScratch,
			threadScratchBytes,
			samplerScratch,
			samplerScratchBytes,
		},
	};
}

export const mib = (bytes: number): string =>
	`${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Every weight and norm the op names. */
function placeWeights(op: Op, places: Places): void {
	for (const value of Object.values(op)) {
		if (value === null || typeof value !== "object") continue;
		if ("eps" in value) places.vector(value.weight);
		else if (!("parts" in value)) continue;
		else if (value.shape.length === 1) places.vector(value);
		else places.matrix(value, op);
	}
}

/** Room for the prepared rows of any linear. */
function groupsBytes(
	program: Program,
	limits: Limits,
	matrices: readonly PackedMatrix[],
): number {
	const rows = Math.max(limits.maxNumBatchedTokens, ROWS_PER_TILE);
	const expertGroups = expertGroupsOf(program, limits);
	const bytes = matrices.map(({ format, columns, numExperts }) => {
		const groups = Math.ceil(rows / GROUP_ROWS);
		const most = numExperts > 1 ? Math.max(groups, expertGroups) : groups;
		return most * groupBytes(format, columns);
	});
	return Math.max(0, ...bytes);
}

function blocksThatFit(
	{ limits, mend }: LayoutOptions,
	need: MemoryNeed,
): number {
	const { weightBytes, stepBytes, bytesPerBlock } = need;
	const room = cacheRoom(need);
	if (room < bytesPerBlock)
		throw new NanoVllmError(
			"out_of_memory",
			`the weights take ${mib(weightBytes)} and the step's buffers ${mib(stepBytes)}: they do not fit the 4096 MiB of a WebAssembly memory. ${mend?.() ?? "Choose a smaller model."}`,
		);
	const wanted = limits.kvCacheBytes ?? DEFAULT_KV_CACHE_BYTES;
	if (wanted < bytesPerBlock)
		throw new NanoVllmError(
			"out_of_memory",
			`kvCacheMemoryBytes is ${wanted}, one block of ${limits.blockSize} tokens takes ${bytesPerBlock}. Give at least that, better a thousand times as much.`,
		);
	if (limits.kvCacheBytes !== null && wanted > room)
		throw new NanoVllmError(
			"out_of_memory",
			`kvCacheMemoryBytes is ${wanted}; beside the weights a WebAssembly memory has room for ${room}. Lower it to that, or load with quantization "q8_0" or "q4_0".`,
		);
	const useful =
		limits.maxNumSeqs * Math.ceil(limits.maxModelLen / limits.blockSize);
	return Math.min(useful, Math.floor(Math.min(wanted, room) / bytesPerBlock));
}
