/** The paged KV cache on the GPU: how many blocks there is room for, and their buffers. */
import { NanoVllmError } from "../../errors.ts";
import type { Limits } from "../backend.ts";
import type { Heads, Program } from "../program.ts";
import { type Gpu, USAGE } from "./device.ts";
import { stride8 } from "./layout.ts";

export interface LayerCache {
	readonly keys: GPUBuffer;
	readonly values: GPUBuffer;
}

export interface KvCache {
	readonly layers: readonly LayerCache[];
	readonly numBlocks: number;
	readonly bytes: number;
	destroy(): void;
}

/** Where the device shares the machine's memory, and nobody says how much of it the cache may have. */
const SHARED_MEMORY_BYTES = 2 * 2 ** 30;
/** More than any device has. */
const MOST_BYTES = 2 ** 38;
/** Each try asks for so much of the one before. */
const NEXT_TRY = 0.85;

/**
 * kvCacheBytes where given; else, on a device with its own memory, what `memoryUtilization` of it leaves beside the weights.
 * @throws out_of_memory
 */
export async function createKvCache(
	gpu: Gpu,
	program: Program,
	limits: Limits,
	weightBytes: number,
): Promise<KvCache> {
	const { blockSize, maxNumSeqs, maxModelLen, kvCacheBytes } = limits;
	const bytesPerBlock = program.kvLayers.reduce(
		(sum, heads) => sum + 2 * layerBlockBytes(heads, blockSize),
		0,
	);
	const largest = Math.max(
		...program.kvLayers.map((heads) => layerBlockBytes(heads, blockSize)),
	);
	// No more blocks than all sequences together could ever fill, nor than a binding can show of a layer.
	const useful = Math.min(
		maxNumSeqs * Math.ceil(maxModelLen / blockSize),
		Math.floor(gpu.abilities.bindingBytes / largest),
	);
	const allocate = (numBlocks: number) =>
		program.kvLayers.map((heads, layer) => ({
			keys: cacheBuffer(gpu, heads, blockSize, numBlocks, `keys ${layer}`),
			values: cacheBuffer(gpu, heads, blockSize, numBlocks, `values ${layer}`),
		}));
	const fits = (blocks: number) => tryAllocation(gpu, () => allocate(blocks));
	const fitting = (most: number) => largestFit(most, fits);

	let numBlocks: number;
	if (kvCacheBytes !== null)
		numBlocks = Math.min(useful, Math.floor(kvCacheBytes / bytesPerBlock));
	else if (gpu.hasOwnMemory)
		numBlocks = await shareOfMemory(
			{ useful, bytesPerBlock, weightBytes, ...limits },
			fitting,
		);
	else
		numBlocks = Math.min(
			useful,
			Math.floor(SHARED_MEMORY_BYTES / bytesPerBlock),
		);
	if (numBlocks < 1) throw tooSmall(kvCacheBytes, blockSize, bytesPerBlock);
	const bytes = numBlocks * bytesPerBlock;
	if (!(await fits(numBlocks))) {
		const room = (await fitting(numBlocks)) * bytesPerBlock;
		throw new NanoVllmError(
			"out_of_memory",
			`the GPU has no room for a KV cache of ${bytes} bytes; ${room} fit beside the weights. Set kvCacheMemoryBytes to that or less.`,
		);
	}
	const layers = await gpu.guarded("the KV cache", () => allocate(numBlocks));
	return { layers, numBlocks, bytes, destroy: () => free(layers) };
}

/**
 * Blocks of a cache that, with the weights, takes at most `memoryUtilization` of what the device has: `useful`, or fewer. What it has is
 * found by asking for more than that takes, since a small cache that fits says nothing of it.
 * @param fitting about how many of so many blocks can be allocated now
 */
export async function shareOfMemory(
	wanted: {
		readonly useful: number;
		readonly bytesPerBlock: number;
		readonly weightBytes: number;
		readonly memoryUtilization: number;
	},
	fitting: (most: number) => Promise<number>,
): Promise<number> {
	const { useful, bytesPerBlock, weightBytes, memoryUtilization } = wanted;
	const whole =
		(useful * bytesPerBlock + weightBytes) / memoryUtilization - weightBytes;
	const most = Math.ceil(Math.min(whole, MOST_BYTES) / bytesPerBlock);
	const found = await fitting(most);
	if (found >= most) return useful;
	const room = found * bytesPerBlock + weightBytes;
	const share = memoryUtilization * room - weightBytes;
	return Math.min(useful, Math.floor(share / bytesPerBlock));
}

/** Bytes of one block of a layer's keys, or of its values. */
function layerBlockBytes(
	{ numKvHeads, headDim }: Heads,
	blockSize: number,
): number {
	return 2 * numKvHeads * blockSize * stride8(headDim);
}

function cacheBuffer(
	{ device }: Gpu,
	heads: Heads,
	blockSize: number,
	numBlocks: number,
	label: string,
): GPUBuffer {
	const size = numBlocks * layerBlockBytes(heads, blockSize);
	return device.createBuffer({ label, size, usage: USAGE.STORAGE });
}

function free(layers: readonly LayerCache[]): void {
	for (const { keys, values } of layers) {
		keys.destroy();
		values.destroy();
	}
}

/** Whether there is room for the buffers. They are gone, and the device has let go of them, when this resolves. */
async function tryAllocation(
	gpu: Gpu,
	allocate: () => LayerCache[],
): Promise<boolean> {
	const { queue } = gpu.device;
	const fits = await gpu.fits(() => free(allocate()));
	// Memory of destroyed buffers comes back when the queue has passed the work submitted last.
	queue.submit([]);
	await queue.onSubmittedWorkDone();
	return fits;
}

/** About the largest number of blocks, at most `most`, that can be allocated now. */
async function largestFit(
	most: number,
	fits: (numBlocks: number) => Promise<boolean>,
): Promise<number> {
	for (let blocks = most; blocks >= 1; blocks = Math.floor(blocks * NEXT_TRY))
		if (await fits(blocks)) return blocks;
	return 0;
}

function tooSmall(
	kvCacheBytes: number | null,
	blockSize: number,
	bytesPerBlock: number,
): NanoVllmError {
	const given =
		kvCacheBytes === null
			? "the GPU has no room for a KV cache beside the weights"
			: `kvCacheMemoryBytes is ${kvCacheBytes}`;
	return new NanoVllmError(
		"out_of_memory",
		`${given}; one block of ${blockSize} tokens takes ${bytesPerBlock}. Give at least that, better a thousand times as much.`,
	);
}
