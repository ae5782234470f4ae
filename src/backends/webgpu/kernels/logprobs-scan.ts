/**
 * First pass over the raw logits of rows whose logprobs are wanted, or that score: a chunk of a row a workgroup. When it runs, the
 * row's token is known.
 */
import type { Kernel } from "../kernel.ts";
import { each } from "../wgsl.ts";
import {
	NONE,
	RAW,
	rowConstants,
	type SampleShape,
	SCORES,
	sampleLabel,
} from "./sample-row.ts";
import { INFINITY_BITS, readGroup, sumOfGroup } from "./sample-scan.ts";

/**
 * partials[r][chunk] = 1 where it has a NaN, how many logits are greater than the token's, 0, 0.
 * groups[r][group] = greatest, Σ exp(logit − greatest).
 * bindings: slice, rows, logits f32 [r][stride(V)], partials vec4<u32>, groups vec2<f32>, sampled. Grid: [chunks, rows].
 */
export function logprobsScan(shape: SampleShape): Kernel {
	const { scanThreads, fours } = shape;
	return {
		label: sampleLabel("logprobs_scan", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["rows", "read", "array<Row>"],
			["logits", "read", "array<vec4<f32>>"],
			["partials", "write", "array<vec4<u32>>"],
			["groups", "write", "array<vec2<f32>>"],
			["sampled", "read", "array<u32>"],
		],
		code: `${rowConstants(shape)}${RAW}
var<workgroup> nans: atomic<u32>;
var<workgroup> numGreater: atomic<u32>;
@compute @workgroup_size(${scanThreads}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[slice.first + id.y];
  if ((row.flags & ${SCORES}u) == 0u) { return; }
  if (thread == 0u) {
    atomicStore(&nans, 0u);
    atomicStore(&numGreater, 0u);
  }
  let start = id.y * STRIDE4;
  let g = id.x * SCAN_THREADS + thread;
  var token = row.scored;
  if (token == ${NONE}u) { token = sampled[slice.first + id.y]; }
  let four = valueOf(token / 4u, start, row);
  let chosen = four[token % 4u];
${readGroup(fours)}
${each(fours, (j) => `  var v${j} = x${j};`)}
  if (size >= ${INFINITY_BITS}u) {
${each(fours, (j) => `    v${j} = bounded(x${j}, x${j});`)}
  }
  if (isLast) {
${each(fours, (j) => `    v${j} = inside(v${j}, 4u * fourOf(g, ${j}u));`)}
  }
  var most = v0;
${each(fours - 1, (j) => `  most = max(most, v${j + 1});`)}
  let greatest = max(max(most.x, most.y), max(most.z, most.w));
  groups[id.y * GROUPS + g] = vec2<f32>(greatest, ${sumOfGroup(fours, "greatest")});
  workgroupBarrier();
  if (greatest > chosen) {
    var greater = vec4<u32>();
${each(fours, (j) => `    greater += select(vec4<u32>(), vec4<u32>(1u), v${j} > vec4<f32>(chosen));`)}
    atomicAdd(&numGreater, greater.x + greater.y + greater.z + greater.w);
  }
  if (size > ${INFINITY_BITS}u) { atomicMax(&nans, 1u); }
  workgroupBarrier();
  if (thread == 0u) {
    partials[id.y * CHUNKS + id.x] = vec4<u32>(atomicLoad(&nans), atomicLoad(&numGreater), 0u, 0u);
  }
}`,
	};
}
