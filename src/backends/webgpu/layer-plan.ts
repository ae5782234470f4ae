/**
 * The dispatches of all layers for steps of at most so many tokens. Knows which kernel may take in what the one before left: a
 * norm adds up the partial sums of the split linear before it, and one token's linear does its norm itself.
 */
import { assert } from "../../errors.ts";
import type {
	Activation,
	ActivationFunction,
	Gating,
	Norm,
	Op,
} from "../program.ts";
import {
	gateDispatch,
	loraDispatches,
	normAddDispatch,
} from "./adapter-plan.ts";
import {
	linearAdd,
	type Pending,
	pendingBuffers,
	settleDispatch,
} from "./addition-plan.ts";
import {
	attentionDispatches,
	ropeAndCacheDispatches,
} from "./attention-plan.ts";
import type { Dispatch } from "./dispatch.ts";
import type { DispatchExperts } from "./expert-plan.ts";
import type { ExpertsOp } from "./expert-shapes.ts";
import { convertRows } from "./kernels/convert-rows.ts";
import { rmsNorm, rowGrid } from "./kernels/rms-norm.ts";
import { BYTES } from "./layout.ts";
import { type LinearOp, linearDispatches } from "./linear-plan.ts";
import { dispatchOf, type PlanParts, vectorOf } from "./plan-parts.ts";

type NormedLinear = Extract<Op, { op: "normLinear" | "normGatedLinear" }>;

/** Buffers that layers share beside the activations. */
export interface LayerRoom {
	/** Of split linears. */
	readonly partials: GPUBuffer;
	/** null: there are none. */
	readonly experts: DispatchExperts | null;
}

/** Up to so many tokens a linear does its own norm. */
const MOST_FUSED_TOKENS = 1;

export async function buildLayers(
	parts: PlanParts,
	room: LayerRoom,
	most: number,
): Promise<Dispatch[]> {
	const made: (Promise<Dispatch> | Promise<Dispatch[]>)[] = [];
	let pending: Pending | null = null;
	/** Adds what is pending, where the next op does not take it in. */
	const settle = () => {
		if (pending !== null)
			made.push(settleDispatch(parts, room.partials, pending));
		pending = null;
	};
	for (const op of parts.program.ops)
		switch (op.op) {
			case "normLinear":
			case "normGatedLinear": {
				if (op.norm === null || isOther(pending, op.input)) settle();
				made.push(...normedLinear(parts, room, op, pending, most));
				pending = null;
				break;
			}
			case "linearAdd": {
				settle();
				const added = linearAdd(parts, room.partials, op, most);
				made.push(...added.dispatches);
				pending = added.pending;
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
			case "lora":
				// What is pending is added to the same sums later, unless it is to be read here.
				if (op.norm !== null) settle();
				made.push(...loraDispatches(parts, parts.adapters, op, most));
				break;
			case "gate":
				made.push(gateDispatch(parts, op));
				break;
			case "normAdd":
				settle();
				made.push(normAddDispatch(parts, op));
				break;
			case "mixtureOfExperts":
				if (isOther(pending, op.residual)) settle();
				made.push(...mixture(parts, room, op, pending, most));
				pending = null;
				break;
			default:
				op satisfies never;
		}
	return (await Promise.all(made)).flat();
}

const isOther = (pending: Pending | null, { name }: Activation): boolean =>
	pending !== null && pending.residual.name !== name;

function mixture(
	parts: PlanParts,
	room: LayerRoom,
	op: ExpertsOp,
	pending: Pending | null,
	most: number,
): Promise<Dispatch>[] {
	assert(room.experts !== null, "a program with experts has room for them");
	const { norm, residual } = op;
	if (most <= MOST_FUSED_TOKENS && pending === null)
		return room.experts(op, most, norm);
	return [
		normDispatch(parts, room, residual, norm, pending),
		...room.experts(op, most, null),
	];
}

function normedLinear(
	parts: PlanParts,
	room: LayerRoom,
	op: NormedLinear,
	pending: Pending | null,
	most: number,
): Promise<Dispatch>[] {
	const { activations, storage } = parts;
	const { norm } = op;
	const isFused = norm !== null && most <= MOST_FUSED_TOKENS && !pending;
	const isStored = activations.storageOf(op.input) === storage;
	const isReady = isFused || (norm === null && isStored);
	const output = activations.storageOf(op.output);
	const store = output === storage ? "store" : "logits";
	const linear: LinearOp = {
		weight: op.weight,
		bias: op.bias,
		epilogue: op.op === "normLinear" ? store : "gated",
		gating: op.op === "normLinear" ? undefined : gatingOf(op.activation),
		most,
		norm: isFused ? norm : null,
		input: isReady ? activations.of(op.input) : activations.normed,
		output: activations.of(op.output),
		outputBytes: BYTES[output],
	};
	const prepare = () =>
		norm
			? normDispatch(parts, room, op.input, norm, pending)
			: convertDispatch(parts, op.input);
	return [...(isReady ? [] : [prepare()]), ...linearDispatches(parts, linear)];
}

/** undefined: what kernels do unasked. */
const gatingOf = (activation: ActivationFunction): Gating | undefined =>
	activation === "silu" ? undefined : { kind: "gated", activation };

function convertDispatch(
	parts: PlanParts,
	input: Activation,
): Promise<Dispatch> {
	const { activations, storage } = parts;
	const kernel = convertRows({ width: input.width, storage });
	const buffers = [activations.of(input), activations.normed];
	return dispatchOf(parts, kernel, buffers, rowGrid);
}

function normDispatch(
	parts: PlanParts,
	room: LayerRoom,
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
			scale: pending?.scale,
		},
		gpu.abilities,
	);
	return dispatchOf(
		parts,
		kernel,
		[
			activations.of(input),
			...pendingBuffers(parts, room.partials, pending),
			vectorOf(weights, weight),
			activations.normed,
		],
		rowGrid,
	);
}
