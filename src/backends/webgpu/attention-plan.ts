/** The dispatches of a layer's ropeAndCache and attention, with the layer's cache and the step's work bound. */
import type { Op, Program, Rope } from "../program.ts";
import { ropeBefore } from "./attention-fusion.ts";
import {
	type AttentionBuffers,
	type AttentionDispatch,
	attentionKernels,
	fusedKernel,
	ropeKernel,
} from "./attention-kernels.ts";
import { type Gpu, USAGE } from "./device.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Kernel } from "./kernel.ts";
import type { AttentionOptions } from "./kernels/attention-text.ts";
import { ropeTable } from "./kernels/rope-table.ts";
import type { RopeOptions } from "./kernels/rope-text.ts";
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
		if (op.op !== "ropeAndCache" || op.rope === null) continue;
		if (tables.has(op.rope)) continue;
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

type RopeOp = Extract<Op, { op: "ropeAndCache" }>;
type AttentionOp = Extract<Op, { op: "attention" }>;

export async function ropeAndCacheDispatches(
	parts: PlanParts,
	op: RopeOp,
): Promise<Dispatch[]> {
	const { gpu, activations, cache, limits, storage, tokens, work } = parts;
	const { kernel, grid } = ropeKernel(gpu.abilities, {
		...ropeOptions(op),
		heads: op.heads,
		blockSize: limits.blockSize,
		storage,
	});
	const buffers = namedBuffers(kernel, {
		...cache.layers[op.layer],
		...ropeBuffers(parts, op),
		qkv: activations.of(op.qkv),
		tokens,
	});
	const gridOf = (numTokens: number) => (work.isFused ? null : grid(numTokens));
	return [await dispatchOf(parts, kernel, buffers, gridOf)];
}

/** Those of fused steps and those of all others. */
export function attentionDispatches(
	parts: PlanParts,
	op: AttentionOp,
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
	const rope = work.fuses ? ropeBefore(parts.program, op) : null;
	const dispatches = [
		...(rope ? [fusedDispatch(parts, options, rope)] : []),
		...attentionKernels(gpu.abilities, options, work.tileHeights),
	];
	return Promise.all(
		dispatches.map(({ kernel, grid }) => {
			const buffers = namedBuffers(kernel, {
				...cache.layers[op.layer],
				...work,
				...(rope ? ropeBuffers(parts, rope) : {}),
				qkv: activations.of(op.qkv),
				output: activations.of(op.output),
				tokens,
			});
			return dispatchOf(parts, kernel, buffers, () => grid(work));
		}),
	);
}

const fusedDispatch = (
	{ gpu }: PlanParts,
	options: AttentionOptions,
	rope: RopeOp,
): AttentionDispatch =>
	fusedKernel(gpu.abilities, { ...options, ...ropeOptions(rope) });

const ropeOptions = ({ rope, qNorm, kNorm }: RopeOp): RopeOptions => ({
	ropeDims: 2 * (rope?.inverseFrequencies.length ?? 0),
	qNormEps: qNorm?.eps ?? null,
	kNormEps: kNorm?.eps ?? null,
});

const ropeBuffers = (
	{ weights, ropeTables }: PlanParts,
	{ rope, qNorm, kNorm }: RopeOp,
): Partial<AttentionBuffers> => ({
	ropeTable: rope ? ropeTables.get(rope) : undefined,
	qNorm: qNorm ? vectorOf(weights, qNorm.weight) : undefined,
	kNorm: kNorm ? vectorOf(weights, kNorm.weight) : undefined,
});

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
