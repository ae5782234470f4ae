/**
 * The first half of adapters (LoRA, Hu et al. 2021): rows of x go through the matrix a of their own slot, all slots in one dispatch, after
 * Punica's SGMV and BGMV (Chen et al. 2023). A workgroup takes one tile of tokens, all of one slot, and a few rows of a; its lanes share K,
 * many of them, as there is little to do and one waits for it. What is left becomes columns for the linear: see lora-columns.ts.
 */
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { each, HALVES, pack4, range, unpack4, vec4Type } from "../wgsl.ts";
import {
	NUM_USED,
	slotColumns,
	smallStride,
	usedBinding,
	usedSlot,
} from "./lora-columns.ts";
import { laneSums, subgroupLines } from "./reduce.ts";

export interface LoraShrinkOptions {
	/** K */
	readonly width: number;
	readonly numTargets: number;
	/** R: rows of a for each target, a multiple of 8. */
	readonly rank: number;
	readonly numSlots: number;
	/** Of x; the residual is f32 whatever the others are. */
	readonly input: Storage;
	/** Of a. */
	readonly storage: Storage;
	/** Of what is left. */
	readonly small: Storage;
	/** x is the residual and gets a norm's weight here, its scale later. */
	readonly weighted: boolean;
	readonly tile: AdapterTile;
}

/** Tokens of a tile: one where there are few, so that they share no workgroup; else enough to read a matrix seldom. */
export type AdapterTile = 1 | 4 | 16;

/** Rows of a that a workgroup has. */
const GROUP_ROWS: Readonly<Record<AdapterTile, number>> = { 1: 4, 4: 4, 16: 8 };
/** Tokens whose products a lane keeps. */
const MOST_OWN = 4;

/** How a workgroup's threads share the work: teams of tokens, their lanes along K, and lanes that add up by shuffles. */
function shareOf(tile: AdapterTile, { subgroupSize }: Abilities) {
	// Without subgroups each thread leaves its sums in workgroup memory.
	const threads = subgroupSize === 1 ? 64 : 256;
	const own = Math.min(MOST_OWN, tile);
	const teamLanes = (threads * own) / tile;
	const lanes = Math.min(subgroupSize, teamLanes);
	return { threads, own, teamLanes, lanes };
}

/**
 * small[t, u, r] = Σ_k a[slot, r, k] · x[t, k] (· normWeight[k]) where t goes through slot = used[u]; 0 for its other u and in the padding.
 * bindings: items: vec4<u32> (u, first place i, tokens, rank of the adapter: 0 for tokens without one); list: u32, the token at each
 * place; x: `input` [T][stride(K)]; (normWeight: f32); a: `storage` [slot][target · R + r][stride(K)]; used; small: see loraBindings.
 * Grid: loraShrinkGrid.
 */
export function loraShrink(
	options: LoraShrinkOptions,
	abilities: Abilities,
): Kernel {
	const { width, numTargets, rank, input, storage, small, tile } = options;
	const { threads, lanes } = shareOf(tile, abilities);
	const groupRows = GROUP_ROWS[tile];
	const numValues = shareOf(tile, abilities).own * groupRows;
	const weight: readonly Binding[] = options.weighted
		? [["normWeight", "read", "array<vec4<f32>>"]]
		: [];
	return {
		label: `lora_shrink_${input}_${storage}_${small}_${numTargets}x${rank}x${width}_${options.numSlots}${options.weighted ? "_weighted" : ""}_${tile}t`,
		bindings: [
			["items", "read", "array<vec4<u32>>"],
			["list", "read", "array<u32>"],
			["x", "read", `array<${vec4Type(input)}>`],
			...weight,
			["a", "read", `array<${vec4Type(storage)}>`],
			usedBinding(options.numSlots),
			["small", "write", `array<${vec4Type(small)}>`],
		],
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}
var<workgroup> sums: array<f32, ${(threads / lanes) * numValues}>;
var<workgroup> totals: array<vec4<f32>, ${(tile * groupRows) / 4}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let item = items[group.x];
  let firstRow = group.y * ${groupRows}u;
${productsText(options, abilities)}
  workgroupBarrier();
${totalsText(tile, abilities)}
  workgroupBarrier();
${writeText(options, threads)}
}`,
	};
}

/** Sums over K of each lane's tokens and rows, left in `sums`. Rows beyond the adapter's rank are zero. */
function productsText(options: LoraShrinkOptions, abilities: Abilities) {
	const { width, numTargets, rank, input, storage, weighted, tile } = options;
	const { own, teamLanes, lanes } = shareOf(tile, abilities);
	const fours = stride(width) / 4;
	const rows = range(GROUP_ROWS[tile]);
	const pairs = range(own).flatMap((t) => rows.map((r) => [t, r] as const));
	const values = pairs.map(([t, r]) => `y${t}_${r}`);
	const { text, names, lanesPerValue } = laneSums("sum", values, lanes);
	const stores = names.map(
		(name, i) =>
			`sums[mine + lane / ${lanesPerValue}u * ${names.length}u + ${i}u] = ${name};`,
	);
	return `  let lane = thread % ${lanes}u;
  let teamLane = thread % ${teamLanes}u;
  let team = thread / ${teamLanes}u;
