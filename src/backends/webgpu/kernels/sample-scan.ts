/**
 * First pass over the logits of sampling rows, a chunk of a row a workgroup: is there a NaN, who wins the chunk, and for rows that
 * filter, the greatest value of every group and Σ exp(value − greatest), by which later passes know what they can skip.
 */
import type { Kernel } from "../kernel.ts";
import { each } from "../wgsl.ts";
import { BEST, bestOfAll, GUMBELS } from "./sample-draw.ts";
import {
	DRAWS,
	FILTERS,
	PROCESSED,
	rowConstants,
	type SampleShape,
	SUMS,
	sampleLabel,
} from "./sample-row.ts";

/** Bits of a logit that are greater than these without the sign: a NaN. */
export const INFINITY_BITS = 0x7f800000;

/**
 * partials[r][chunk] = value, g, token of the chunk's winner and 1 where it has a NaN. Greedy rows and rows that filter have g = 0:
 * the winner is the greatest. groups[r][group] = greatest, Σ exp.
 * bindings: slice, rows, words (masks), logits f32 [r][stride(V)], partials vec4<u32>, groups vec2<f32>. Grid: [chunks, rows].
 */
export function sampleScan(shape: SampleShape): Kernel {
	const { scanThreads, fours } = shape;
	return {
		label: sampleLabel("sample_scan", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["rows", "read", "array<Row>"],
			["words", "read", "array<u32>"],
			["logits", "read", "array<vec4<f32>>"],
			["partials", "write", "array<vec4<u32>>"],
			["groups", "write", "array<vec2<f32>>"],
		],
		code: `${rowConstants(shape)}${PROCESSED}${GUMBELS}${BEST}${bestOfAll(scanThreads)}
var<workgroup> nans: atomic<u32>;
@compute @workgroup_size(${scanThreads}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = rows[slice.first + id.y];
  let start = id.y * STRIDE4;
  let g = id.x * SCAN_THREADS + thread;
  if (thread == 0u) { atomicStore(&nans, 0u); }
${readGroup(fours)}
${each(fours, (j) => `  var v${j} = overTemperature(x${j}, row);`)}
  if (size >= ${INFINITY_BITS}u) {
${each(fours, (j) => `    v${j} = bounded(v${j}, x${j});`)}
  }
  if (row.mask != NONE) {
${each(fours, (j) => `    if (fourOf(g, ${j}u) < STRIDE4) { v${j} = allowed(v${j}, 4u * fourOf(g, ${j}u), row); }`)}
  }
  if (id.x == CHUNKS - 1u) {
${each(fours, (j) => `    v${j} = inside(v${j}, 4u * fourOf(g, ${j}u));`)}
  }
  var best = noBest();
  if ((row.flags & ${DRAWS | FILTERS}u) == ${DRAWS}u) {
${each(fours, (j) => `    best = challenge(best, v${j}, gumbels(4u * fourOf(g, ${j}u), row), 4u * fourOf(g, ${j}u));`)}
  } else {
${each(fours, (j) => `    best = challenge(best, v${j}, vec4<f32>(), 4u * fourOf(g, ${j}u));`)}
  }
  if ((row.flags & ${FILTERS}u) != 0u) {
    var sum = 0.0;
    if ((row.flags & ${SUMS}u) != 0u) { sum = ${sumOfGroup(fours, "best.value")}; }
    groups[id.y * GROUPS + g] = vec2<f32>(best.value, sum);
  }
  workgroupBarrier();
  if (size > ${INFINITY_BITS}u) { atomicMax(&nans, 1u); }
  let winner = bestOfAll(best, thread);
  if (thread == 0u) {
    partials[id.y * CHUNKS + id.x] = vec4<u32>(bitcast<u32>(winner.value), bitcast<u32>(winner.g), winner.token, atomicLoad(&nans));
  }
}`,
	};
}

/** x0 .. of group g, zero behind the row, and `size`: the greatest of their bits without the sign. */
export const readGroup = (fours: number): string => `
  let isLast = id.x == CHUNKS - 1u;
${each(fours, (j) => `  var x${j} = vec4<f32>();`)}
  if (!isLast) {
${each(fours, (j) => `    x${j} = logits[start + fourOf(g, ${j}u)];`)}
  } else {
${each(fours, (j) => `    if (fourOf(g, ${j}u) < STRIDE4) { x${j} = logits[start + fourOf(g, ${j}u)]; }`)}
  }
  var sizes = vec4<u32>();
${each(fours, (j) => `  sizes = max(sizes, bitcast<vec4<u32>>(x${j}) & vec4<u32>(0x7fffffffu));`)}
  let size = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));`;

/** Σ exp(v − greatest) over v0 .. */
export const sumOfGroup = (fours: number, greatest: string): string =>
	`dot(vec4<f32>(1.0), ${Array.from({ length: fours }, (_, j) => `exp(v${j} - ${greatest})`).join(" + ")})`;
