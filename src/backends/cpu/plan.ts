/**
 * A program as the list of tasks its threads walk, every buffer at a fixed address of one memory. Plain data: it is posted to
 * the workers as it is. Knows no threads and no weights' values.
 */
import { NanoVllmError } from "../../errors.ts";
import type { Limits, TensorDtype } from "../backend.ts";
import type { Activation, Norm, Op, Program, Weight } from "../program.ts";
import {
	depthOf,
	FORMATS,
	GROUP_ROWS,
	groupBytes,
	isQuantized,
	PANEL_COLUMNS,
	panelBytes,
	type WeightFormat,
} from "./format.ts";
import { stepBytesOf } from "./step.ts";

/** A weight matrix as panels in memory. */
export interface PackedMatrix {
	readonly weight: Weight;
	readonly format: WeightFormat;
	readonly address: number;
	readonly columns: number;
	readonly depth: number;
	readonly panelBytes: number;
	/** Panels of gate and up rows alternate: the second half of the rows starts at panel 1, and a row's next panel is 2 on. */
	readonly interleaved: boolean;
}

export interface LinearTask {
	readonly kind: "linear";
	readonly mode: "store" | "add" | "gated";
	readonly format: number;
	readonly input: number;
	readonly width: number;
	/** 0: not normalised */
	readonly norm: number;
	readonly eps: number;
	readonly depth: number;
	readonly groupBytes: number;
	readonly w: number;
	readonly panelBytes: number;
	/** Panels of output columns; of pairs where gated. */
	readonly numPanels: number;
	/** 0: none */
	readonly bias: number;
	readonly output: number;
	readonly columns: number;
}

export type Task =
	| {
			readonly kind: "embed";
			readonly format: number;
			readonly table: number;
			readonly panelBytes: number;
			readonly depth: number;
			readonly output: number;
			readonly width: number;
	  }
	| LinearTask
	| {
			readonly kind: "ropeAndCache";
			readonly qkv: number;
			readonly width: number;
			readonly numHeads: number;
			readonly numKvHeads: number;
			readonly headDim: number;
			readonly qNorm: number;
			readonly kNorm: number;
			readonly eps: number;
			readonly cosSin: number;
			readonly cache: number;
			readonly blockBytes: number;
	  }
	| {
			readonly kind: "attention";
			readonly qkv: number;
			readonly width: number;
			readonly numHeads: number;
			readonly numKvHeads: number;
			readonly headDim: number;
			readonly scale: number;
			readonly window: number;
			readonly cache: number;
			readonly blockBytes: number;
			readonly output: number;
	  }
	/** logits and sample in one: rows are made and sampled a tile at a time, so that logits take little memory. */
	| {
			readonly kind: "sample";
			readonly linear: LinearTask;
			readonly rowsPerTile: number;
			readonly vocabSize: number;
	  };

/** cos and sin of every position for one set of frequencies: f32 [maxModelLen][headDim]. */
export interface RopeTable {
	readonly address: number;
	readonly inverseFrequencies: Float32Array;
}

export interface Plan {
	readonly tasks: readonly Task[];
	readonly cacheType: number;
	readonly cacheElementBytes: number;
	readonly blockSize: number;
	readonly numThreads: number;
	/** Control words: see walk.ts. */
	readonly control: number;
	/** Prepared activation rows of the linear in progress. */
	readonly groups: number;
	/** Per thread: threadScratch + thread · threadScratchBytes; and zeros the sampler leaves as they were. */
	readonly threadScratch: number;
	readonly threadScratchBytes: number;
	readonly samplerScratch: number;
	readonly samplerScratchBytes: number;
}

export interface Layout {
	readonly plan: Plan;
	readonly matrices: readonly PackedMatrix[];
	readonly vectors: ReadonlyMap<string, { weight: Weight; address: number }>;
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
	readonly formatOf: (weight: Weight, op: Op) => WeightFormat;
}

