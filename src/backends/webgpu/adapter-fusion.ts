/**
 * A program with room for adapters as the plain one again, and beside it what adapters may change in each linear: kernels add adapters to a
 * linear's sums before anything else happens to them, so that what had been taken apart for them need not be.
 */
import { assert } from "../../errors.ts";
import type { Op, Program } from "../program.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;
export type LoraOp = OpOf<"lora">;
export type AdaptedOp = OpOf<"normLinear" | "normGatedLinear" | "linearAdd">;

export interface FusedProgram {
	readonly program: Program;
	/** By the linear of `program`; empty where there is no room. */
	readonly loras: ReadonlyMap<AdaptedOp, LoraOp>;
}

export function fuseAdapters(program: Program): FusedProgram {
	const loras = new Map<AdaptedOp, LoraOp>();
	const ops: Op[] = [];
	const { ops: given } = program;
	for (let i = 0; i < given.length; i++) {
		const [op, lora, behind] = given.slice(i, i + 3);
		if (lora?.op !== "lora") {
			ops.push(op);
			continue;
		}
		const fused = fusedOp(op, lora, behind);
		loras.set(fused, lora);
		ops.push(fused);
		i += fused === op ? 1 : 2;
	}
	return { program: { ...program, ops }, loras };
}

/** `behind`: the op after the adapters, which is one with the linear where it reads its sums. */
function fusedOp(op: Op, lora: LoraOp, behind: Op | undefined): AdaptedOp {
	if (op.op === "linearAdd" && op.postNorm === null) {
		assert(lora.scale === op.scale, "adapters are scaled as their linear is");
		return op;
	}
	assert(op.op === "normLinear" && lora.scale === 1, "adapters fit no linear");
	const { input, norm, weight, bias, output } = op;
	if (behind?.op === "gate" && behind.input.name === output.name)
		return {
			op: "normGatedLinear",
			input,
			norm,
			weight,
			bias,
			activation: behind.activation,
			output: behind.output,
		};
	if (behind?.op === "normAdd" && behind.input.name === output.name)
		return {
			op: "linearAdd",
			input,
			weight,
			bias,
			scale: behind.scale,
			postNorm: behind.norm,
			residual: behind.residual,
		};
	return op;
}
