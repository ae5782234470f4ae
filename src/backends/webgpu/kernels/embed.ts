/** Rows of the embedding matrix for the tokens of a step, ids the step before sampled included. */
import type { Kernel } from "../kernel.ts";
import { CARRIED, type MatrixFormat, stride } from "../layout.ts";
import { f32 } from "../wgsl.ts";
import { isQuantized, WEIGHT4_TYPE, weight4 } from "./weight-format.ts";

export interface EmbedOptions {
	readonly format: MatrixFormat;
	/** H */
	readonly columns: number;
	readonly vocabSize: number;
	/** Of every element. */
	readonly scale: number;
	/** Rows of the weight that are bound: those from `firstRow` on. Tokens of other rows are left to other slices. */
	readonly firstRow: number;
	readonly rows: number;
}

const THREADS = 128;

/**
 * residual[t] = scale · weight[id(t)].  tokens: vec4<u32> [T]; sampled: u32, by row of the step before; residual: f32 [T][stride(H)].
 * One workgroup a token. An id beyond the vocabulary counts as its last.
 */
export function embed(options: EmbedOptions): Kernel {
	const { format, columns, vocabSize, scale, firstRow, rows } = options;
	const factor = scale === 1 ? "" : ` * ${f32(scale)}`;
	const fours = stride(columns) / 4;
	return {
		label: `embed_${format}_${vocabSize}x${columns}_${firstRow}+${rows}${scale === 1 ? "" : `_times${scale}`}`,
		bindings: [
			["tokens", "read", "array<vec4<u32>>"],
			["sampled", "read", "array<u32>"],
			["weight", "read", WEIGHT4_TYPE[format]],
			...(isQuantized(format)
				? ([["scales", "read", "array<u32>"]] as const)
				: []),
			["residual", "write", "array<vec4<f32>>"],
		],
		code: `${weight4(format)}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var id = tokens[group.x].x;
  if ((id & ${CARRIED}u) != 0u) { id = sampled[id & ${CARRIED - 1}u]; }
  let row = min(id, ${vocabSize - 1}u) - ${firstRow}u;
  if (row >= ${rows}u) { return; }
  for (var i = thread; i < ${fours}u; i += ${THREADS}u) {
    residual[group.x * ${fours}u + i] = weight4(row * ${fours}u + i)${factor};
  }
}`,
	};
}

/** One workgroup a token. */
export const embedGrid = (numTokens: number): [number, number, number] => [
	numTokens,
	1,
	1,
];
