/** Rows of the residual as the linear op behind them reads them, where no norm does that. */
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { HALVES, pack4OrNan, vec4Type } from "../wgsl.ts";

export interface ConvertOptions {
	readonly width: number;
	/** Of the output. */
	readonly storage: Storage;
}

const THREADS = 64;

/** output[t] = residual[t], f32 [T][stride(width)], in `storage`. bindings: residual, output. Grid: one workgroup a token. */
export function convertRows({ width, storage }: ConvertOptions): Kernel {
	const fours = stride(width) / 4;
	return {
		label: `convert_rows_${storage}_${width}`,
		bindings: [
			["residual", "read", "array<vec4<f32>>"],
			["output", "write", `array<${vec4Type(storage)}>`],
		],
		code: `${HALVES}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < ${fours}u; i += ${THREADS}u) {
    let at = group.x * ${fours}u + i;
    output[at] = ${pack4OrNan(storage, "residual[at]")};
  }
}`,
	};
}
