// embed: rows of the table by token id.
import { PANEL, unpack } from "./format";

/** output[t] = scale · table[ids[t]] for t in [start, end). output: f32 [T][width] */
export function embed(
	format: i32, table: usize, panelBytes: usize, depth: i32,
	ids: usize, start: i32, end: i32, scale: f32, scratch: usize, output: usize, width: i32,
): void {
	for (let t = start; t < end; t++) {
		const id = load<i32>(ids + <usize>t * 4);
		const to = output + <usize>t * <usize>width * 4;
		unpack(format, table + <usize>(id / PANEL) * panelBytes, depth, id % PANEL, scratch);
		if (scale === 1) memory.copy(to, scratch, <usize>width * 4);
		else for (let i: usize = 0; i < <usize>width * 4; i += 4) store<f32>(to + i, load<f32>(scratch + i) * scale);
	}
}
