/** The dispatches of a layer's ropeAndCache and attention, with the layer's cache and the step's work bound. */
import type { Op, Program, Rope } from "../program.ts";
import {
	type HeadNorms,
	normsOf,
	ropeBefore,
	ropeOptions,
} from "./attention-fusion.ts";
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
import type { FusedKind } from "./kernels/attention-decode-fused.ts";
import type { AttentionOptions } from "./kernels/attention-text.ts";
import { normHeads, normHeadsGrid } from "./kernels/norm-heads.ts";
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
		if (op.op !== "ropeAndCache" || op.rope === null) continue;
		if (tables.has(op.rope)) continue;
		const table = ropeTable(op.rope, maxModelLen);
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
	const { each, together } = normsOf(op);
	const { kernel, grid } = ropeKernel(gpu.abilities, {
		...ropeOptions({ ...op, ...each }),
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
	const gridOf = (numTokens: number) =>
		work.fused === null ? grid(numTokens) : null;
	return Promise.all([
		...(together ? [normHeadsDispatch(parts, op, together)] : []),
		dispatchOf(parts, kernel, buffers, gridOf),
	]);
}

/** Steps of such layers are never fused. */
function normHeadsDispatch(
	parts: PlanParts,
	op: RopeOp,
	{ qNorm, kNorm }: HeadNorms,
): Promise<Dispatch> {
	const { gpu, activations, storage } = parts;
	const { heads } = op;
	const qNormEps = qNorm?.eps ?? null;
	const kNormEps = kNorm?.eps ?? null;
	const kernel = normHeads(
		{ heads, storage, qNormEps, kNormEps },
		gpu.abilities,
	);
	const buffers = namedBuffers(kernel, {
		...ropeBuffers(parts, op),
		qkv: activations.of(op.qkv),
	});
	return dispatchOf(parts, kernel, buffers, normHeadsGrid);
}

/** Those of fused steps and those of all others. */
export function attentionDispatches(
	parts: PlanParts,
	op: AttentionOp,
): Promise<Dispatch[]> {
	const { gpu, activations, cache, limits, storage, work, tokens } = parts;
	const { heads, scale, slidingWindow, softCap, sinks } = op;
	const { blockSize } = limits;
	const options = {
		heads,
		scale,
		slidingWindow,
		softCap,
		hasSinks: sinks !== null,
		blockSize,
		storage,
	};
	const rope = work.fuses.length > 0 ? ropeBefore(parts.program, op) : null;
	const fused = work.fuses.map((kind) => ({ ...options, kind }));
	const dispatches = [
		...(rope ? fused.map((f) => fusedDispatch(parts, f, rope)) : []),
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
				sinks: sinks ? vectorOf(parts.weights, sinks) : undefined,
				tokens,
			});
			return dispatchOf(parts, kernel, buffers, () => grid(work));
		}),
	);
}

const fusedDispatch = (
	{ gpu }: PlanParts,
	options: AttentionOptions & { readonly kind: FusedKind },
	rope: RopeOp,
): AttentionDispatch =>
	fusedKernel(gpu.abilities, { ...options, ...ropeOptions(rope) });

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
