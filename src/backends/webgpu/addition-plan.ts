/**
 * The dispatches of linearAdd. The kernel adds to the residual itself, or leaves its sums in parts for the next norm to take in, or
 * leaves them whole or in parts for a norm of their own.
 */
import type { Activation, Norm, Op, Weight } from "../program.ts";
import { loraOf, shrinkDispatch } from "./adapter-plan.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Split } from "./kernels/linear.ts";
import { postNorm } from "./kernels/post-norm.ts";
import { addPartials, rowGrid } from "./kernels/rms-norm.ts";
import { BYTES, paddedRows, stride } from "./layout.ts";
import { type LinearSpec, linearDispatches, splitOf } from "./linear-plan.ts";
import {
	type Bound,
	dispatchOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

export type LinearAdd = Extract<Op, { op: "linearAdd" }>;

/** What a split linear left for somebody to add to the residual. */
export interface Pending {
	readonly residual: Activation;
	readonly split: Split;
	readonly bias: Weight | null;
	readonly scale: number;
}

/** Of a linear with a norm behind it the sums stay by themselves. */
const addition = (op: LinearAdd, most: number): LinearSpec => ({
	weight: op.weight,
	bias: op.bias,
	epilogue: op.postNorm === null ? "add" : "logits",
	scale: op.postNorm === null && op.scale !== 1 ? op.scale : undefined,
	most,
	norm: null,
	maySplit: true,
});

/** What the linear leaves in `partials`: parts of its sums, or whole ones for the norm behind it; null: nothing. */
function sumsOf(parts: PlanParts, op: LinearAdd, most: number): Split | null {
	const whole = op.postNorm ? { splits: 1, rows: paddedRows(most) } : null;
	return splitOf(parts, addition(op, most)) ?? whole;
}

/** Elements of the buffer for partial sums that steps of at most `most` tokens need. */
export function partialElements(parts: PlanParts, most: number): number {
	const sizes = parts.program.ops.map((op) => {
		if (op.op !== "linearAdd") return 0;
		const split = sumsOf(parts, op, most);
		return split ? split.splits * split.rows * stride(op.residual.width) : 0;
	});
	return Math.max(0, ...sizes);
}

/** `pending`: what is still to be added by whoever comes next. */
export function linearAdd(
	parts: PlanParts,
	partials: GPUBuffer,
	op: LinearAdd,
	most: number,
	adapted: boolean,
): {
	readonly dispatches: Promise<Dispatch>[];
	readonly pending: Pending | null;
} {
	const { activations } = parts;
	const { residual, scale } = op;
	const split = sumsOf(parts, op, most);
	const lora = loraOf(parts, op, most, adapted);
	const x = activations.of(op.input);
	const linear = linearDispatches(parts, {
		...addition(op, most),
		input: x,
		output: split ? partials : activations.of(residual),
		outputBytes: BYTES.f32,
		lora,
	});
	const shrink = lora && shrinkDispatch(parts, lora, x, null, most);
	const dispatches = shrink ? [shrink, ...linear] : linear;
	if (split === null) return { dispatches, pending: null };
	// Whole sums have their bias.
	const bias = splitOf(parts, addition(op, most)) ? op.bias : null;
	const left = { residual, split, bias, scale };
	if (op.postNorm === null) return { dispatches, pending: left };
	const normed = postNormDispatch(parts, partials, left, op.postNorm);
	return { dispatches: [...dispatches, normed], pending: null };
}

function postNormDispatch(
	parts: PlanParts,
	partials: GPUBuffer,
	left: Pending,
	{ eps, weight }: Norm,
): Promise<Dispatch> {
	const { residual, split, bias, scale } = left;
	const { width } = residual;
	const options = { width, eps, split, bias: bias !== null, scale };
	return dispatchOf(
		parts,
		postNorm(options, parts.gpu.abilities),
		[
			parts.activations.of(residual),
			...pendingBuffers(parts, partials, left),
			vectorOf(parts.weights, weight),
		],
		rowGrid,
	);
}

/** Adds what is pending, where no other kernel does. */
export function settleDispatch(
	parts: PlanParts,
	partials: GPUBuffer,
	pending: Pending,
): Promise<Dispatch> {
	const { residual, split, bias, scale } = pending;
	const { width } = residual;
	const options = { width, split, bias: bias !== null, scale };
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

export function pendingBuffers(
	{ weights }: PlanParts,
	partials: GPUBuffer,
	pending: Pending | null,
): Bound[] {
	if (pending === null) return [];
	return [partials, ...(pending.bias ? [vectorOf(weights, pending.bias)] : [])];
}
