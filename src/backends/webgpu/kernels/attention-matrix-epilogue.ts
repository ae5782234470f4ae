/** How attention_prefill_matrix ends: outputs from registers, through the tile's memory, divided by their sums, to their rows. */
import { each } from "../wgsl.ts";
import {
	LANES,
	type MatrixShape,
	SIDE,
	tokenOfRow,
} from "./attention-matrix-shape.ts";
import {
	type AttentionOptions,
	dividedText,
	rowStrides,
} from "./attention-text.ts";

/** A block at a time, and of it as many matrices as a subgroup's share of the tile has room for beside a vec4 of padding a row. */
export function epilogueText(
	options: AttentionOptions,
	shape: MatrixShape,
): string {
	const { blocks, scorePitch, dimMatrices, stageVectors } = shape;
	const together = Math.min(
		dimMatrices,
		Math.floor((stageVectors / SIDE - 1) / 4),
	);
	const rounds = Math.ceil(dimMatrices / together);
	const head = `firstHead + row / ${SIDE}u % ${shape.heads}u`;
	const quotient = dividedText(options, "1.0", "maximum", "sum", head);
	return `  workgroupBarrier();
  if (part == 0u) { scores[row * ${scorePitch}u] = vec4<u32>(bitcast<u32>(${quotient}), 0u, 0u, 0u); }
  let stage = subgroup * ${stageVectors}u;
${each(blocks, (i) =>
	each(rounds, (r) =>
		roundText(
			options,
			shape,
			i,
			r * together,
			Math.min(dimMatrices, (r + 1) * together),
		),
	),
)}`;
}

/** Matrices [from, until) of block i. Neighbouring lanes write neighbouring pieces of eight elements. */
function roundText(
	{ heads }: AttentionOptions,
	shape: MatrixShape,
	i: number,
	from: number,
	until: number,
): string {
	const { blocks, scorePitch } = shape;
	const count = until - from;
	const pitch = 4 * count + 1;
	const pieces = 2 * count;
	const stores = each(
		count,
		(m) =>
			`  subgroupMatrixStore<row_major>(&tiles, stage + ${4 * m}u, o${i}_${from + m}, ${pitch}u);`,
	);
	return `${stores}
  workgroupBarrier();
  for (var n = lane; n < ${SIDE * pieces}u; n += ${LANES}u) {
    let at = subgroup * ${SIDE * blocks}u + ${SIDE * i}u + n / ${pieces}u;
    let token = ${tokenOfRow(shape, "at")};
    if (token < item.y) {
      let scale = bitcast<f32>(scores[at * ${scorePitch}u].x);
      let place = stage + n / ${pieces}u * ${pitch}u + n % ${pieces}u * 2u;
      let low = toHalves4(bitcast<vec4<f32>>(tiles[place]) * scale);
      let high = toHalves4(bitcast<vec4<f32>>(tiles[place + 1u]) * scale);
      let head = firstHead + at / ${SIDE}u % ${shape.heads}u;
      let start = (item.x + token) * ${rowStrides(heads).output}u + head * ${heads.headDim}u + ${SIDE * from}u;
      output[start / 8u + n % ${pieces}u] = vec4<u32>(low, high);
    }
  }
  workgroupBarrier();`;
}
