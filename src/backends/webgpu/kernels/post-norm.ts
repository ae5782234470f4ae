/** Norm of what a layer adds to the residual (Gemma 2, OLMo 2). Rows are f32 [stride(width)], held in registers by one workgroup a row. */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { stride } from "../layout.ts";
import { each, f32 } from "../wgsl.ts";
import type { Split } from "./linear.ts";
import { subgroupLines, workgroupSum } from "./reduce.ts";
import {
	eachFour,
	inputs,
	MAIN,
	partialSum,
	splitLabel,
	threadsFor,
} from "./rms-norm.ts";

export interface PostNormOptions {
	readonly width: number;
	readonly eps: number;
	/** What the linear left: its shares of the sums, or one that is the whole. */
	readonly split: Split;
	/** Still to be added to the sums. */
	readonly bias: boolean;
	/** Of what is added to the residual. */
	readonly scale: number;
}

/**
 * residual[t] += scale · y / sqrt(mean(y²) + eps) · weight with y = Σ_s partials[s][t] + bias.
 * bindings: residual, partials, (bias), weight. Grid: one workgroup a token.
 */
export function postNorm(
	{ width, eps, split, bias, scale }: PostNormOptions,
	abilities: Abilities,
): Kernel {
	const fours = stride(width) / 4;
	const threads = threadsFor(fours, abilities);
	return {
		label: `post_norm_${width}_${eps}${splitLabel(split, bias, scale)}`,
		bindings: [
			...inputs("write", split, bias),
			["weight", "read", "array<vec4<f32>>"],
		],
		code: `${subgroupLines(abilities.subgroupSize)}${workgroupSum(threads, abilities.subgroupSize)}
${MAIN(threads)} {
  let token = group.x;
  var squares = vec4<f32>();
${each(Math.ceil(fours / threads), (i) => `  var y${i} = vec4<f32>();`)}
${eachFour(
	fours,
	threads,
	(i) => `    let y = ${partialSum(split, bias, fours)};
    y${i} = y;
    squares = fma(y, y, squares);`,
)}
  let square = workgroupSum(dot(squares, vec4<f32>(1.0)), thread);
  let scale = ${f32(scale)} / sqrt(square / ${width}.0 + ${eps});
${eachFour(
	fours,
	threads,
	(i) => `    residual[token * ${fours}u + at] += y${i} * scale * weight[at];`,
)}
}`,
	};
}
