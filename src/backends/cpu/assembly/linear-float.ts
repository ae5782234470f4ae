// linear_bf16, linear_f16, linear_f32: y = x · wᵀ in f32 with weights kept in their own type.
//
// A panel of 8 output columns is [K][8] weights; x lies in groups of 4 rows, [K][4] f32. K counts in steps of 1.
import { bfloatHigh, bfloatLow, halfHigh, halfLow, madd } from "./simd";

// @ts-ignore: decorator
@inline
const F32 = 0;
// @ts-ignore: decorator
@inline
const F16 = 1;

// @ts-ignore: decorator
@inline
function lowOf(w: usize, type: i32): v128 {
	if (type === F32) return v128.load(w);
	const eight = v128.load(w);
	return type === F16 ? halfLow(eight) : bfloatLow(eight);
}

// @ts-ignore: decorator
@inline
function highOf(w: usize, type: i32): v128 {
	if (type === F32) return v128.load(w, 16);
	const eight = v128.load(w);
	return type === F16 ? halfHigh(eight) : bfloatHigh(eight);
}

// @ts-ignore: decorator
@inline
function tileOf(x: usize, w: usize, columns: i32, tile: usize, type: i32): void {
	const step: usize = type === F32 ? 32 : 16;
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	const end = x + <usize>columns * 16;
	for (; x < end; x += 16) {
		const low = lowOf(w, type);
		const high = highOf(w, type);
		let a = v128.load32_splat(x, 0);
		f00 = madd(low, a, f00);
		f01 = madd(high, a, f01);
		a = v128.load32_splat(x, 4);
		f10 = madd(low, a, f10);
		f11 = madd(high, a, f11);
		a = v128.load32_splat(x, 8);
		f20 = madd(low, a, f20);
		f21 = madd(high, a, f21);
		a = v128.load32_splat(x, 12);
		f30 = madd(low, a, f30);
		f31 = madd(high, a, f31);
		w += step;
	}
	v128.store(tile, f00, 0);
	v128.store(tile, f01, 16);
	v128.store(tile, f10, 32);
	v128.store(tile, f11, 48);
	v128.store(tile, f20, 64);
	v128.store(tile, f21, 80);
	v128.store(tile, f30, 96);
	v128.store(tile, f31, 112);
}

// @ts-ignore: decorator
@inline
function rowOf(x: usize, w: usize, columns: i32, tile: usize, type: i32): void {
	const step: usize = type === F32 ? 32 : 16;
	// Four independent chains an output half, to hide the latency of the multiply-add.
	let e0 = f32x4.splat(0), e1 = e0, o0 = e0, o1 = e0, g0 = e0, g1 = e0, h0 = e0, h1 = e0;
	let k = 0;
	for (; k + 3 < columns; k += 4) {
		let a = v128.load32_splat(x, 0);
		e0 = madd(lowOf(w, type), a, e0);
		e1 = madd(highOf(w, type), a, e1);
		a = v128.load32_splat(x, 16);
		o0 = madd(lowOf(w + step, type), a, o0);
		o1 = madd(highOf(w + step, type), a, o1);
		a = v128.load32_splat(x, 32);
		g0 = madd(lowOf(w + 2 * step, type), a, g0);
		g1 = madd(highOf(w + 2 * step, type), a, g1);
		a = v128.load32_splat(x, 48);
		h0 = madd(lowOf(w + 3 * step, type), a, h0);
		h1 = madd(highOf(w + 3 * step, type), a, h1);
		x += 64;
		w += 4 * step;
	}
	for (; k < columns; k++) {
		const a = v128.load32_splat(x, 0);
		e0 = madd(lowOf(w, type), a, e0);
		e1 = madd(highOf(w, type), a, e1);
		x += 16;
		w += step;
	}
	v128.store(tile, f32x4.add(f32x4.add(e0, o0), f32x4.add(g0, h0)), 0);
	v128.store(tile, f32x4.add(f32x4.add(e1, o1), f32x4.add(g1, h1)), 16);
}

/** 4 rows × 8 columns into `tile` (f32 [4][8]). */
export function tile_f32(x: usize, w: usize, columns: i32, tile: usize): void {
	tileOf(x, w, columns, tile, 0);
}
export function tile_f16(x: usize, w: usize, columns: i32, tile: usize): void {
	tileOf(x, w, columns, tile, 1);
}
export function tile_bf16(x: usize, w: usize, columns: i32, tile: usize): void {
	tileOf(x, w, columns, tile, 2);
}

/** 1 row (the group's first) × 8 columns into `tile` (f32 [8]). */
export function row_f32(x: usize, w: usize, columns: i32, tile: usize): void {
	rowOf(x, w, columns, tile, 0);
}
export function row_f16(x: usize, w: usize, columns: i32, tile: usize): void {
	rowOf(x, w, columns, tile, 1);
}
export function row_bf16(x: usize, w: usize, columns: i32, tile: usize): void {
	rowOf(x, w, columns, tile, 2);
}

/** Copies one f32 row into its group, as row `lane`. */
export function prepare_float(x: usize, columns: i32, group: usize, lane: i32): void {
	let to = group + <usize>lane * 4;
	for (let k = 0; k < columns; k++) {
		store<f32>(to, load<f32>(x));
		x += 4;
		to += 16;
	}
}

/** Copies one row of 2-byte weights, bit for bit, into column `column` of its panel. */
export function pack_16(row: usize, columns: i32, panel: usize, column: i32): void {
	let to = panel + <usize>column * 2;
	for (let k = 0; k < columns; k++) {
		store<u16>(to, load<u16>(row));
		row += 2;
		to += 16;
	}
}

/** Copies one row of f32 weights into column `column` of its panel. */
export function pack_32(row: usize, columns: i32, panel: usize, column: i32): void {
	let to = panel + <usize>column * 4;
	for (let k = 0; k < columns; k++) {
		store<f32>(to, load<f32>(row));
		row += 4;
		to += 32;
	}
}
