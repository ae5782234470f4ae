/** The pieces model files are written with: named weights made of checkpoint tensors, norms, rotary frequencies. */
import type { Norm, Weight } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";

type Rows = readonly (readonly [tensor: string, rows: number])[];

/** [Σ rows, columns], the named checkpoint tensors under one another. */
export function matrix(name: string, columns: number, parts: Rows): Weight {
	return {
		name,
		shape: [parts.reduce((sum, [, rows]) => sum + rows, 0), columns],
		parts: parts.map(([tensor, rows]) => ({ tensor, rows })),
	};
}

/** [Σ rows] */
export function bias(name: string, parts: Rows): Weight {
	const { parts: named, shape } = matrix(name, 1, parts);
	return { name, shape: [shape[0]], parts: named };
}

/** RMSNorm with the weight `${module}.weight` of the checkpoint. */
export function norm(module: string, length: number, eps: number): Norm {
	const name = `${module}.weight`;
	return { weight: bias(name, [[name, length]]), eps };
}

/** f32 [D/2]: θ^(−2i/D), divided by the scaling factor where rope is linear (transformers' modeling_rope_utils). */
export function inverseFrequencies({
	rope,
	headDim,
}: ModelConfig): Float32Array {
	return Float32Array.from(
		{ length: headDim / 2 },
		(_, i) => rope.theta ** (-(2 * i) / headDim) / rope.factor,
	);
}
