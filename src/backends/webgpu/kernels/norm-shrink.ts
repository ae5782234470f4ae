/**
 * rms_norm and lora_shrink of few tokens in one dispatch: the workgroup of a token has its normalised row in registers, and takes it through
 * the matrix a of the token's adapter before it ends. Each token reads all of a, so it is for steps where waiting between dispatches costs more.
 */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { each, HALVES, pack4, range, unpack4, vec4Type } from "../wgsl.ts";
import {
	NUM_USED,
	slotColumns,
	smallStride,
	usedBinding,
	usedSlot,
} from "./lora-columns.ts";
import { laneSums, subgroupLines, workgroupSum } from "./reduce.ts";
import {
	eachFour,
	MAIN,
	normBindings,
	normLabel,
	normText,
	type RmsNormOptions,
	threadsFor,
} from "./rms-norm.ts";

export interface NormShrinkOptions {
	readonly norm: RmsNormOptions;
	readonly numTargets: number;
	/** R: rows of a for each target, a multiple of 8. */
	readonly rank: number;
	readonly numSlots: number;
	/** Of what a leaves. */
	readonly small: Storage;
}

/** What every device has, less what the norm takes. */
const MOST_BYTES = 12 * 1024;

/** Sums that the threads leave, one a subgroup for each of `rows` rows of a. */
function numSums(width: number, rows: number, abilities: Abilities): number {
	const threads = threadsFor(stride(width) / 4, abilities);
	return (threads / abilities.subgroupSize) * rows;
}

/** Whether workgroup memory has room. rows: of a, of all targets. */
export const normShrinkFits = (
	width: number,
	rows: number,
	abilities: Abilities,
): boolean => 4 * numSums(width, rows, abilities) <= MOST_BYTES;

/**
 * rmsNorm, and lora-shrink's small of the rows it writes. bindings: those of rmsNorm; owners: vec2<u32> [T], place in `used` and rank (0: none)
 * of each token's adapter; a, used, small: as lora-shrink's. Grid: one workgroup a token.
 */
export function normShrink(
	options: NormShrinkOptions,
	abilities: Abilities,
): Kernel {
	const { norm, numTargets, rank, numSlots, small } = options;
	const { subgroupSize } = abilities;
	const fours = stride(norm.width) / 4;
	const threads = threadsFor(fours, abilities);
	const shares = Math.ceil(fours / threads);
	return {
		label: `${normLabel(norm)}_shrink_${small}_${numTargets}x${rank}_${numSlots}`,
		bindings: [
			...normBindings(norm),
			["owners", "read", "array<vec2<u32>>"],
			["a", "read", `array<${vec4Type(norm.storage)}>`],
			usedBinding(numSlots),
			["small", "write", `array<${vec4Type(small)}>`],
		],
		code: `${subgroupLines(subgroupSize)}${HALVES}${workgroupSum(threads, subgroupSize)}
var<workgroup> sums: array<f32, ${numSums(norm.width, numTargets * rank, abilities)}>;
${MAIN(threads)} {
${each(shares, (i) => `  var y${i} = vec4<f32>();`)}
${normText(norm, threads, (i) => `    y${i} = y;`)}
  let owner = owners[token];
${productsText(options, threads, subgroupSize)}
  workgroupBarrier();
${writeText(options, threads, subgroupSize)}
}`,
	};
}

const rowsTogether = (rank: number): number => (rank % 16 === 0 ? 16 : 8);

/** The token's row y times each row of a, several at a time, none beyond the adapter's rank. */
function productsText(
	{ norm, numTargets, rank }: NormShrinkOptions,
	threads: number,
	lanes: number,
): string {
	const fours = stride(norm.width) / 4;
	const rows = numTargets * rank;
	const together = rowsTogether(rank);
	const values = range(together).map((r) => `p${r}`);
	const { text, names, lanesPerValue } = laneSums("sum", values, lanes);
	const product = (r: number, i: number) =>
		`      p${r} += dot(y${i}, ${unpack4(norm.storage, `a[row0 + ${r * fours}u + at]`)});`;
	return `  let lane = thread % ${lanes}u;
  for (var first = 0u; first < ${rows}u; first += ${together}u) {
    if (first % ${rank}u >= owner.y) { continue; }
    let row0 = (${usedSlot("owner.x")} * ${rows}u + first) * ${fours}u;
${values.map((name) => `    var ${name} = 0.0;`).join("\n")}
${eachFour(fours, threads, (i) => each(together, (r) => product(r, i)))}
${text}
    if (lane % ${lanesPerValue}u == 0u) {
      let mine = thread / ${lanes}u * ${rows}u + first + lane / ${lanesPerValue}u * ${names.length}u;
${names.map((name, i) => `      sums[mine + ${i}u] = ${name};`).join("\n")}
    }
  }`;
}

/** The token's row of all used slots. */
function writeText(
	{ numTargets, rank, numSlots, small }: NormShrinkOptions,
	threads: number,
	lanes: number,
): string {
	const rows = numTargets * rank;
	const firstRows = new Array<number>(numTargets).fill(0);
	const lora = { rank, numSlots, firstRows };
	const fours = slotColumns(lora) / 4;
	const together = rowsTogether(rank);
	const part = range(4).map((j) => `sums[at + ${j}u]`);
	return `  for (var i = thread; i < ${NUM_USED} * ${fours}u; i += ${threads}u) {
    let row = i % ${fours}u * 4u;
    var value = vec4<f32>();
    if (i / ${fours}u == owner.x && row < ${rows}u && row % ${rank}u / ${together}u * ${together}u < owner.y) {
      for (var at = row; at < ${(threads / lanes) * rows}u; at += ${rows}u) {
        value += vec4<f32>(${part.join(", ")});
      }
    }
    small[token * ${smallStride(lora) / 4}u + i] = ${pack4(small, "value")};
  }`;
}
