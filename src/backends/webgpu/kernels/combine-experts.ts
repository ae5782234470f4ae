/** What a token's experts say, weighted and added to the residual: always in the order of their weights. One workgroup a token. */
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { each, f32, HALVES, unpack4, vec4Type } from "../wgsl.ts";

export interface CombineOptions {
	readonly width: number;
	/** Of the experts' outputs. */
	readonly storage: Storage;
	readonly topK: number;
	readonly scale: number;
	/** Outputs lie by expert, at `places`; else pair by pair. */
	readonly isSorted: boolean;
}

const THREADS = 128;

/**
 * residual[t] += scale · Σ_i weight_p · outputs[places[p]] with p = t · topK + i, weight_p the number whose bits are routes[p].y.
 * bindings: outputs: `storage` [rows][stride(width)], routes, (places), residual: f32 [T][stride(width)]. Grid: one workgroup a token.
 */
export function combineExperts(options: CombineOptions): Kernel {
	const { width, storage, topK, scale, isSorted } = options;
	const fours = stride(width) / 4;
	const place = isSorted ? "places[pair]" : "pair";
	return {
		label: `combine_experts_${storage}_${width}_${topK}_times${scale}${isSorted ? "_sorted" : ""}`,
		bindings: [
			["outputs", "read", `array<${vec4Type(storage)}>`],
			["routes", "read", "array<vec2<u32>>"],
			...(isSorted ? ([["places", "read", "array<u32>"]] as const) : []),
			["residual", "write", "array<vec4<f32>>"],
		],
		code: `${HALVES}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let token = group.x;
${each(
	topK,
	(i) => `  let row${i} = rowOf(token * ${topK}u + ${i}u);
  let weight${i} = bitcast<f32>(routes[token * ${topK}u + ${i}u].y);`,
)}
  for (var i = thread; i < ${fours}u; i += ${THREADS}u) {
    var sum = vec4<f32>();
${each(topK, (i) => `    sum += weight${i} * ${unpack4(storage, `outputs[row${i} + i]`)};`)}
    residual[token * ${fours}u + i] += ${f32(scale)} * sum;
  }
}
fn rowOf(pair: u32) -> u32 { return ${place} * ${fours}u; }`,
	};
}
