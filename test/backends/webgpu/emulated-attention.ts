/**
 * attention_prefill_matrix without subgroup matrices, so that its addressing, barriers and softmax run on any device with
 * subgroups: 32 threads hold a result, thread l row l / 2 and columns 8 (l % 2) .. + 7 of it, and a left operand, of which each
 * has its row; a right operand is a place in workgroup memory, read when it is multiplied.
 */
import type { Kernel } from "../../../src/backends/webgpu/kernel.ts";

const storeInto = (array: string) => `
fn storeInto_${array}(at: u32, s: array<f32, 8>, pitch: u32) {
  let place = at + lane32 / 2u * pitch + lane32 % 2u * 2u;
  ${array}[place] = bitcast<vec4<u32>>(vec4<f32>(s[0], s[1], s[2], s[3]));
  ${array}[place + 1u] = bitcast<vec4<u32>>(vec4<f32>(s[4], s[5], s[6], s[7]));
}
fn loadLeft_${array}(at: u32, pitch: u32) -> array<f32, 16> {
  var row: array<f32, 16>;
  for (var i = 0u; i < 8u; i++) {
    let x = unpack2x16float(${array}[at + lane32 / 2u * pitch + i / 4u][i % 4u]);
    row[2u * i] = x.x;
    row[2u * i + 1u] = x.y;
  }
  return row;
}`;

const FUNCTIONS = `
var<private> lane32: u32;
fn loadResult(at: u32, pitch: u32) -> array<f32, 8> {
  let place = at + lane32 / 2u * pitch + lane32 % 2u * 2u;
  let low = bitcast<vec4<f32>>(tiles[place]);
  let high = bitcast<vec4<f32>>(tiles[place + 1u]);
  return array<f32, 8>(low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
}
fn rightElement(right: vec3<u32>, k: u32, n: u32) -> f32 {
  let row = select(k, n, right.z == 1u);
  let column = select(n, k, right.z == 1u);
  let word = tiles[right.x + row * right.y + column / 8u][column % 8u / 2u];
  return unpack2x16float(word)[column % 2u];
}
fn multiply(left: array<f32, 16>, right: vec3<u32>, sum: array<f32, 8>) -> array<f32, 8> {
  var result = sum;
  for (var j = 0u; j < 8u; j++) {
    for (var k = 0u; k < 16u; k++) {
      result[j] += left[k] * rightElement(right, k, lane32 % 2u * 8u + j);
    }
  }
  return result;
}`;

const load = (operand: string, order: string, array: string) =>
	`subgroupMatrixLoad<subgroup_matrix_${operand}, ${order}>(&${array}, `;

export function emulatedAttention(kernel: Kernel): Kernel {
	const right = (order: string, isColumns: number) => (text: string) =>
		text.replaceAll(
			new RegExp(
				`subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, ${order}>\\(&tiles, (\\d+u), (\\d+u)\\)`,
				"g",
			),
			`vec3<u32>($1, $2, ${isColumns}u)`,
		);
	const body = kernel.code
		.replace("enable f16;\n", "")
		.replace("enable chromium_experimental_subgroup_matrix;\n", "")
		.replace("diagnostic(off, chromium.subgroup_matrix_uniformity);\n", "")
		.replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
		.replaceAll(
			load("left<f16, 16, 16>", "row_major", "tiles"),
			"loadLeft_tiles(",
		)
		.replaceAll(
			load("left<f16, 16, 16>", "row_major", "scores"),
			"loadLeft_scores(",
		)
		.replaceAll(
			load("result<f32, 16, 16>", "row_major", "tiles"),
			"loadResult(",
		)
		.replaceAll(/subgroupMatrixStore<row_major>\(&(\w+), /g, "storeInto_$1(")
		.replaceAll("subgroup_matrix_result<f32, 16, 16>", "array<f32, 8>")
		.replace("  let item =", "  lane32 = thread % 32u;\n  let item =");
	const code = right("row_major", 0)(right("col_major", 1)(body));
	return {
		label: `emulated_${kernel.label}`,
		bindings: kernel.bindings,
		code: code + FUNCTIONS + storeInto("tiles") + storeInto("scores"),
	};
}
