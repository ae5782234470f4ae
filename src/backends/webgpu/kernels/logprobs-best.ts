/** Second pass: what the host makes logprobs of: the token's logit and rank, log Σ exp in two parts, and the best tokens. */
import type { Kernel } from "../kernel.ts";
import { each } from "../wgsl.ts";
import { subgroupLines } from "./reduce.ts";
import {
	NAN_LOGITS,
	NONE,
	RAW,
	rowConstants,
	type SampleShape,
	SCORES,
	sampleLabel,
} from "./sample-row.ts";
import {
	eachValue,
	LISTED,
	SELECT,
	selectEnd,
	sumOfAll,
} from "./sample-select.ts";

/** Tokens a row may list at most; rows that want more are read whole. */
export const MOST_BEST = LISTED;
/** Words a row has in results, from slice.scoresAt on: the token's logit, the greatest, Σ exp(logit − greatest), number of greater logits. */
export const SCORE_WORDS = 4;

const list = (low: string) =>
	each(
		4,
		(
			i,
		) => `      if (x[${i}] > ${low} || (x[${i}] == ${low} && at + ${i}u < behind)) {
        let i${i} = atomicAdd(&numListed, 1u);
        if (i${i} < ${LISTED}u) {
          listed[i${i}] = x[${i}];
          tokens[i${i}] = at + ${i}u;
        }
      }`,
	);

/**
 * results: a scoring row's NAN_LOGITS or 0 at its place; SCORE_WORDS words from scoresAt + SCORE_WORDS · row on; pairs (token, logit)
 * of the row's numBest greatest logits, best first, lower ids first among equals, from bestsAt + 2 · row.bestAt on.
 * bindings: slice, rows, logits f32 [r][stride(V)], partials, groups: of logprobsScan, sampled, results. Grid: [rows].
 */
export function logprobsBest(shape: SampleShape): Kernel {
	const { rowThreads: threads, lanes } = shape;
	return {
		label: sampleLabel("logprobs_best", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["rows", "read", "array<Row>"],
			["logits", "read", "array<vec4<f32>>"],
			["partials", "read", "array<vec4<u32>>"],
			["groups", "read", "array<vec2<f32>>"],
			["sampled", "read", "array<u32>"],
			["results", "write", "array<u32>"],
		],
		code: `${subgroupLines(lanes)}${rowConstants(shape)}${RAW}
${sumOfAll(threads, lanes)}${SELECT}${selectEnd(threads)}
var<workgroup> nans: atomic<u32>;
var<workgroup> numGreater: atomic<u32>;
var<workgroup> greatestOrder: atomic<u32>;
var<workgroup> known: vec2<u32>;
var<workgroup> tokens: array<u32, ${LISTED}>;

/** Lists the values above \`low\`, and of those equal to it the tokens before \`behind\`. @returns how many there are */
fn listFrom(low: f32, behind: u32, row: Row, start: u32, groupsAt: u32, thread: u32) -> u32 {
  workgroupBarrier();
  if (thread == 0u) { atomicStore(&numListed, 0u); }
  workgroupBarrier();
${eachValue(threads, "low", list("low"))}
  workgroupBarrier();
  if (thread == 0u) { known.x = atomicLoad(&numListed); }
  return workgroupUniformLoad(&known).x;
}

/** The token behind the k greatest logits' last among the equals of the k-th, \`value\`. */
fn behindLast(value: f32, row: Row, start: u32, groupsAt: u32, thread: u32) -> u32 {
  var low = 0u;
  var high = VOCAB;
  let k = f32(row.numBest);
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    var count = vec4<f32>();
${eachValue(
	threads,
	"value",
	`      let isBefore = vec4<u32>(at) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(middle);
      count += select(vec4<f32>(), vec4<f32>(1.0), x > vec4<f32>(value)) + select(vec4<f32>(), vec4<f32>(1.0), (x == vec4<f32>(value)) & isBefore);`,
)}
    let enough = dot(sumOfAll(count, thread), vec4<f32>(1.0)) >= k;
    if (enough) { high = middle; } else { low = middle; }
  }
  return high;
}

@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let at = slice.first + id.x;
  let row = rows[at];
  if ((row.flags & ${SCORES}u) == 0u) { return; }
  let start = id.x * STRIDE4;
  let groupsAt = id.x * GROUPS;
  if (thread == 0u) {
    atomicStore(&nans, 0u);
    atomicStore(&numGreater, 0u);
    atomicStore(&greatestOrder, 0u);
  }
  workgroupBarrier();
  for (var c = thread; c < CHUNKS; c += ${threads}u) {
    let part = partials[id.x * CHUNKS + c];
    atomicMax(&nans, part.x);
    atomicAdd(&numGreater, part.y);
  }
  var most = -2.0 * LIMIT;
  for (var g = thread; g < GROUPS; g += ${threads}u) { most = max(most, groups[groupsAt + g].x); }
  atomicMax(&greatestOrder, orderOf(most));
  workgroupBarrier();
  if (thread == 0u) { known = vec2<u32>(atomicLoad(&nans), atomicLoad(&greatestOrder)); }
  let found = workgroupUniformLoad(&known);
  if (thread == 0u && row.scored != ${NONE}u) { results[at] = select(0u, ${NAN_LOGITS}u, found.x != 0u); }
  if (found.x != 0u) { return; }

  let peak = valueAt(found.y);
  var mass = 0.0;
  for (var g = thread; g < GROUPS; g += ${threads}u) {
    let group = groups[groupsAt + g];
    mass += group.y * exp(group.x - peak);
  }
  mass = sumOfAll(vec4<f32>(mass), thread).x;
  if (thread == 0u) {
    var token = row.scored;
    if (token == ${NONE}u) { token = sampled[at]; }
    let four = valueOf(token / 4u, start, row);
    let score = slice.scoresAt + ${SCORE_WORDS}u * at;
    results[score] = bitcast<u32>(four[token % 4u]);
    results[score + 1u] = bitcast<u32>(peak);
    results[score + 2u] = bitcast<u32>(mass);
    results[score + 3u] = atomicLoad(&numGreater);
  }
  if (row.numBest == 0u) { return; }

  let k = f32(row.numBest);
  // At first by a bound that the groups' greatest values give, then exactly, then by token among many equals.
  var low = -LIMIT;
  var behind = VOCAB;
  var count = 0u;
  for (var attempt = 0u; attempt < 3u; attempt++) {
    if (attempt < 2u) {
      let end = endOf(Target(attempt == 0u, low, peak, false, 1.0, k), row, start, groupsAt, thread);
      if (end.reached) { low = end.value; }
    } else {
      behind = behindLast(low, row, start, groupsAt, thread);
    }
    count = listFrom(low, behind, row, start, groupsAt, thread);
    if (count <= ${LISTED}u) { break; }
  }
  for (var i = thread; i < count; i += ${threads}u) {
    let x = listed[i];
    let token = tokens[i];
    var rank = 0u;
    for (var j = 0u; j < count; j++) {
      let isBetter = listed[j] > x || (listed[j] == x && tokens[j] < token);
      rank += select(0u, 1u, isBetter);
    }
    if (rank < row.numBest) {
      let place = slice.bestsAt + 2u * (row.bestAt + rank);
      results[place] = token;
      results[place + 1u] = bitcast<u32>(x);
    }
  }
}`,
	};
}
