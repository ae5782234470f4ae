/** The dispatches of a layer's ropeAndCache and attention, with the layer's cache and the step's work bound. */
import type { Op, Program, Rope } from "../program.ts";
import {
	type AttentionBuffers,
	attentionKernels,
	ropeKernel,
} from "./attention-kernels.ts";
import { type Gpu, USAGE } from "./device.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Kernel } from "./kernel.ts";
import { ropeTable } from "./kernels/rope-table.ts";
import { dispatchOf, type PlanParts, vectorOf } from "./plan-parts.ts";

export type RopeTables = ReadonlyMap<Rope, GPUBuffer>;

/** One table for every rotary embedding of the program; layers share them. */
export function createRopeTables(
	{ device }: Gpu,
	{ ops }: Program,
	maxModelLen: number,
): RopeTables {
	const tables = new Map<Rope, GPUBuffer>();
	for (const op of ops) {
		if (op.op !== "ropeAndCache" || tables.has(op.rope)) continue;
		const table = ropeTable(op.rope.inverseFrequencies, maxModelLen);
		const buffer = device.createBuffer({
			label: "rope table",
			size: Math.ceil(table.byteLength / 16) * 16,
			usage: USAGE.STORAGE | USAGE.COPY_DST,
		});
		device.queue.writeBuffer(buffer, 0, table);
		tables.set(op.rope, buffer);
	}
	return tables;
}

export async function ropeAndCacheDispatches(
	parts: PlanParts,
	op: Extract<Op, { op: "ropeAndCache" }>,
): Promise<Dispatch[]> {
	const { gpu, activations, weights, cache, limits, storage, tokens } = parts;
	const { heads, qNorm, kNorm, rope } = op;
	const { kernel, grid } = ropeKernel(gpu.abilities, {
		heads,
		ropeDims: 2 * rope.inverseFrequencies.length,
		qNormEps: qNorm?.eps ?? null,
		kNormEps: kNorm?.eps ?? null,
		blockSize: limits.blockSize,
		storage,
	});
	const buffers = namedBuffers(kernel, {
		...cache.layers[op.layer],
		qkv: activations.of(op.qkv),
		tokens,
		ropeTable: parts.ropeTables.get(rope),
		qNorm: qNorm ? vectorOf(weights, qNorm.weight) : undefined,
		kNorm: kNorm ? vectorOf(weights, kNorm.weight) : undefined,
	});
	return [await dispatchOf(parts, kernel, buffers, grid)];
}

export function attentionDispatches(
	parts: PlanParts,
	op: Extract<Op, { op: "attention" }>,
): Promise<Dispatch[]> {
	const { gpu, activations, cache, limits, storage, work, tokens } = parts;
	const { heads, scale, slidingWindow } = op;
	const { blockSize } = limits;
	const options = {
		heads,
		scale,
		slidingWindow,
		softCap: null,
		blockSize,
		storage,
	};
	const kernels = attentionKernels(gpu.abilities, options, work.tileTokens);
	return Promise.all(
		kernels.map(({ kernel, grid }) => {
			const buffers = namedBuffers(kernel, {
				...cache.layers[op.layer],
				...work,
				qkv: activations.of(op.qkv),
				output: activations.of(op.output),
				tokens,
			});
			return dispatchOf(parts, kernel, buffers, () => grid(work));
		}),
	);
}

/** The buffers a kernel binds, found by the names of its bindings. */
function namedBuffers(
	{ label, bindings }: Kernel,
	buffers: Partial<AttentionBuffers>,
): GPUBuffer[] {
	return bindings.map(([name]) => {
		const buffer = buffers[name as keyof AttentionBuffers];
		if (buffer === undefined) throw new Error(`${label}: no buffer ${name}`);
		return buffer;
	});
}
