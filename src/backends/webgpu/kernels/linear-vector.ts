/**
 * A linear op for up to eight tokens on any device: one pass over the weight, bound by memory. A team of lanes shares a few
 * rows of the weight and splits K among them; each lane reads 16 bytes of every row at a time, several such loads ahead of
 * their use, and keeps x in registers over the rows. With a norm, x is the f32 residual and the RMSNorm is fused: as its scale
 * is one factor per token, each team sums the squares beside its products and the scale is applied at the end.
 * After ggml-webgpu's mul_mat_vec and ONNX Runtime's MatMulNBits with skip-norm.
 */

import { assert } from "../../../errors.ts";
import { MAX_HALF } from "../../../weights/convert.ts";
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { each, HALVES } from "../wgsl.ts";
import { gatedFunction } from "./epilogue.ts";
import {
	expertOffset,
	expertText,
	type LinearShape,
	linearBindings,
	shapeLabel,
} from "./linear.ts";
import {
	planOf,
	rowsPerWord,
	type VectorOptions,
	type VectorPlan,
} from "./linear-vector-plan.ts";
import {
	accumulators,
	overColumns,
	overLoraColumns,
} from "./linear-vector-products.ts";
import {
	leaveSums,
	sumsStride,
	totalFunction,
	writeOutput,
} from "./linear-vector-sums.ts";
import { fourFunctions, fourTypes } from "./lora-columns.ts";
import { subgroupLines } from "./reduce.ts";

/**
 * bindings: x (`storage` [T][stride(K)]), or with a norm residual (f32 [T][stride(K)]) and normWeight (f32 [stride(K)]); (routes, of an
 * expert stack), weight, (scales), (bias), output, (those of loraBindings). Grid: vectorGrid; of an expert stack y is the number of pairs: vec2<u32> routes[p].x is
 * the expert of the output's row p, made of row p / pairsPerRow of x.
 */
export function linearVector(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): Kernel {
	const plan = planOf(shape, options, abilities);
	const { tokens, rowsPerTeam, threads, normEps } = options;
	const { teamLanes, lanes, rowUnits, groupRows, unit } = plan;
	assert(shape.epilogue !== "partial", "matrix-vector does not split K");
	assert(shape.experts === undefined || tokens === 1, "a pair at a time");
	assert(
		groupRows % rowsPerWord(shape) === 0 && 128 % groupRows === 0,
		`a workgroup of ${groupRows} rows does not fit the output`,
	);
	return {
		label: [
			"linear_vector",
			shapeLabel(shape),
			`${tokens}t`,
			`${rowsPerTeam}r`,
			`${options.subgroupsPerTeam}s`,
			`${threads}w`,
			`${options.unroll}u`,
			...(normEps === null ? [] : ["norm", normEps]),
		].join("_"),
		bindings: linearBindings(
			shape,
			inputsOf(plan),
			{
				weight: `array<${unit.type}>`,
				output:
					rowsPerWord(shape) % 2 === 0 && shape.storage === "f16"
						? "array<u32>"
						: "array<f32>",
			},
			shape.lora && fourTypes(shape.lora, shape.storage),
		),
		code: `${subgroupLines(lanes)}${HALVES}${FUNCTIONS}${gatedFunction(shape)}${unit.functions}${shape.lora ? fourFunctions(shape.lora, shape.storage) : ""}
var<workgroup> sums: array<f32, ${(threads / lanes) * sumsStride(plan)}>;
${totalFunction(plan)}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let teamLane = thread % ${teamLanes}u;
  let lane = thread % ${lanes}u;
${expertText(shape, "routes[group.y].x")}
  let firstRow = group.x * ${groupRows}u;
  let teamRow = ${expertOffset(shape)}firstRow + thread / ${teamLanes}u * ${rowsPerTeam}u;
${each(rowsPerTeam, (r) => `  let row${r} = (teamRow + ${r}u) * ${rowUnits}u;`)}
${accumulators(plan)}
${overLoraColumns(plan)}
${overColumns(plan)}
${leaveSums(plan)}
  workgroupBarrier();
${writeOutput(plan)}
}`,
	};
}

const FUNCTIONS = `
fn dotAdd(a: vec4<f32>, b: vec4<f32>, c: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, c))));
}
fn toHalves2(x: vec2<f32>) -> u32 {
  return pack2x16float(clamp(x, vec2<f32>(-${MAX_HALF}.0), vec2<f32>(${MAX_HALF}.0)));
}`;

function inputsOf({ shape, unit, xStorage, options }: VectorPlan): Binding[] {
	const routes: Binding[] =
		shape.experts === undefined ? [] : [["routes", "read", "array<vec2<u32>>"]];
	if (options.normEps !== null)
		return [
			["residual", "read", "array<vec4<f32>>"],
			["normWeight", "read", "array<vec4<f32>>"],
			...routes,
		];
	const halves = unit.elements === 4 ? "vec2<u32>" : "vec4<u32>";
	const type = xStorage === "f16" ? halves : "vec4<f32>";
	return [["x", "read", `array<${type}>`], ...routes];
}
