/** Rows of tokens to where their experts' tiles want them. One workgroup for each pair of token and expert. */
import type { Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { vec4Type } from "../wgsl.ts";

export interface GatherOptions {
	readonly width: number;
	readonly storage: Storage;
	readonly topK: number;
}

const THREADS = 64;

/**
 * With p = t · topK + i: places[p] = firstRows[routes[p].x] + ranks[p], gathered[places[p]] = x[t].
 * bindings: x, gathered: `storage` [rows][stride(width)]; routes, ranks, firstRows, places. Grid: (T, topK).
 */
export function gatherRows({ width, storage, topK }: GatherOptions): Kernel {
	const fours = stride(width) / 4;
	const rows = `array<${vec4Type(storage)}>`;
	return {
		label: `gather_rows_${storage}_${width}_${topK}`,
		bindings: [
			["x", "read", rows],
			["routes", "read", "array<vec2<u32>>"],
			["ranks", "read", "array<u32>"],
			["firstRows", "read", "array<u32>"],
			["places", "write", "array<u32>"],
			["gathered", "write", rows],
		],
		code: `
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pair = group.x * ${topK}u + group.y;
  let place = firstRows[routes[pair].x] + ranks[pair];
  if (thread == 0u) { places[pair] = place; }
  for (var i = thread; i < ${fours}u; i += ${THREADS}u) {
    gathered[place * ${fours}u + i] = x[group.x * ${fours}u + i];
  }
}`,
	};
}
