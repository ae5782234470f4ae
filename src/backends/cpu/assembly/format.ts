// The weight formats by number, and the kernels each one brings. The numbers are those of ../format.ts.
import {
	pack_16, pack_32, prepare_float, row_bf16, row_f16, row_f32, tile_bf16, tile_f16, tile_f32,
} from "./linear-float";
import { pack_q4_0, prepare_q4_0, row_q4_0, tile_q4_0, unpack_q4_0 } from "./linear-q4-0";
import { halfBits, pack_q8_0, prepare_q8_0, row_q8_0, tile_q8_0, unpack_q8_0 } from "./linear-q8-0";

export const F32 = 0;
export const F16 = 1;
export const BF16 = 2;
export const Q8_0 = 3;
export const Q4_0 = 4;

/** 4 rows × 8 columns. depth: blocks of a quantized format, columns of the others. */
export function tile(format: i32, x: usize, w: usize, depth: i32, out: usize): void {
	switch (format) {
		case F32: return tile_f32(x, w, depth, out);
		case F16: return tile_f16(x, w, depth, out);
		case BF16: return tile_bf16(x, w, depth, out);
		case Q8_0: return tile_q8_0(x, w, depth, out);
		default: return tile_q4_0(x, w, depth, out);
	}
}

/** 1 row × 8 columns. */
export function row(format: i32, x: usize, w: usize, depth: i32, out: usize): void {
	switch (format) {
		case F32: return row_f32(x, w, depth, out);
		case F16: return row_f16(x, w, depth, out);
		case BF16: return row_bf16(x, w, depth, out);
		case Q8_0: return row_q8_0(x, w, depth, out);
		default: return row_q4_0(x, w, depth, out);
	}
}

/** One f32 row into the form the format's kernels read, as row `lane` of its group. */
export function prepare(format: i32, x: usize, depth: i32, group: usize, lane: i32): void {
	switch (format) {
		case Q8_0: return prepare_q8_0(x, depth, group, lane);
		case Q4_0: return prepare_q4_0(x, depth, group, lane);
		default: return prepare_float(x, depth, group, lane);
	}
}

/** One row of weights into its panel: f32 for quantized formats, bits of the format's own type for the others. */
export function pack(format: i32, source: usize, depth: i32, panel: usize, column: i32): void {
	switch (format) {
		case F32: return pack_32(source, depth, panel, column);
		case Q8_0: return pack_q8_0(source, depth, panel, column);
		case Q4_0: return pack_q4_0(source, depth, panel, column);
		default: return pack_16(source, depth, panel, column);
	}
}

/** One row of weights back to f32. */
export function unpack(format: i32, panel: usize, depth: i32, column: i32, target: usize): void {
	switch (format) {
		case Q8_0: return unpack_q8_0(panel, depth, column, target);
		case Q4_0: return unpack_q4_0(panel, depth, column, target);
		default:
			for (let k: usize = 0; k < <usize>depth; k++) {
				const at = k * 8 + <usize>column;
				if (format === F32) store<f32>(target + k * 4, load<f32>(panel + at * 4));
				else {
					const bits = load<u16>(panel + at * 2);
					const value = format === F16 ? halfBits(bits) : reinterpret<f32>(<u32>bits << 16);
					store<f32>(target + k * 4, value);
				}
			}
	}
}
