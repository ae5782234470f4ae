/** Keeps raw rows for the host, before the next slice takes their place: for those that want more entries than the device sorts. */
import type { Kernel } from "../kernel.ts";
import {
	NONE,
	rowConstants,
	type SampleShape,
	sampleLabel,
} from "./sample-row.ts";

/**
 * whole[row.wholeRow − slice.firstWhole] = logits[r] of rows that have a place there.
 * bindings: slice, rows, logits f32 [r][stride(V)], whole f32 [·][stride(V)]. Grid: [chunks, rows].
 */
export function logprobsCopy(shape: SampleShape): Kernel {
	return {
		label: sampleLabel("logprobs_copy", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["rows", "read", "array<Row>"],
			["logits", "read", "array<vec4<f32>>"],
			["whole", "write", "array<vec4<f32>>"],
		],
		code: `${rowConstants(shape)}
@compute @workgroup_size(${shape.scanThreads}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[slice.first + id.y];
  if (row.wholeRow == ${NONE}u) { return; }
  let to = (row.wholeRow - slice.firstWhole) * STRIDE4;
  for (var j = 0u; j < FOURS; j++) {
    let four = fourOf(id.x * SCAN_THREADS + thread, j);
    if (four < STRIDE4) { whole[to + four] = logits[id.y * STRIDE4 + four]; }
  }
}`,
	};
}