export const WASM_MEMORY_BYTES = 2 ** 32;
export const PAGE_BYTES = 65_536;
/** Constants of the kernels lie below. */
const FIRST_ADDRESS = 2 ** 16;
/** Logit rows made and sampled together. */
const ROWS_PER_TILE = 64;
/** What the cache takes where nobody says: enough for some long conversations, little enough for any machine. */
const DEFAULT_KV_CACHE_BYTES = 2 ** 30;
/** The step that runs, the one before whose ids it carries, and the one being written. */
export const NUM_STEPS = 3;
export const STAGING_BYTES = 8 * 2 ** 20;
export const CONTROL_BYTES = 256;

/** Query tokens of one attention item. */
export const QUERY_TILE = 64;

/** Hands out addresses, 64-byte aligned, one after another. */
export function createArena(start: number) {
	let next = start;
	return {
		take(bytes: number): number {
			const address = next;
			next = Math.ceil((next + bytes) / 64) * 64;
			return address;
		},
		get end(): number {
			return next;
		},
	};
}

/** @throws out_of_memory where weights and one block of cache do not fit wasm32 */
export function layOut(program: Program, options: LayoutOptions): Layout {
	const { limits, numThreads, cacheType } = options;
	const arena = createArena(FIRST_ADDRESS);
	const control = arena.take(CONTROL_BYTES);
	const matrices = new Map<string, PackedMatrix>();
	const vectors = new Map<string, { weight: Weight; address: number }>();
	const buffers = new Map<string, number>();
	const ropes = new Map<string, RopeTable>();

	const matrix = (weight: Weight, op: Op): PackedMatrix => {
		const known = matrices.get(weight.name);
		if (known !== undefined) return known;
		const [rows, columns] = weight.shape;
		const format = options.formatOf(weight, op);
		const interleaved = op.op === "normGatedLinear";
		const panels = interleaved
			? 2 * Math.ceil(rows / 2 / PANEL_COLUMNS)
			: Math.ceil(rows / PANEL_COLUMNS);
		const bytes = panelBytes(format, columns);
		const packed: PackedMatrix = {
			weight,
			format,
			columns,
			interleaved,
			address: arena.take(panels * bytes),
			depth: depthOf(format, columns),
			panelBytes: bytes,
		};
		matrices.set(weight.name, packed);
		return packed;
	};
	const vector = (weight: Weight | null): number => {
		if (weight === null) return 0;
		const known = vectors.get(weight.name);
		if (known !== undefined) return known.address;
		const address = arena.take(weight.shape[0] * 4 + 32);
		vectors.set(weight.name, { weight, address });
		return address;
	};

	// Weights first: they are what the file brings, and what does not fit is said in their terms.
	for (const op of program.ops) {
		if ("weight" in op) matrix(op.weight, op);
		if ("norm" in op) vector(op.norm?.weight ?? null);
		if ("bias" in op) vector(op.bias);
		if (op.op === "ropeAndCache") {
			vector(op.qNorm?.weight ?? null);
			vector(op.kNorm?.weight ?? null);
		}
	}
	const weightBytes = arena.end - FIRST_ADDRESS;

	const buffer = (activation: Activation): number => {
		const known = buffers.get(activation.name);
		if (known !== undefined) return known;
		const rows =
			activation.rows === "T" ? limits.maxNumBatchedTokens : ROWS_PER_TILE;
		const address = arena.take(rows * activation.width * 4 + 64);
		buffers.set(activation.name, address);
		return address;
	};
	const ropeTable = (inverseFrequencies: Float32Array): number => {
		const key = inverseFrequencies.join();
		const known = ropes.get(key);
		if (known !== undefined) return known.address;
		const bytes = limits.maxModelLen * inverseFrequencies.length * 8;
		const table = { address: arena.take(bytes), inverseFrequencies };
		ropes.set(key, table);
		return table.address;
	};
	const linear = (
		mode: LinearTask["mode"],
		op: Op & { weight: Weight },
		input: Activation,
		norm: Norm | null,
		bias: Weight | null,
		output: Activation,
	): LinearTask => {
		const packed = matrix(op.weight, op);
		const columns = op.weight.shape[0] / (mode === "gated" ? 2 : 1);
		return {
			kind: "linear",
			mode,
			format: FORMATS[packed.format].id,
			input: buffer(input),
			width: packed.columns,
			norm: vector(norm?.weight ?? null),
			eps: norm?.eps ?? 0,
			depth: packed.depth,
			groupBytes: groupBytes(packed.format, packed.columns),
			w: packed.address,
			panelBytes: packed.panelBytes,
			numPanels: Math.ceil(columns / PANEL_COLUMNS),
			bias: vector(bias),
			output: buffer(output),
			columns,
		};
	};

	const elementBytes = cacheType === "f32" ? 4 : 2;
	const blockBytes = program.kvLayers.map(
		({ numKvHeads, headDim }) =>
			2 * numKvHeads * limits.blockSize * paddedHead(headDim) * elementBytes,
	);
	/** Layer l's cache lies behind those before it; known once the number of blocks is. */
	const cacheTasks: { task: { cache: number }; layer: number }[] = [];
	const tasks: Task[] = [];
	let logits: LinearTask | null = null;
	for (const op of program.ops) {
		switch (op.op) {
			case "embed": {
				const table = matrix(op.weight, op);
				tasks.push({
					kind: "embed",
					format: FORMATS[table.format].id,
					table: table.address,
					panelBytes: table.panelBytes,
					depth: table.depth,
					output: buffer(op.output),
					width: table.columns,
				});
				break;
			}
			case "normLinear":
				tasks.push(linear("store", op, op.input, op.norm, op.bias, op.output));
				break;
			case "linearAdd":
				tasks.push(linear("add", op, op.input, null, op.bias, op.residual));
				break;
			case "normGatedLinear":
				tasks.push(linear("gated", op, op.input, op.norm, null, op.output));
				break;
			case "ropeAndCache": {
				const task = {
					kind: "ropeAndCache" as const,
					qkv: buffer(op.qkv),
					width: op.qkv.width,
					...op.heads,
					qNorm: vector(op.qNorm?.weight ?? null),
					kNorm: vector(op.kNorm?.weight ?? null),
					eps: op.qNorm?.eps ?? op.kNorm?.eps ?? 0,
					cosSin: op.rope ? ropeTable(op.rope.inverseFrequencies) : 0,
					cache: 0,
					blockBytes: blockBytes[op.layer],
				};
				tasks.push(task);
				cacheTasks.push({ task, layer: op.layer });
				break;
			}
			case "attention": {
				const task = {
					kind: "attention" as const,
					qkv: buffer(op.qkv),
					width: op.qkv.width,
					...op.heads,
					scale: op.scale,
					window: op.slidingWindow ?? 0,
					cache: 0,
					blockBytes: blockBytes[op.layer],
					output: buffer(op.output),
				};
				tasks.push(task);
				cacheTasks.push({ task, layer: op.layer });
				break;
			}
			case "mixtureOfExperts":
				throw new Error("nano-vllm bug: refused by checkPlainOps");
			case "logits":
				logits = linear("store", op, op.input, op.norm, null, op.output);
				break;
			case "sample":
				if (logits === null)
					throw new Error("nano-vllm bug: a program makes logits first");
				tasks.push({
					kind: "sample",
					linear: logits,
					rowsPerTile: ROWS_PER_TILE,
					vocabSize: program.vocabSize,
				});
				break;
			default:
				op satisfies never;
		}
	}

	const groupRows = Math.max(limits.maxNumBatchedTokens, ROWS_PER_TILE);
	const widest = Math.max(
		...[...matrices.values()].map((m) => groupBytes(m.format, m.columns)),
	);
	const groups = arena.take(Math.ceil(groupRows / GROUP_ROWS) * widest);
	const samplerScratchBytes = samplerScratchOf(program.vocabSize);
	const samplerScratch = arena.take(numThreads * samplerScratchBytes);
	const threadScratchBytes = scratchBytes(program, [...matrices.values()]);
	const threadScratch = arena.take(numThreads * threadScratchBytes);
	const stepBytes = stepBytesOf(limits, program.vocabSize);
	const steps = Array.from({ length: NUM_STEPS }, () => arena.take(stepBytes));
	const staging = arena.take(STAGING_BYTES + stagingRow(matrices.values()));

	const bytesPerBlock = blockBytes.reduce((sum, bytes) => sum + bytes, 0);
	const numBlocks = blocksThatFit(
		limits,
		bytesPerBlock,
		arena.end,
		weightBytes,
	);
	const layerStart = program.kvLayers.map((_, layer) =>
		arena.take(numBlocks * blockBytes[layer]),
	);
	for (const { task, layer } of cacheTasks) task.cache = layerStart[layer];

	return {
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
		matrices: [...matrices.values()],
		vectors,
		ropeTables: [...ropes.values()],
		steps,
		staging,
		numBlocks,
		weightBytes,
		kvCacheBytes: numBlocks * bytesPerBlock,
		memoryBytes: arena.end,
	};
}

