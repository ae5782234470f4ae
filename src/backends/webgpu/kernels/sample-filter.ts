/**
 * Last pass of steps in which some row filters: min-p, top-k and top-p become one threshold, and the values from there on race.
 * Groups of tokens whose greatest value lies below what is looked for are never read again.
 */
import type { Kernel } from "../kernel.ts";
import { subgroupLines } from "./reduce.ts";
import { BEST, bestOfAll, GUMBELS } from "./sample-draw.ts";
import { readPartials, SETTLE } from "./sample-pick.ts";
import {
	FILTERS,
	LIMIT,
	PROCESSED,
	rowConstants,
	type SampleShape,
	SUMS,
	sampleLabel,
} from "./sample-row.ts";
import { eachValue, SELECT, selectEnd, sumOfAll } from "./sample-select.ts";

/** Less than this is forbidden. */
const LEAST_ALLOWED = -0.99 * LIMIT;

/**
 * As samplePick, for rows that filter and those that do not.
 * bindings: slice, rows, words (masks), logits f32 [r][stride(V)], partials vec4<u32> [r][chunk], groups vec2<f32> [r][group],
 * results u32, sampled u32. Grid: [rows].
 */
export function sampleFilter(shape: SampleShape): Kernel {
	const { rowThreads: threads, lanes } = shape;
	return {
		label: sampleLabel("sample_filter", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["rows", "read", "array<Row>"],
			["words", "read", "array<u32>"],
			["logits", "read", "array<vec4<f32>>"],
			["partials", "read", "array<vec4<u32>>"],
			["groups", "read", "array<vec2<f32>>"],
			["results", "write", "array<u32>"],
			["sampled", "write", "array<u32>"],
		],
		code: `${subgroupLines(lanes)}${rowConstants(shape)}${PROCESSED}${GUMBELS}${BEST}${bestOfAll(threads)}${SETTLE}
${sumOfAll(threads, lanes)}${SELECT}${selectEnd(threads)}
var<workgroup> nans: atomic<u32>;
/** The greatest value, and 1 where the row is settled by it. */
var<workgroup> first: vec2<f32>;

/** Stages: a bound of top-k by the groups' greatest values; top-k; top-p. share: 0 where the row skips it */
fn targetOf(stage: u32, row: Row, peak: f32, floor: f32, bound: f32) -> Target {
  let k = f32(row.topK);
  switch (stage) {
    case 0u: { return Target(true, floor, peak, false, select(0.0, 1.0, row.topK <= GROUPS), k); }
    case 1u: { return Target(false, bound, peak, false, 1.0, k); }
    default: { return Target(false, floor, peak, true, select(0.0, row.topP, row.topP < 1.0), 0.0); }
  }
}

@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[slice.first + id.x];
  let start = id.x * STRIDE4;
  let groupsAt = id.x * GROUPS;
  if (thread == 0u) { atomicStore(&nans, 0u); }
  workgroupBarrier();
${readPartials(threads)}
  if (isNaN) { atomicMax(&nans, 1u); }
  best = bestOfAll(best, thread);
  if (thread == 0u) {
    let failed = atomicLoad(&nans) != 0u;
    let settled = failed || best.value <= -LIMIT || (row.flags & ${FILTERS}u) == 0u;
    first = vec2<f32>(best.value, select(0.0, 1.0, settled));
    if (settled) { settle(slice.first + id.x, best, failed); }
  }
  let known = workgroupUniformLoad(&first);
  if (known.y != 0.0) { return; }

  let peak = known.x;
  // The least value left, and what is known to be no greater than the k-th.
  var floor = ${LEAST_ALLOWED}f;
  if (row.logMinP > -LIMIT) { floor = peak + row.logMinP; }
  var bound = floor;
  for (var stage = select(0u, 2u, row.topK == 0u); stage < 3u; stage++) {
    var wanted = targetOf(stage, row, peak, floor, bound);
    if (wanted.share == 0.0) { continue; }
    if ((row.flags & ${SUMS}u) != 0u) {
      var mass = 0.0;
      for (var g = thread; g < GROUPS; g += ${threads}u) {
        let group = groups[groupsAt + g];
        mass += group.y * exp(group.x - peak);
      }
      wanted.total = sumOfAll(vec4<f32>(mass), thread).x;
      // All tokens below together weigh less than 1 - topP, and the peak alone weighs 1.
      wanted.low = max(floor, peak - 1.0 - log(f32(VOCAB) / (1.0 - row.topP)));
    }
    let end = endOf(wanted, row, start, groupsAt, thread);
    if (!end.reached) { continue; }
    if (stage == 0u) { bound = end.value; } else { floor = end.value; }
  }
  best = noBest();
${eachValue(
	threads,
	"floor",
	`      best = challenge(best, select(vec4<f32>(-2.0 * LIMIT), x, x >= vec4<f32>(floor)), gumbels(at, row), at);`,
)}
  best = bestOfAll(best, thread);
  if (thread == 0u) { settle(slice.first + id.x, best, false); }
}`,
	};
}
