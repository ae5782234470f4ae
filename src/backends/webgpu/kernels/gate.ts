/** Gate and up, one behind the other in a row, become one, where adapters have added to both. */
import type { ActivationFunction } from "../../program.ts";
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { HALVES, pack4OrNan, range, vec4Type } from "../wgsl.ts";
import { gatedFunction } from "./epilogue.ts";

export interface GateOptions {
	/** F */
	readonly width: number;
	readonly storage: Storage;
	readonly activation: ActivationFunction;
}

const THREADS = 64;

/**
 * output[t, i] = act(input[t, i]) · input[t, F + i].  bindings: input: `storage` [T][stride(2F)]; output: `storage` [T][stride(F)].
 * Grid: gateGrid.
 */
export function gate({ width, storage, activation }: GateOptions): Kernel {
	const fours = stride(width) / 4;
	const row = stride(2 * width);
	const four = (offset: number) =>
		range(4).map((j) => `element(at + ${offset + j}u)`);
	const isInside = `vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(${width}u)`;
	return {
		label: `gate_${activation}_${storage}_${width}`,
		bindings: [
			["x", "read", storage === "f16" ? "array<u32>" : "array<f32>"],
			["output", "write", `array<${vec4Type(storage)}>`],
		],
		code: `${HALVES}${gatedFunction({ gating: { kind: "gated", activation } }, "vec4<f32>")}
fn element(i: u32) -> f32 {
  return ${storage === "f16" ? "unpack2x16float(x[i / 2u])[i % 2u]" : "x[i]"};
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= ${fours}u) { return; }
  let first = id.x * 4u;
  let at = id.y * ${row}u + first;
  let both = gated(vec4<f32>(${four(0)}), vec4<f32>(${four(width)}));
  let y = select(vec4<f32>(), both, ${isInside});
  output[id.y * ${fours}u + id.x] = ${pack4OrNan(storage, "y")};
}`,
	};
}

/** Four outputs a thread × tokens. */
export const gateGrid = (
	numTokens: number,
	width: number,
): [number, number] => [Math.ceil(stride(width) / 4 / THREADS), numTokens];
