/** The reference backend: loads every weight as f32 and walks the program op by op, in step. Slow, plain, and the oracle of every test. */
import { NanoVllmError } from "../../errors.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type {
	AdapterWeights,
	Backend,
	CompileOptions,
	Executable,
	Limits,
	StepInput,
	StepOutput,
	WeightSource,
} from "../backend.ts";
import {
	type Activation,
	kvBytesPerToken,
	type Program,
	type Weight,
	weightsOf,
} from "../program.ts";
import { readWeight } from "../read-weight.ts";
import type { LayerCache, Matrix } from "./ops.ts";
import { walk } from "./walk.ts";

/** What the cache takes where nobody says: enough for the bundled model, little enough for any machine. */
const DEFAULT_KV_CACHE_BYTES = 256 * 2 ** 20;

export const referenceBackend: Backend = {
	name: "reference",
	async compile(program, source, options) {
		const weights = await loadWeights(program, source, options);
		return createExecutable(program, weights, options.limits);
	},
};

async function loadWeights(
	program: Program,
	source: WeightSource,
	{ signal, onProgress }: CompileOptions,
): Promise<Map<string, Float32Array>> {
	const wanted = weightsOf(program);
	const total = wanted.reduce((sum, w) => sum + 4 * numElements(w), 0);
	const loaded = new Map<string, Float32Array>();
	let loadedBytes = 0;
	for (const weight of wanted) {
		const data = allocate(numElements(weight), `weight ${weight.name}`);
		await readWeight(source, weight, signal, (bytes, dtype, offset) =>
			data.set(toFloat32(bytes, dtype), offset),
		);
		loaded.set(weight.name, data);
		loadedBytes += data.byteLength;
		onProgress?.(loadedBytes, total);
	}
	return loaded;
}

function numElements(weight: Weight): number {
	return weight.shape.reduce((product, n) => product * n, 1);
}

/** @throws out_of_memory instead of the engine's RangeError */
function allocate(length: number, what: string): Float32Array<ArrayBuffer> {
	try {
		return new Float32Array(length);
	} catch (cause) {
		throw new NanoVllmError(
			"out_of_memory",
			`there is no memory for ${4 * length} bytes of ${what}. Use a smaller model, or lower kvCacheMemoryBytes or maxNumBatchedTokens.`,
			{ cause },
		);
	}
}

function createExecutable(
	program: Program,
	weights: ReadonlyMap<string, Float32Array>,
	limits: Limits,
): Executable {
	const { blockSize } = limits;
	const kvCacheBytes = limits.kvCacheBytes ?? DEFAULT_KV_CACHE_BYTES;
	const bytesPerBlock = kvBytesPerToken(program, 4) * blockSize;
	// No more blocks than all sequences together could ever fill.
	const useful = limits.maxNumSeqs * Math.ceil(limits.maxModelLen / blockSize);
	const numBlocks = Math.min(useful, Math.floor(kvCacheBytes / bytesPerBlock));
	if (numBlocks < 1)
		throw new NanoVllmError(
			"out_of_memory",
			`kvCacheMemoryBytes is ${kvCacheBytes}, one block of ${blockSize} tokens takes ${bytesPerBlock}. Give at least that, better a thousand times as much.`,
		);
	const caches = allocateCaches(program, numBlocks, blockSize);
	const activations = allocateActivations(program, limits);

	const adapters = new Array<AdapterWeights | null>(
		program.adapters?.numSlots ?? 0,
	).fill(null);

	let previousIds = new Int32Array(0);
	const run = (input: StepInput): StepOutput => {
		const tokenIds = input.tokenIds.slice(0, input.numTokens);
		const carried = new Map<number, number>();
		for (let i = 0; i < input.numCarried; i++) {
			const id = previousIds[input.carryFrom[i]];
			tokenIds[input.carryTo[i]] = id;
			carried.set(input.carryTo[i], id);
		}
		const step = { program, weights, caches, activations, adapters };
		const output = walk(step, input, tokenIds, carried);
		previousIds = Int32Array.from(output.tokenIds);
		return output;
	};

	const weightBytes = [...weights.values()].reduce(
		(sum, w) => sum + w.byteLength,
		0,
	);
	return {
		numBlocks,
		weightBytes,
		kvCacheBytes: numBlocks * bytesPerBlock,
		overlaps: false,
		submit: async (input) => run(input),
		async writeAdapter(slot, adapter) {
			adapters[slot] = adapter;
		},
		close: async () => {},
	};
}

function allocateCaches(
	program: Program,
	numBlocks: number,
	blockSize: number,
): LayerCache[] {
	return program.kvLayers.map(({ numKvHeads, headDim }) => {
		const length = numBlocks * numKvHeads * blockSize * headDim;
		return {
			keys: allocate(length, "the KV cache"),
			values: allocate(length, "the KV cache"),
			blockSize,
		};
	});
}

/** One buffer per activation name, made for a full step. Logits take one row: rows are made and sampled one after another. */
function allocateActivations(
	program: Program,
	limits: Limits,
): Map<string, Matrix> {
	const buffers = new Map<string, Matrix>();
	const add = ({ name, rows, width }: Activation) => {
		if (buffers.has(name)) return;
		const length = rows === "T" ? limits.maxNumBatchedTokens : 1;
		buffers.set(name, { data: allocate(length * width, name), width });
	};
	for (const op of program.ops)
		for (const value of Object.values(op))
			if (value !== null && typeof value === "object" && "rows" in value)
				add(value);
	return buffers;
}
