// The weight formats by number, and the kernels each one brings. The numbers are those of ../format.ts.
import {
	pack_16, pack_32, prepare_float, row_bf16, row_f16, row_f32, tile_bf16, tile_f16, tile_f32, wide_bf16, wide_f16, wide_f32,
} from "./linear-float";
import {
	pack_q8_0_dot, prepare_int8, prepare_q8_0_dot, row_q4_0_dot, row_q8_0_dot, tile_q4_0_dot, tile_q8_0_dot, unpack_q8_0_dot, wide_q4_0_dot,
	wide_q8_0_dot,
} from "./linear-dot";
import { pack_q4_0, row_q4_0, tile_q4_0, unpack_q4_0, wide_q4_0 } from "./linear-q4-0";
import { pack_q8_0, prepare_q8_0, row_q8_0, tile_q8_0, unpack_q8_0, wide_q8_0 } from "./linear-q8-0";
import { dotKind, halfToFloat1, NEITHER } from "./simd";

export const F32 = 0;
export const F16 = 1;
export const BF16 = 2;
export const Q8_0 = 3;
export const Q4_0 = 4;
/** Q8_0 and Q4_0 by the kernels of linear-dot.ts. */
const Q8_0_DOT = 5;
const Q4_0_DOT = 6;

/** Which kernels a format has in this engine. */
// @ts-ignore: decorator
@inline
function kernelsOf(format: i32): i32 {
	return format >= Q8_0 && dotKind !== NEITHER ? format + 2 : format;
}

/** Output columns of a panel. */
export const PANEL = 16;

/** Whether the engine joins neighbouring 128-bit operations: then 16 columns at a time are best, else 8. */
let isWide = false;

export function set_wide(on: bool): void {
	isWide = on;
}

/** 4 rows × 16 columns into `out` (f32 [4][16]). depth: blocks of a quantized format, columns of the others. */
export function tile(format: i32, x: usize, w: usize, depth: i32, out: usize): void {
	if (isWide) {
		switch (kernelsOf(format)) {
			case F32: return wide_f32(x, w, depth, out);
			case F16: return wide_f16(x, w, depth, out);
			case BF16: return wide_bf16(x, w, depth, out);
			case Q8_0: return wide_q8_0(x, w, depth, out);
			case Q4_0: return wide_q4_0(x, w, depth, out);
			case Q8_0_DOT: return wide_q8_0_dot(x, w, depth, out);
			default: return wide_q4_0_dot(x, w, depth, out);
		}
	}
	for (let half: usize = 0; half < 2; half++) {
		switch (kernelsOf(format)) {
			case F32: tile_f32(x, w, depth, out, half); break;
			case F16: tile_f16(x, w, depth, out, half); break;
			case BF16: tile_bf16(x, w, depth, out, half); break;
			case Q8_0: tile_q8_0(x, w, depth, out, half); break;
			case Q4_0: tile_q4_0(x, w, depth, out, half); break;
			case Q8_0_DOT: tile_q8_0_dot(x, w, depth, out, half); break;
			default: tile_q4_0_dot(x, w, depth, out, half);
		}
	}
}

/** 1 row × 16 columns into `out` (f32 [16]). */
export function row(format: i32, x: usize, w: usize, depth: i32, out: usize): void {
	switch (kernelsOf(format)) {
		case F32: return row_f32(x, w, depth, out);
		case F16: return row_f16(x, w, depth, out);
		case BF16: return row_bf16(x, w, depth, out);
		case Q8_0: return row_q8_0(x, w, depth, out);
		case Q4_0: return row_q4_0(x, w, depth, out);
		case Q8_0_DOT: return row_q8_0_dot(x, w, depth, out);
		default: return row_q4_0_dot(x, w, depth, out);
	}
}

/** One f32 row into the form the format's kernels read, as row `lane` of its group. */
export function prepare(format: i32, x: usize, depth: i32, group: usize, lane: i32): void {
	switch (kernelsOf(format)) {
		case Q8_0: return prepare_q8_0(x, depth, group, lane);
		case Q8_0_DOT: return prepare_q8_0_dot(x, depth, group, lane);
		case Q4_0:
		case Q4_0_DOT: return prepare_int8(x, depth, group, lane, 8);
		default: return prepare_float(x, depth, group, lane);
	}
}

/** One row of weights into its panel: f32 for quantized formats, bits of the format's own type for the others. */
export function pack(format: i32, source: usize, depth: i32, panel: usize, column: i32): void {
	switch (kernelsOf(format)) {
		case F32: return pack_32(source, depth, panel, column);
		case Q8_0: return pack_q8_0(source, depth, panel, column);
		case Q8_0_DOT: return pack_q8_0_dot(source, depth, panel, column);
		case Q4_0:
		case Q4_0_DOT: return pack_q4_0(source, depth, panel, column);
		default: return pack_16(source, depth, panel, column);
	}
}

/** One row of weights back to f32. */
export function unpack(format: i32, panel: usize, depth: i32, column: i32, target: usize): void {
	switch (kernelsOf(format)) {
		case Q8_0: return unpack_q8_0(panel, depth, column, target);
		case Q8_0_DOT: return unpack_q8_0_dot(panel, depth, column, target);
		case Q4_0:
		case Q4_0_DOT: return unpack_q4_0(panel, depth, column, target);
		default:
			for (let k: usize = 0; k < <usize>depth; k++) {
				if (format === F32) store<f32>(target + k * 4, load<f32>(panel + (k * PANEL + <usize>column) * 4));
				else {
					const bits = load<u16>(panel + k * 32 + <usize>(column & 7) * 4 + <usize>(column >> 3) * 2);
					const value = format === F16 ? halfToFloat1(bits) : reinterpret<f32>(<u32>bits << 16);
					store<f32>(target + k * 4, value);
				}
			}
	}
}
