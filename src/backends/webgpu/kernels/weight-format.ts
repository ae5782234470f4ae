/** How a kernel reads a matrix of any format four elements at a time. layout.ts says how they lie. */
import { BLOCK, type MatrixFormat } from "../layout.ts";
import { HALVES } from "../wgsl.ts";

/** WGSL type of a matrix's elements where `WEIGHT4` reads it. */
export const WEIGHT4_TYPE: Readonly<Record<MatrixFormat, string>> = {
	f32: "array<vec4<f32>>",
	f16: "array<vec2<u32>>",
	q8_0: "array<u32>",
	q4_0: "array<u32>",
};

export const isQuantized = (format: MatrixFormat): boolean =>
	format === "q8_0" || format === "q4_0";

/** `scaleOf(block)`: the f32 scale of a block of the binding `scales`. */
export const SCALE_OF = `
fn scaleOf(block: u32) -> f32 {
  return unpack2x16float(scales[block >> 1u])[block & 1u];
}`;

/** `weight4(i)`: elements 4i .. 4i + 3 of the bindings `weight` and `scales` as f32. With HALVES. */
export function weight4(format: MatrixFormat): string {
	return `${HALVES}${isQuantized(format) ? SCALE_OF : ""}
fn weight4(i: u32) -> vec4<f32> {
${WEIGHT4[format]}
}`;
}

const FOURS = BLOCK / 4;
const WEIGHT4: Readonly<Record<MatrixFormat, string>> = {
	f32: "  return weight[i];",
	f16: "  return halves4(weight[i]);",
	q8_0: `  return vec4<f32>(unpack4xI8(weight[i])) * scaleOf(i / ${FOURS}u);`,
	q4_0: `  let block = i / ${FOURS}u;
  let part = i % ${FOURS}u;
  let nibbles = weight[block * 4u + part % 4u] >> (4u * (part / 4u));
  return (vec4<f32>(unpack4xU8(nibbles & 0x0f0f0f0fu)) - 8.0) * scaleOf(block);`,
};