${values.map((name) => `  var ${name} = 0.0;`).join("\n")}
  if (firstRow % ${rank}u < item.w) {
${each(own, (t) => `    let x${t} = list[item.y + min(team * ${own}u + ${t}u, item.z - 1u)] * ${fours}u;`)}
    let a0 = (${usedSlot("item.x")} * ${numTargets * rank}u + firstRow) * ${fours}u;
    for (var k = teamLane; k < ${fours}u; k += ${teamLanes}u) {
${weighted ? "      let n = normWeight[k];" : ""}
${each(own, (t) => `      let v${t} = ${unpack4(input, `x[x${t} + k]`)}${weighted ? " * n" : ""};`)}
${rows.map((r) => `      let w${r} = ${unpack4(storage, `a[a0 + ${r * fours}u + k]`)};`).join("\n")}
${pairs.map(([t, r]) => `      y${t}_${r} += dot(v${t}, w${r});`).join("\n")}
    }
  }
${text}
  let mine = thread / ${lanes}u * ${values.length}u;
  if (lane % ${lanesPerValue}u == 0u) {
    ${stores.join("\n    ")}
  }`;
}

/** Four rows of a token a thread. */
function totalsText(tile: AdapterTile, abilities: Abilities): string {
	const { own, teamLanes, lanes } = shareOf(tile, abilities);
	const groupRows = GROUP_ROWS[tile];
	const fours = groupRows / 4;
	const numValues = own * groupRows;
	const parts = teamLanes / lanes;
	const sums = range(4).map((i) => `sums[at + ${i}u]`);
	return `  if (thread < ${tile * fours}u) {
    let token = thread / ${fours}u;
    let first = token / ${own}u * ${parts * numValues}u + token % ${own}u * ${groupRows}u + thread % ${fours}u * 4u;
    var total = vec4<f32>();
    for (var at = first; at < first + ${parts * numValues}u; at += ${numValues}u) {
      total += vec4<f32>(${sums.join(", ")});
    }
    totals[thread] = total;
  }`;
}

/** Each token's row of all used slots; the last rows' workgroup also writes the padding. */
function writeText(options: LoraShrinkOptions, threads: number): string {
	const { numTargets, rank, numSlots, small, tile } = options;
	const lora = { rank, numSlots, firstRows: new Array(numTargets).fill(0) };
	const columns = slotColumns(lora);
	const fours = GROUP_ROWS[tile] / 4;
	const padding = (columns - numTargets * rank) / 4;
	const last = numTargets * rank - GROUP_ROWS[tile];
	const count =
		padding === 0
			? `${fours}u`
			: `select(${fours}u, ${fours + padding}u, firstRow == ${last}u)`;
	return `  let count = ${count};
  let perToken = ${NUM_USED} * count;
  for (var i = thread; i < item.z * perToken; i += ${threads}u) {
    let token = i / perToken;
    let u = i % perToken / count;
    let four = i % count;
    var value = vec4<f32>();
    if (u == item.x && four < ${fours}u) { value = totals[token * ${fours}u + four]; }
    let at = list[item.y + token] * ${smallStride(lora) / 4}u + u * ${columns / 4}u + firstRow / 4u + four;
    small[at] = ${pack4(small, "value")};
  }`;
}

/** Tiles of tokens × groups of rows. */
export const loraShrinkGrid = (
	numItems: number,
	{ numTargets, rank, tile }: LoraShrinkOptions,
): [number, number] => [numItems, (numTargets * rank) / GROUP_ROWS[tile]];