/** Heads are stored 16 elements at a time. */
export function paddedHead(headDim: number): number {
	return Math.ceil(headDim / 16) * 16;
}

function blocksThatFit(
	limits: Limits,
	bytesPerBlock: number,
	taken: number,
	weightBytes: number,
): number {
	const room = WASM_MEMORY_BYTES - PAGE_BYTES - taken;
	const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
	if (room < bytesPerBlock)
		throw new NanoVllmError(
			"out_of_memory",
			`the weights take ${mib(weightBytes)} and the step's buffers ${mib(taken - weightBytes)}: they do not fit the 4096 MiB of a WebAssembly memory. Load with quantization "q8_0" or "q4_0", or a smaller maxNumBatchedTokens.`,
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

/** One thread's scratch: a padded row, a tile, or the queries, sums and scores of an attention item. */
function scratchBytes(
	program: Program,
	matrices: readonly PackedMatrix[],
): number {
	const row = Math.max(...matrices.map((m) => (m.columns + 32) * 4));
	const attention = Math.max(
		...program.kvLayers.map(({ headDim, numHeads, numKvHeads }) => {
			const one = (8 * paddedHead(headDim) + 4 * 64 + 64) * 4;
			const rows = QUERY_TILE * (numHeads / numKvHeads);
			return Math.max(one, tilesScratch(rows, headDim));
		}),
	);
	return Math.ceil((Math.max(row, attention, 512) + 256) / 64) * 64;
}

/** What assembly/attention-tiles.ts's attend_tiles wants. */
export function tilesScratch(rows: number, headDim: number): number {
	const groups = Math.ceil(rows / GROUP_ROWS);
	const padded = Math.ceil(headDim / 16) * 16;
	return groups * 32 * padded + groups * 48 + 64 * padded * 8 + 4096;
}

/** What assembly/sample.ts's sample_row wants: counts, raw logits, a list, the maxima of 64 logits each, bins, and what says where they are. */
export function samplerScratchOf(vocabSize: number): number {
	const words = 3 * vocabSize + Math.ceil(vocabSize / 64);
	return Math.ceil((words * 4 + 2048 * 8 + 64) / 64) * 64;
}

function stagingRow(matrices: Iterable<PackedMatrix>): number {
	let widest = 0;
	for (const { columns, format } of matrices) {
		const padded = isQuantized(format) ? columns + 32 : columns;
		widest = Math.max(widest, padded * 4);
	}
	return widest;
}
