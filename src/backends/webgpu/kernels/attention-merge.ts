/** The second half of split-KV attention: one row out of the partial outputs of a decode's items. */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import type { Storage } from "../layout.ts";
import { each, HALVES, range } from "../wgsl.ts";
import {
	ATTENTION_MAIN,
	headAccess,
	NO_MAX,
	outputText,
	partialFours,
	type SinkOptions,
	sinkBinding,
	sinkFunction,
} from "./attention-text.ts";

export interface AttentionMergeOptions extends SinkOptions {
	readonly heads: Heads;
	/** Of the output. */
	readonly storage: Storage;
	/** Threads that share out the items of an element: one where there are few, as many as there is room for up to so many. */
	readonly slices: number;
}

const THREADS = 256;
/** Merges of more items want slices. */
export const FEW_MERGED = 8;
export const MOST_MERGE_SLICES = 8;
/** Items a thread has in flight. */
const UNROLL = 4;

function shapeOf(
	{ heads, slices }: AttentionMergeOptions,
	{ maxInvocations }: Abilities,
) {
	const fours = partialFours(heads) - 1;
	const fitting = Math.floor(Math.min(THREADS, maxInvocations) / fours);
	const numSlices = Math.max(1, Math.min(slices, fitting));
	const most = Math.max(1, Math.floor(fitting / numSlices));
	const numHeads = numSlices > 1 ? 1 : Math.min(most, heads.numHeads);
	return { fours, numSlices, headsTogether: numHeads };
}

export function mergeGrid(
	options: AttentionMergeOptions,
	abilities: Abilities,
	numMerges: number,
): readonly [number, number] {
	const { headsTogether } = shapeOf(options, abilities);
	return [numMerges, Math.ceil(options.heads.numHeads / headsTogether)];
}

/**
 * output[token][head] = Σ_i o_i · 2^(m_i − M) / Σ_i l_i · 2^(m_i − M), M = max_i m_i, over the items i of a merge; f32 until stored.
 * A thread has four elements of a head, over all items or a slice of them. bindings: decodeMerges, partials, output: `storage`, (sinks). Grid:
 * `mergeGrid`. Leaves the row's padding as it is.
 */
export function attentionMerge(
	options: AttentionMergeOptions,
	abilities: Abilities,
): Kernel {
	const { heads, storage } = options;
	const { numHeads, headDim } = heads;
	const { fours, numSlices, headsTogether } = shapeOf(options, abilities);
	const row = fours + 1;
	const output = headAccess("output", storage, headDim);
	const isSliced = numSlices > 1;
	const isRagged = numHeads % headsTogether !== 0;
	return {
		label: `attention_merge_${storage}_${numHeads}x${headDim}_${headsTogether}x${numSlices}${options.hasSinks ? "_sinks" : ""}`,
		bindings: [
			["decodeMerges", "read", "array<vec4<u32>>"],
			["partials", "read", "array<vec4<f32>>"],
			["output", "write", output.type],
			...sinkBinding(options),
		],
		code: `${HALVES}${output.store}${sinkFunction(options)}
${isSliced ? sliceRoom(numSlices, fours) : ""}
${ATTENTION_MAIN(numSlices * headsTogether * fours)}
  let merge = decodeMerges[group.x];
  let token = merge.x;
  let head = group.y * ${headsTogether}u + thread / ${numSlices * fours}u;
${isRagged ? `  if (head >= ${numHeads}u) { return; }` : ""}
  let four = thread % ${fours}u;
  let slice = ${isSliced ? `thread / ${fours}u` : "0u"};
  var most = ${NO_MAX};
  var sum = 0.0;
  var x = vec4<f32>();
  for (var i = slice; i < merge.z; i += ${numSlices * UNROLL}u) {
${each(UNROLL, (j) => {
	const at = `i + ${j * numSlices}u`;
	return `    let isIn${j} = ${at} < merge.z;
    let row${j} = ((merge.y + min(${at}, merge.z - 1u)) * ${numHeads}u + head) * ${row}u;
    let stats${j} = partials[row${j} + ${fours}u];
    let x${j} = partials[row${j} + four];`;
})}
    let before = most;
    most = ${range(UNROLL).reduce((all, j) => `max(${all}, stats${j}.x)`, "most")};
    let kept = exp2(before - most);
${each(UNROLL, (j) => `    let f${j} = select(0.0, exp2(stats${j}.x - most), isIn${j});`)}
    sum = sum * kept + ${range(UNROLL)
			.map((j) => `stats${j}.y * f${j}`)
			.join(" + ")};
    x = x * kept + ${range(UNROLL)
			.map((j) => `x${j} * f${j}`)
			.join(" + ")};
  }
${isSliced ? mergeSlices(numSlices, fours) : ""}
  ${outputText(options)}
}`,
	};
}

const sliceRoom = (numSlices: number, fours: number): string => `
var<workgroup> maxima: array<f32, ${numSlices}>;
var<workgroup> sums: array<f32, ${numSlices}>;
var<workgroup> outputs: array<vec4<f32>, ${numSlices * fours}>;`;

/** One head a workgroup: the first slice takes in the others. */
const mergeSlices = (
	numSlices: number,
	fours: number,
): string => `  if (four == 0u) {
    maxima[slice] = most;
    sums[slice] = sum;
  }
  outputs[thread] = x;
  workgroupBarrier();
  if (slice > 0u) { return; }
  most = ${range(numSlices).reduce((all, i) => `max(${all}, maxima[${i}])`, NO_MAX)};
  sum = 0.0;
  x = vec4<f32>();
${each(
	numSlices,
	(i) => `  let g${i} = exp2(maxima[${i}] - most);
  sum += sums[${i}] * g${i};
  x += outputs[${i * fours}u + four] * g${i};`,
)}`;
