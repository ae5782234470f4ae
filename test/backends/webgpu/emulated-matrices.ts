/**
 * Subgroup matrices as plain WGSL, so that the addressing of matrix kernels can be run where there are none: 32 threads hold
 * a result, thread l row l / 2 and columns 8 (l % 2) .. + 7 of it; the operands are places in workgroup memory, read when
 * they are multiplied. Knows how linear-matrix writes its text.
 */
import type { Kernel } from "../../../src/backends/webgpu/kernel.ts";
import { SCALED_BYTES } from "../../../src/backends/webgpu/kernels/linear-matrix-weight.ts";

const MULTIPLY = `
var<private> lane: u32;
fn eight(at: u32) -> array<vec4<f32>, 2> {
  let v = tiles[at];
  return array<vec4<f32>, 2>(vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y)), vec4<f32>(unpack2x16float(v.z), unpack2x16float(v.w)));
}
fn multiply(left: vec2<u32>, right: vec2<u32>, sum: array<f32, 8>) -> array<f32, 8> {
  var result = sum;
  let a = left.x + lane / 2u * left.y;
  for (var half = 0u; half < 2u; half++) {
    let x = eight(a + half);
    for (var j = 0u; j < 8u; j++) {
      let y = eight(right.x + (lane % 2u * 8u + j) * right.y + half);
      result[j] += dot(x[0], y[0]) + dot(x[1], y[1]);
    }
  }
  return result;
}`;

const storeInto = (array: string, type: string) => `
fn storeInto_${array}(at: u32, s: array<f32, 8>, pitch: u32) {
  let place = at + lane / 2u * pitch + lane % 2u * 2u;
  ${array}[place] = bitcast<${type}>(vec4<f32>(s[0], s[1], s[2], s[3]));
  ${array}[place + 1u] = bitcast<${type}>(vec4<f32>(s[4], s[5], s[6], s[7]));
}`;

const LOAD_RESULT = `
fn loadResult(at: u32, pitch: u32) -> array<f32, 8> {
  let place = at + lane / 2u * pitch + lane % 2u * 2u;
  let low = output[place];
  let high = output[place + 1u];
  return array<f32, 8>(low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
}`;

const SCALED_BYTES_F32 = `
fn scaledBytes(bytes: u32, zero: f32, scale: u32) -> vec2<u32> {
  let w = (vec4<f32>(unpack4xU8(bytes)) - zero) * unpack2x16float(scale).x;
  return vec2<u32>(pack2x16float(w.xy), pack2x16float(w.zw));
}`;

export function emulated(kernel: Kernel): Kernel {
	const body = kernel.code
		.replace(/^\s*(enable|diagnostic).*$/gm, "")
		.replace(SCALED_BYTES, SCALED_BYTES_F32)
		.replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
		.replaceAll(
			/subgroupMatrixLoad<subgroup_matrix_(left|right)<f16, 16, 16>, \w+>\(&tiles, /g,
			"vec2<u32>(",
		)
		.replaceAll(
			/subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>\(&output, /g,
			"loadResult(",
		)
		.replaceAll(/subgroupMatrixStore<row_major>\(&(\w+), /g, "storeInto_$1(")
		.replaceAll("subgroup_matrix_result<f32, 16, 16>", "array<f32, 8>")
		.replace("let subgroup =", "lane = thread % 32u;\n  let subgroup =");
	const functions = [
		MULTIPLY,
		body.includes("loadResult(") ? LOAD_RESULT : "",
		body.includes("storeInto_tiles(") ? storeInto("tiles", "vec4<u32>") : "",
		body.includes("storeInto_output(") ? storeInto("output", "vec4<f32>") : "",
	];
	return {
		label: `emulated_${kernel.label}`,
		bindings: kernel.bindings,
		code: body + functions.join("\n"),
	};
}
