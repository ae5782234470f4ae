/** Sums over threads as text: by shuffles inside a subgroup, through workgroup memory beyond it. */
import { each, range } from "../wgsl.ts";

/** Lines a kernel that shuffles begins with. Threads of a 1-D workgroup are taken to fill subgroups in order. */
export const subgroupLines = (lanes: number): string =>
	lanes > 1 ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n" : "";

export interface LaneSums {
	readonly text: string;
	/** The sums a lane ends with: those of values `lane / lanesPerValue · names.length + i`. */
	readonly names: readonly string[];
	readonly lanesPerValue: number;
}

/**
 * Sums of several named f32 over `lanes` neighbouring lanes; both counts are powers of two. While a lane has two sums it hands
 * one half to its partner and takes over the other: V values take about V shuffles, not V · log(lanes). The text reads `lane`.
 */
export function laneSums(
	prefix: string,
	values: readonly string[],
	lanes: number,
): LaneSums {
	const lines: string[] = [];
	let names = values;
	for (let mask = lanes / 2; mask >= 1; mask /= 2) {
		const half = names.length / 2;
		const swapped = (i: number) => {
			const [a, b] = [names[i], names[half + i]];
			const upper = `(lane & ${mask}u) != 0u`;
			return `select(${a}, ${b}, ${upper}) + subgroupShuffleXor(select(${b}, ${a}, ${upper}), ${mask}u)`;
		};
		const sums =
			names.length === 1
				? [`${names[0]} + subgroupShuffleXor(${names[0]}, ${mask}u)`]
				: range(half).map(swapped);
		names = sums.map((_, i) => `${prefix}${mask}_${i}`);
		sums.forEach((sum, i) => {
			lines.push(`  let ${names[i]} = ${sum};`);
		});
	}
	return {
		text: lines.join("\n"),
		names,
		lanesPerValue: Math.max(1, lanes / values.length),
	};
}

/** Sums that each thread adds up by itself at the end. */
const LAST_PARTS = 8;

/** `workgroupSum(x, thread)`: Σ x over all threads, for each of them. A kernel calls it once. */
export function workgroupSum(threads: number, lanes: number): string {
	const parts = threads / lanes;
	const last = Math.min(parts, LAST_PARTS);
	const halvings = range(Math.log2(parts / last)).map(
		(i) => parts / 2 ** (i + 1),
	);
	return `
var<workgroup> partSums: array<f32, ${parts}>;
fn workgroupSum(x: f32, thread: u32) -> f32 {
  var sum = x;
${each(Math.log2(lanes), (i) => `  sum += subgroupShuffleXor(sum, ${2 ** i}u);`)}
  if (thread % ${lanes}u == 0u) { partSums[thread / ${lanes}u] = sum; }
  workgroupBarrier();
${halvings
	.map(
		(half) =>
			`  if (thread < ${half}u) { partSums[thread] += partSums[thread + ${half}u]; }\n  workgroupBarrier();`,
	)
	.join("\n")}
  return ${range(last)
		.map((i) => `partSums[${i}]`)
		.join(" + ")};
}`;
}
