/**
 * The adapters' columns in a matrix kernel, as text: slabs of them are staged in workgroup memory like those of x and the weight, without
 * loads ahead, as there are few. Beyond the columns of the slots in use a slab is zero.
 */
import { each } from "../wgsl.ts";
import type { LinearShape } from "./linear.ts";
import {
	type MatrixTile,
	splitsOf,
	type TileSizes,
} from "./linear-matrix-tile.ts";
import {
	type LoraColumns,
	NUM_USED,
	slotColumns,
	smallStride,
	targetFunction,
	usedSlot,
} from "./lora-columns.ts";

/** Eight halves at a time. */
export const LORA_TYPES = { small: "vec4<u32>", b: "vec4<u32>" } as const;

/** `loraWeight(row, eight)`: of a row of the slice, eight columns of the used slots'. A row has none of other targets. */
export function loraFunctions(lora: LoraColumns): string {
	const eights = slotColumns(lora) / 8;
	const rankEights = lora.rank / 8;
	return `${targetFunction(lora)}
fn loraWeight(row: u32, eight: u32) -> vec4<u32> {
  let own = eight % ${eights}u - targetOf(row) * ${rankEights}u;
  if (own >= ${rankEights}u) { return vec4<u32>(); }
  let u = eight / ${eights}u;
  return b[(${usedSlot("u")} * ${lora.slotRows}u + ${lora.firstRow}u + row) * ${rankEights}u + own];
}`;
}

/** `multiply`: text that adds the products of the first buffer of `tiles`. */
export function loraStaging(
	lora: LoraColumns,
	shape: LinearShape,
	{ slab }: MatrixTile,
	{ threads, tokens, rows, pitch }: TileSizes,
	multiply: string,
): string {
	const perRow = slab / 8;
	const rowsAPass = threads / perRow;
	const isFirst = splitsOf(shape) > 1 ? "select(1u, 0u, group.z > 0u) * " : "";
	const copy = (count: number, to: number, value: (row: string) => string) =>
		each(Math.ceil(count / rowsAPass), (i) => {
			const row = `(loraRow + ${i * rowsAPass}u)`;
			const isWhole = (i + 1) * rowsAPass <= count;
			const guard = isWhole ? "" : `if (${row} < ${count}u) `;
			return `    ${guard}{
      var eights = vec4<u32>();
      if (eight < numEights) { eights = ${value(row)}; }
      tiles[(${to}u + ${row}) * ${pitch}u + loraColumn] = eights;
    }`;
		});
	return `
  let numEights = ${isFirst}${NUM_USED} * ${slotColumns(lora) / 8}u;
  let loraRow = thread / ${perRow}u;
  let loraColumn = thread % ${perRow}u;
  for (var firstEight = 0u; firstEight < numEights; firstEight += ${perRow}u) {
    let eight = firstEight + loraColumn;
    workgroupBarrier();
${copy(tokens, 0, (row) => `small[(group.x * ${tokens}u + ${row}) * ${smallStride(lora) / 8}u + eight]`)}
${copy(rows, tokens, (row) => `loraWeight(firstRow + ${row}, eight)`)}
    workgroupBarrier();
${multiply}
  }`;
}
