/**
 * The dispatches of all layers for steps of at most so many tokens. Knows which kernel may take in what the one before left: a
 * norm adds up the partial sums of the split linear before it, and one token's linear does its norm itself.
 */
import { assert } from "../../errors.ts";
import type { Activation, Norm, Op, Weight } from "../program.ts";
import {
	attentionDispatches,
	ropeAndCacheDispatches,
} from "./attention-plan.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Split } from "./kernels/linear.ts";
import { addPartials, rmsNorm, rowGrid } from "./kernels/rms-norm.ts";
import { BYTES, stride } from "./layout.ts";
import { type LinearOp, linearDispatches, splitOf } from "./linear-plan.ts";
import {
	type Bound,
	dispatchOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

type LinearAdd = Extract<Op, { op: "linearAdd" }>;
type NormedLinear = Extract<Op, { op: "normLinear" | "normGatedLinear" }>;

/** What a split linear left for somebody to add to the residual. */
interface Pending {
	readonly residual: Activation;
	readonly split: Split;
	readonly bias: Weight | null;
}

/** Up to so many tokens a linear does its own norm. */
const MOST_FUSED_TOKENS = 1;

/** Elements of the buffer for partial sums that steps of at most `most` tokens need. */
export function partialElements(parts: PlanParts, most: number): number {
	const sizes = parts.program.ops.map((op) => {
		if (op.op !== "linearAdd") return 0;
		const split = splitOf(parts, addition(op, most));
		return split ? split.splits * split.rows * stride(op.residual.width) : 0;
	});
	return Math.max(0, ...sizes);
}

export async function buildLayers(
	parts: PlanParts,
	partials: GPUBuffer,
	most: number,
): Promise<Dispatch[]> {
	const made: (Promise<Dispatch> | Promise<Dispatch[]>)[] = [];
	let pending: Pending | null = null;
	/** Adds what is pending, where the next op does not take it in. */
	const settle = () => {
		if (pending !== null) made.push(settleDispatch(parts, partials, pending));
		pending = null;
	};
	for (const op of parts.program.ops)
		switch (op.op) {
			case "normLinear":
			case "normGatedLinear": {
				const takes: Pending | null = pending;
				if (takes !== null && takes.residual.name !== op.input.name) settle();
				made.push(...normedLinear(parts, partials, op, pending, most));
				pending = null;
				break;
			}
			case "linearAdd": {
				settle();
				const split = splitOf(parts, addition(op, most));
				made.push(...linearAdd(parts, partials, op, split, most));
				if (split) pending = { residual: op.residual, split, bias: op.bias };
				break;
			}
			case "ropeAndCache":
				made.push(ropeAndCacheDispatches(parts, op));
				break;
			case "attention":
				made.push(attentionDispatches(parts, op));
				break;
			case "embed":
			case "logits":
			case "sample":
				settle();
				break;
			case "gate":
			case "normAdd":
			case "lora":
			case "mixtureOfExperts":
				throw new Error("nano-vllm bug: refused by checkPlainOps");
			default:
				op satisfies never;
		}
	return (await Promise.all(made)).flat();
}

const addition = (op: LinearAdd, most: number) => ({
	weight: op.weight,
	bias: op.bias,
	epilogue: "add" as const,
	most,
	norm: null,
});

function linearAdd(
	parts: PlanParts,
	partials: GPUBuffer,
	op: LinearAdd,
	split: Split | null,
	most: number,
): Promise<Dispatch>[] {
	const { activations } = parts;
	return linearDispatches(parts, {
		...addition(op, most),
		input: activations.of(op.input),
		output: split ? partials : activations.of(op.residual),
		outputBytes: BYTES.f32,
	});
}

function normedLinear(
	parts: PlanParts,
	partials: GPUBuffer,
	op: NormedLinear,
	pending: Pending | null,
	most: number,
): Promise<Dispatch>[] {
	const { activations, storage } = parts;
	const { norm } = op;
	assert(norm !== null, "checkPlainOps refuses layers without a norm");
	const fused = most <= MOST_FUSED_TOKENS && pending === null;
	const linear: LinearOp = {
		weight: op.weight,
		bias: op.op === "normLinear" ? op.bias : null,
		epilogue: op.op === "normLinear" ? "store" : "gated",
		most,
		norm: fused ? norm : null,
		input: fused ? activations.of(op.input) : activations.normed,
		output: activations.of(op.output),
		outputBytes: BYTES[storage],
	};
	return [
		...(fused ? [] : [normDispatch(parts, partials, op.input, norm, pending)]),
		...linearDispatches(parts, linear),
	];
}

function normDispatch(
	parts: PlanParts,
	partials: GPUBuffer,
	input: Activation,
	{ eps, weight }: Norm,
	pending: Pending | null,
): Promise<Dispatch> {
	const { gpu, weights, activations, storage } = parts;
	const kernel = rmsNorm(
		{
			width: input.width,
			eps,
			storage,
			gather: false,
			split: pending?.split ?? null,
			bias: (pending?.bias ?? null) !== null,
		},
		gpu.abilities,
	);
	return dispatchOf(
		parts,
		kernel,
		[
			activations.of(input),
			...pendingBuffers(parts, partials, pending),
			vectorOf(weights, weight),
			activations.normed,
		],
		rowGrid,
	);
}

function settleDispatch(
	parts: PlanParts,
	partials: GPUBuffer,
	pending: Pending,
): Promise<Dispatch> {
	const { residual, split, bias } = pending;
	const options = { width: residual.width, split, bias: bias !== null };
	return dispatchOf(
		parts,
		addPartials(options, parts.gpu.abilities),
		[
			parts.activations.of(residual),
			...pendingBuffers(parts, partials, pending),
		],
		rowGrid,
	);
}

function pendingBuffers(
	{ weights }: PlanParts,
	partials: GPUBuffer,
	pending: Pending | null,
): Bound[] {
	if (pending === null) return [];
	return [partials, ...(pending.bias ? [vectorOf(weights, pending.bias)] : [])];
}
