/** From the sums of each lane to the output of a matrix-vector kernel, as text. */
import { stride } from "../layout.ts";
import { range } from "../wgsl.ts";
import { finished } from "./epilogue.ts";
import { expertOffset } from "./linear.ts";
import { rowsPerWord, type VectorPlan } from "./linear-vector-plan.ts";
import { laneSums } from "./reduce.ts";

/** Workgroup memory of one subgroup's sums; odd, so that threads without subgroups meet no bank twice. */
export const sumsStride = ({ numSums, lanes }: VectorPlan): number =>
	lanes > 1 ? numSums : numSums + 1 - (numSums % 2);

/** The sums of each subgroup into workgroup memory. */
export function leaveSums(plan: VectorPlan): string {
	const { lanes, options } = plan;
	const { rowsPerTeam, tokens, normEps } = options;
	const names = range(rowsPerTeam).flatMap((r) =>
		range(tokens).map((t) => `y${r}_${t}`),
	);
	const leave = (prefix: string, values: readonly string[], from: number) => {
		const { text, names, lanesPerValue } = laneSums(prefix, values, lanes);
		const stores = names.map(
			(name, i) =>
				`sums[mine + lane / ${lanesPerValue}u * ${names.length}u + ${from + i}u] = ${name};`,
		);
		return `${text}
  if (lane % ${lanesPerValue}u == 0u) {
    ${stores.join("\n    ")}
  }`;
	};
	return `  let mine = thread / ${lanes}u * ${sumsStride(plan)}u;
${leave("sum", names, 0)}
${
	normEps === null
		? ""
		: leave(
				"square",
				range(tokens).map((t) => `squares${t}`),
				names.length,
			)
}`;
}

/** `total(row, token)`: y of a row of the workgroup, bias included. */
export function totalFunction(plan: VectorPlan): string {
	const { shape, options, unit } = plan;
	const { rowsPerTeam, subgroupsPerTeam, tokens, normEps } = options;
	const S = sumsStride(plan);
	const lines = [
		"var y = sumOf(first + row % ROWS * TOKENS + token);",
		...(unit.factor === 1 ? [] : [`y *= ${unit.factor}.0;`]),
		...(normEps === null
			? []
			: [
					`y *= inverseSqrt(sumOf(first + ${rowsPerTeam * tokens}u + token) / ${shape.columns}.0 + ${normEps});`,
				]),
		...(shape.bias ? ["y += bias[firstRow + row];"] : []),
	];
	return `const ROWS = ${rowsPerTeam}u;
const TOKENS = ${tokens}u;
fn sumOf(first: u32) -> f32 {
  var sum = sums[first];
  for (var part = 1u; part < ${subgroupsPerTeam}u; part++) { sum += sums[first + part * ${S}u]; }
  return sum;
}
fn total(firstRow: u32, row: u32, token: u32) -> f32 {
  let first = row / ROWS * ${subgroupsPerTeam * S}u;
  ${lines.join("\n  ")}
  return y;
}`;
}

/** One thread a word of the output. */
export function writeOutput(plan: VectorPlan): string {
	const { shape, options, groupRows } = plan;
	const { epilogue, storage, rows, outputStride } = shape;
	const gated = epilogue === "gated";
	const perWord = rowsPerWord(shape);
	const words = groupRows / perWord;
	const count = words * options.tokens;
	const first = `${expertOffset(shape)}firstRow`;
	const totalOf = (i: number) => `total(${first}, row + ${i}u, token)`;
	const y = (i: number) =>
		gated
			? `gated(${totalOf(2 * i)}, ${totalOf(2 * i + 1)})`
			: finished(shape, totalOf(i));
	const outputRow = shape.experts === undefined ? "token" : "group.y";
	const halves = storage === "f16" && (gated || epilogue === "store");
	const value = halves ? `toHalves2(vec2<f32>(${y(0)}, ${y(1)}))` : y(0);
	const overhangs = Math.ceil(rows / groupRows) * groupRows > stride(rows);
	const guard = overhangs ? `if (firstRow + row < ${stride(rows)}u) ` : "";
	const body = `    let token = o / ${words}u;
    let row = o % ${words}u * ${perWord}u;
    let at = ${outputRow} * ${outputStride / (halves ? 2 : 1)}u + (firstRow + row) / ${perWord}u;
    ${guard}{ output[at] ${epilogue === "add" ? "+=" : "="} ${value}; }`;
	return `  for (var o = thread; o < ${count}u; o += ${options.threads}u) {
${body}
  }`;
}
