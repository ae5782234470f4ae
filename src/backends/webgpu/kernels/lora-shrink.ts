/**
 * The first half of adapters (LoRA, Hu et al. 2021): rows go through the matrix a of their own slot, all slots in one dispatch, after
 * Punica's SGMV and BGMV (Chen et al. 2023). A workgroup takes one tile of tokens, all of one slot, and sixteen rows of a. Lanes share K; each
 * keeps the products of a few tokens and a few rows in registers. With a norm, x is the residual: the RMSNorm's scale is one factor a
 * token, so the squares are summed beside the products.
 */
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { each, HALVES, range, unpack4, vec4Type } from "../wgsl.ts";

export interface LoraShrinkOptions {
	/** K */
	readonly width: number;
	/** Rows of a: those of all targets, `rank` each. */
	readonly rows: number;
	readonly rank: number;
	/** Of x; the residual is f32 whatever the others are. */
	readonly input: Storage;
	/** Of a. */
	readonly storage: Storage;
	/** null: x is taken as it is. */
	readonly normEps: number | null;
	readonly tile: AdapterTile;
}

/** Tokens of a tile: one where there are few, so that they share no workgroup; else enough to read a matrix seldom. */
export type AdapterTile = 1 | 16;

const LANES = 8;
const GROUP_ROWS = 16;

/**
 * small[i, r] = Σ_k a[slot, r, k] · norm(x[list[i], k]); rows beyond the rank of the slot's adapter are left as they are.
 * bindings: items: vec4<u32> (slot, first place i, tokens, rank); list: u32, the token at each place; x: `input` [T][stride(width)];
 * (normWeight: f32); a: `storage` [slot][rows][stride(width)]; small: f32 [place][rows]. Grid: loraShrinkGrid.
 */
export function loraShrink(options: LoraShrinkOptions): Kernel {
	const { width, rows, rank, input, storage, normEps, tile } = options;
	const fours = stride(width) / 4;
	const own = tile === 1 ? 1 : 4;
	const rowTeams = GROUP_ROWS / own;
	const threads = (tile / own) * rowTeams * LANES;
	const pairs = range(own).flatMap((t) => range(own).map((r) => [t, r]));
	const isNormed = normEps !== null;
	const squares = (text: (t: number) => string) =>
		isNormed ? each(own, text) : "";
	return {
		label: `lora_shrink_${input}_${storage}_${rows}x${width}_${rank}${isNormed ? `_norm_${normEps}` : ""}_${tile}t`,
		bindings: [
			["items", "read", "array<vec4<u32>>"],
			["list", "read", "array<u32>"],
			["x", "read", `array<${vec4Type(input)}>`],
			...(isNormed
				? ([["normWeight", "read", "array<vec4<f32>>"]] as const)
				: []),
			["a", "read", `array<${vec4Type(storage)}>`],
			["small", "write", "array<f32>"],
		],
		code: `${HALVES}
var<workgroup> sums: array<f32, ${LANES * tile * GROUP_ROWS}>;
var<workgroup> squareSums: array<f32, ${LANES * tile}>;
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let item = items[group.x];
  let lane = thread % ${LANES}u;
  let rowTeam = thread / ${LANES}u % ${rowTeams}u;
  let tokenTeam = thread / ${LANES * rowTeams}u;
  let firstRow = group.y * ${GROUP_ROWS}u + rowTeam * ${own}u;
${each(own, (t) => `  let x${t} = list[item.y + min(tokenTeam * ${own}u + ${t}u, item.z - 1u)] * ${fours}u;`)}
${each(own, (r) => `  let a${r} = (item.x * ${rows}u + min(firstRow + ${r}u, ${rows - 1}u)) * ${fours}u;`)}
${pairs.map(([t, r]) => `  var y${t}_${r} = 0.0;`).join("\n")}
${squares((t) => `  var squares${t} = 0.0;`)}
  for (var k = lane; k < ${fours}u; k += ${LANES}u) {
${isNormed ? "    let n = normWeight[k];" : ""}
${each(own, (t) => `    let raw${t} = ${unpack4(input, `x[x${t} + k]`)};`)}
${squares((t) => `    squares${t} += dot(raw${t}, raw${t});`)}
${each(own, (t) => `    let v${t} = raw${t}${isNormed ? " * n" : ""};`)}
${each(own, (r) => `    let w${r} = ${unpack4(storage, `a[a${r} + k]`)};`)}
${pairs.map(([t, r]) => `    y${t}_${r} += dot(v${t}, w${r});`).join("\n")}
  }
${pairs.map(([t, r]) => `  sums[lane * ${tile * GROUP_ROWS}u + (tokenTeam * ${own}u + ${t}u) * ${GROUP_ROWS}u + rowTeam * ${own}u + ${r}u] = y${t}_${r};`).join("\n")}
${squares((t) => `  squareSums[lane * ${tile}u + tokenTeam * ${own}u + ${t}u] = squares${t};`)}
  workgroupBarrier();
  for (var i = thread; i < ${tile * GROUP_ROWS}u; i += ${threads}u) {
    let token = i / ${GROUP_ROWS}u;
    let row = group.y * ${GROUP_ROWS}u + i % ${GROUP_ROWS}u;
    if (token >= item.z || row >= ${rows}u || row % ${rank}u >= item.w) { continue; }
    let y = ${range(LANES)
			.map((l) => `sums[${l * tile * GROUP_ROWS}u + i]`)
			.join(" + ")};
${
	isNormed
		? `    let square = ${range(LANES)
				.map((l) => `squareSums[${l * tile}u + token]`)
				.join(" + ")};
    let scale = 1.0 / sqrt(square / ${width}.0 + ${normEps});`
		: "    let scale = 1.0;"
}
    small[(item.y + token) * ${rows}u + row] = y * scale;
  }
}`,
	};
}

/** Tiles of tokens × groups of rows. */
export const loraShrinkGrid = (
	numItems: number,
	rows: number,
): [number, number] => [numItems, Math.ceil(rows / GROUP_ROWS)];
