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
	partialFours,
	rowStrides,
} from "./attention-text.ts";

export interface AttentionMergeOptions {
	readonly heads: Heads;
	/** Of the output. */
	readonly storage: Storage;
}

const THREADS = 256;
const MOST_SLICES = 8;
/** Items a thread has in flight. */
const UNROLL = 4;

/**
 * output[token][head] = Σ_i o_i · 2^(m_i − M) / Σ_i l_i · 2^(m_i − M), M = max_i m_i, over the items i of a merge; f32 until stored.
 * Threads share out four elements each, and the items among as many slices as a workgroup has room for.
 * bindings: decodeMerges, partials, output: `storage`. Grid: (numMerges, numHeads). Leaves the row's padding as it is.
 */
export function attentionMerge(
	{ heads, storage }: AttentionMergeOptions,
	{ maxInvocations }: Abilities,
): Kernel {
	const { numHeads, headDim } = heads;
	const row = partialFours(heads);
	const fours = row - 1;
	const fitting = Math.floor(Math.min(THREADS, maxInvocations) / fours);
	const numSlices = Math.max(1, Math.min(MOST_SLICES, fitting));
	const output = headAccess("output", storage, headDim);
	return {
		label: `attention_merge_${storage}_${numHeads}x${headDim}_${numSlices}`,
		bindings: [
			["decodeMerges", "read", "array<vec4<u32>>"],
			["partials", "read", "array<vec4<f32>>"],
			["output", "write", output.type],
		],
		code: `${HALVES}${output.store}
var<workgroup> maxima: array<f32, ${numSlices}>;
var<workgroup> sums: array<f32, ${numSlices}>;
var<workgroup> outputs: array<vec4<f32>, ${numSlices * fours}>;
${ATTENTION_MAIN(numSlices * fours)}
  let merge = decodeMerges[group.x];
  let head = group.y;
  let four = thread % ${fours}u;
  let slice = thread / ${fours}u;
  var maximum = ${NO_MAX};
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
    let before = maximum;
    maximum = ${range(UNROLL).reduce((all, j) => `max(${all}, stats${j}.x)`, "maximum")};
    let kept = exp2(before - maximum);
${each(UNROLL, (j) => `    let f${j} = select(0.0, exp2(stats${j}.x - maximum), isIn${j});`)}
    sum = sum * kept + ${range(UNROLL)
			.map((j) => `stats${j}.y * f${j}`)
			.join(" + ")};
    x = x * kept + ${range(UNROLL)
			.map((j) => `x${j} * f${j}`)
			.join(" + ")};
  }
  if (four == 0u) {
    maxima[slice] = maximum;
    sums[slice] = sum;
  }
  outputs[thread] = x;
  workgroupBarrier();
  if (slice > 0u) { return; }
  maximum = ${range(numSlices).reduce((all, i) => `max(${all}, maxima[${i}])`, NO_MAX)};
  sum = 0.0;
  x = vec4<f32>();
${each(
	numSlices,
	(i) => `  let g${i} = exp2(maxima[${i}] - maximum);
  sum += sums[${i}] * g${i};
  x += outputs[${i * fours}u + four] * g${i};`,
)}
  store_output(merge.x * ${rowStrides(heads).output}u + head * ${headDim}u, four * 4u, x / sum);
}`,
	};
}
