/**
 * The second half of adapters: what their matrix a has left of a row goes through b and is added to the output of the linear before,
 * all slots in one dispatch (Chen et al. 2023). A thread has four neighbouring outputs of a tile's tokens, a few at a time.
 */
import { assert } from "../../../errors.ts";
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import {
	each,
	f32,
	HALVES,
	pack4OrNan,
	range,
	unpack4,
	vec4Type,
} from "../wgsl.ts";
import type { AdapterTile } from "./lora-shrink.ts";

export interface LoraExpandOptions {
	/** Elements of a row of the output. */
	readonly width: number;
	/** Where the rows of each target begin; the first at 0. */
	readonly firstRows: readonly number[];
	readonly rank: number;
	/** Of the output; the residual is f32 whatever the others are. */
	readonly output: Storage;
	/** Of b. */
	readonly storage: Storage;
	readonly scale: number;
	readonly tile: AdapterTile;
}

const THREADS = 64;
/** Tokens whose sums a thread keeps at once. */
const AT_ONCE = 4;

/**
 * output[list[i], o] += scale · Σ_r b[slot, r, o] · small[i, target(o) · rank + r].
 * bindings: items, list, small: as lora-shrink's; b: `storage` [slot][rank][stride(width)], zero where there is nothing to add; output:
 * `output` [T][stride(width)]. Grid: loraExpandGrid.
 */
export function loraExpand(options: LoraExpandOptions): Kernel {
	const { width, firstRows, rank, output, storage, scale, tile } = options;
	const fours = stride(width) / 4;
	const rows = firstRows.length * rank;
	const own = Math.min(AT_ONCE, tile);
	const isWhole = firstRows.every((row) => row % 4 === 0);
	assert(firstRows[0] === 0, "the first target begins with the output");
	const starts = isWhole ? ["first0"] : range(4).map((j) => `first${j}`);
	const small = (t: number) => {
		const at = (first: string) => `small[row${t} + ${first} + r]`;
		return isWhole ? at("first0") : `vec4<f32>(${starts.map(at).join(", ")})`;
	};
	return {
		label: `lora_expand_${output}_${storage}_${width}@${firstRows.join("@")}_${rank}_times${scale}_${tile}t`,
		bindings: [
			["items", "read", "array<vec4<u32>>"],
			["list", "read", "array<u32>"],
			["small", "read", "array<f32>"],
			["b", "read", `array<${vec4Type(storage)}>`],
			["output", "write", `array<${vec4Type(output)}>`],
		],
		code: `${HALVES}
fn firstOf(o: u32) -> u32 {
  var first = 0u;
${firstRows
	.slice(1)
	.map((row, i) => `  if (o >= ${row}u) { first = ${(i + 1) * rank}u; }`)
	.join("\n")}
  return first;
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let four = id.x;
  if (four >= ${fours}u) { return; }
  let item = items[group.y];
${starts.map((name, j) => `  let ${name} = firstOf(four * 4u + ${j}u);`).join("\n")}
  let weights = item.x * ${rank * fours}u + four;
  for (var i = 0u; i < item.z; i += ${own}u) {
${each(own, (t) => `    let place${t} = item.y + min(i + ${t}u, item.z - 1u);\n    let row${t} = place${t} * ${rows}u;\n    var y${t} = vec4<f32>();`)}
    for (var r = 0u; r < item.w; r++) {
      let w = ${unpack4(storage, `b[weights + r * ${fours}u]`)};
${each(own, (t) => `      y${t} += w * ${small(t)};`)}
    }
${each(own, (t) => `    if (i + ${t}u < item.z) { add(list[place${t}] * ${fours}u + four, y${t}); }`)}
  }
}
fn add(at: u32, y: vec4<f32>) {
  let sum = ${unpack4(output, "output[at]")} + ${f32(scale)} * y;
  output[at] = ${pack4OrNan(output, "sum")};
}`,
	};
}

/** Four outputs a thread × tiles of tokens. */
export const loraExpandGrid = (
	numItems: number,
	width: number,
): [number, number] => [Math.ceil(stride(width) / 4 / THREADS), numItems];
