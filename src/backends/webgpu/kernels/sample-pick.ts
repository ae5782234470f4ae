/** Last pass of rows without filters: the winner among the chunks' winners. */
import type { Kernel } from "../kernel.ts";
import { BEST, bestOfAll } from "./sample-draw.ts";
import {
	ALL_FORBIDDEN,
	NAN_LOGITS,
	rowConstants,
	type SampleShape,
	sampleLabel,
} from "./sample-row.ts";

/** Outcome of a row: wants bindings results, sampled. Rows without a token leave token 0 to the next step. */
export const SETTLE = `
fn settle(row: u32, winner: Best, isNaN: bool) {
  var id = winner.token;
  if (winner.value <= -LIMIT) { id = ${ALL_FORBIDDEN}u; }
  if (isNaN) { id = ${NAN_LOGITS}u; }
  results[row] = id;
  sampled[row] = select(0u, id, id < VOCAB);
}`;

/** `best` and `isNaN` of the row's chunks as far as this thread sees them. Wants binding partials. */
export const readPartials = (threads: number): string => `
  var best = noBest();
  var isNaN = false;
  for (var c = thread; c < CHUNKS; c += ${threads}u) {
    let part = partials[id.x * CHUNKS + c];
    best = challengeOne(best, bitcast<f32>(part.x), bitcast<f32>(part.y), part.z);
    isNaN = isNaN || part.w != 0u;
  }`;

const THREADS = 32;

/**
 * results[first + r] = the row's token, NAN_LOGITS or ALL_FORBIDDEN; sampled[first + r] = the token, 0 where there is none.
 * bindings: slice, partials vec4<u32> [r][chunk], results u32, sampled u32. Grid: [rows].
 */
export function samplePick(shape: SampleShape): Kernel {
	return {
		label: sampleLabel("sample_pick", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["partials", "read", "array<vec4<u32>>"],
			["results", "write", "array<u32>"],
			["sampled", "write", "array<u32>"],
		],
		code: `${rowConstants(shape)}${BEST}${bestOfAll(THREADS)}${SETTLE}
var<workgroup> nans: atomic<u32>;
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (thread == 0u) { atomicStore(&nans, 0u); }
  workgroupBarrier();
${readPartials(THREADS)}
  if (isNaN) { atomicMax(&nans, 1u); }
  let winner = bestOfAll(best, thread);
  if (thread == 0u) { settle(slice.first + id.x, winner, atomicLoad(&nans) != 0u); }
}`,
	};
}
