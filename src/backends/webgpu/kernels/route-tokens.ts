/** The experts of each token, and what they count: top-k and softmax of the router's scores. One workgroup a token. */
import type { Kernel } from "../kernel.ts";
import { stride } from "../layout.ts";
import type { Split } from "./linear.ts";

export interface RouteOptions {
	readonly numExperts: number;
	readonly topK: number;
	/** Weights are divided by their sum. */
	readonly normalize: boolean;
	/** The scores come in parts; null: whole. */
	readonly split: Split | null;
	/** Still to be added to the parts. */
	readonly bias: boolean;
	/** Tokens are to be sorted by expert. */
	readonly isSorted: boolean;
}

const THREADS = 64;

/**
 * routes[t · topK + i]: the expert of the i-th largest of Σ_s scores[s][t] + bias, of equal ones the first, and its weight's bits.
 * Where sorted, counts[e] grows by the pairs of expert e, and ranks[t · topK + i] is how many it had before: in no certain order, and
 * nothing that is computed depends on it. A score that is NaN makes weights NaN.
 * bindings: scores: f32 [splits][rows][stride(numExperts)], (bias), routes: vec2<u32>, (counts: u32 [numExperts]), (ranks: u32). Grid: one
 * workgroup a token.
 */
export function routeTokens(options: RouteOptions): Kernel {
	const { numExperts, topK, normalize, split, bias, isSorted } = options;
	const row = stride(numExperts);
	const parts = Array.from(
		{ length: split?.splits ?? 1 },
		(_, s) => `scores[(${s * (split?.rows ?? 0)}u + token) * ${row}u + e]`,
	);
	const score = [...parts, ...(bias ? ["bias[e]"] : [])].join(" + ");
	const total = normalize
		? { count: topK, value: "values[chosen[j]]" }
		: { count: numExperts, value: "values[j]" };
	return {
		label: [
			`route_tokens_${topK}of${numExperts}`,
			...(normalize ? ["normalized"] : []),
			...(split ? [`${split.splits}x${split.rows}`] : []),
			...(bias ? ["bias"] : []),
			...(isSorted ? ["sorted"] : []),
		].join("_"),
		bindings: [
			["scores", "read", "array<f32>"],
			...(bias ? ([["bias", "read", "array<f32>"]] as const) : []),
			["routes", "write", "array<vec2<u32>>"],
			...(isSorted
				? ([
						["counts", "write", "array<atomic<u32>>"],
						["ranks", "write", "array<u32>"],
					] as const)
				: []),
		],
		code: `
var<workgroup> values: array<f32, ${numExperts}>;
var<workgroup> keys: array<u32, ${numExperts}>;
var<workgroup> chosen: array<u32, ${topK}>;
// Ordered as the numbers are, NaN above all.
fn keyOf(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(~bits, bits | 0x80000000u, bits < 0x80000000u);
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let token = group.x;
  for (var e = thread; e < ${numExperts}u; e += ${THREADS}u) {
    let score = ${score};
    values[e] = score;
    keys[e] = keyOf(score);
  }
  workgroupBarrier();
  for (var e = thread; e < ${numExperts}u; e += ${THREADS}u) {
    let key = keys[e];
    var rank = 0u;
    for (var j = 0u; j < ${numExperts}u; j++) {
      rank += select(0u, 1u, keys[j] > key || (keys[j] == key && j < e));
    }
    if (rank < ${topK}u) { chosen[rank] = e; }
  }
  workgroupBarrier();
  let most = values[chosen[0]];
  for (var i = thread; i < ${topK}u; i += ${THREADS}u) {
    var total = 0.0;
    for (var j = 0u; j < ${total.count}u; j++) { total += exp(${total.value} - most); }
    let expert = chosen[i];
    let weight = bitcast<u32>(exp(values[expert] - most) / total);
    // A device may take x - x for zero, whatever x is.
    let isNan = keys[chosen[0]] == 0xffffffffu;
    routes[token * ${topK}u + i] = vec2<u32>(expert, select(weight, 0x7fc00000u, isNan));
${isSorted ? `    ranks[token * ${topK}u + i] = atomicAdd(&counts[expert], 1u);` : ""}
  }
}`,
	};
}
