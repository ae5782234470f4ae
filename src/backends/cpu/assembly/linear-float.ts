// linear_bf16, linear_f16, linear_f32: y = x · wᵀ in f32 with weights kept in their own type.
//
// A panel of 16 output columns is, per k, 16 f32, or 8 words of two 16-bit weights: column c low and c + 8 high, so that a shift and a
// mask give eight bf16 columns. x lies in groups of 4 rows, [K][4] f32. // wide and tile: as in linear-q8-0.ts.
import { madd, upperHalfToFloat } from "./simd";

// @ts-ignore: decorator
@inline
const F32 = 0;
// @ts-ignore: decorator
@inline
const F16 = 1;

/** Four columns of the first eight: 4·quarter .. 4·quarter+3. */
// @ts-ignore: decorator
@inline
function lowOf(w: usize, quarter: usize, type: i32): v128 {
	const four = v128.load(w + quarter * 16);
	if (type === F32) return four;
	if (type === F16) return upperHalfToFloat(i32x4.shl(four, 16));
	return i32x4.shl(four, 16);
}

/** Four columns of the last eight: 8 + 4·quarter .. */
// @ts-ignore: decorator
@inline
function highOf(w: usize, quarter: usize, type: i32): v128 {
	if (type === F32) return v128.load(w + quarter * 16, 32);
	const four = v128.load(w + quarter * 16);
	if (type === F16) return upperHalfToFloat(four);
	return v128.and(four, i32x4.splat(0xffff0000));
}

// @ts-ignore: decorator
@inline
function wideOf(x: usize, w: usize, columns: i32, tile: usize, type: i32): void {
	const step: usize = type === F32 ? 64 : 32;
	let f00 = f32x4.splat(0), f01 = f00, f02 = f00, f03 = f00;
	let f10 = f00, f11 = f00, f12 = f00, f13 = f00;
	let f20 = f00, f21 = f00, f22 = f00, f23 = f00;
	let f30 = f00, f31 = f00, f32 = f00, f33 = f00;
	const end = x + <usize>columns * 16;
	for (; x < end; x += 16) {
		const w0 = lowOf(w, 0, type);
		const w1 = lowOf(w, 1, type);
		const w2 = highOf(w, 0, type);
		const w3 = highOf(w, 1, type);
		let a = v128.load32_splat(x, 0);
		f00 = madd(w0, a, f00);
		f01 = madd(w1, a, f01);
		f02 = madd(w2, a, f02);
		f03 = madd(w3, a, f03);
		a = v128.load32_splat(x, 4);
		f10 = madd(w0, a, f10);
		f11 = madd(w1, a, f11);
		f12 = madd(w2, a, f12);
		f13 = madd(w3, a, f13);
		a = v128.load32_splat(x, 8);
		f20 = madd(w0, a, f20);
		f21 = madd(w1, a, f21);
		f22 = madd(w2, a, f22);
		f23 = madd(w3, a, f23);
		a = v128.load32_splat(x, 12);
		f30 = madd(w0, a, f30);
		f31 = madd(w1, a, f31);
		f32 = madd(w2, a, f32);
		f33 = madd(w3, a, f33);
		w += step;
	}
	v128.store(tile, f00, 0);
	v128.store(tile, f01, 16);
	v128.store(tile, f02, 32);
	v128.store(tile, f03, 48);
	v128.store(tile, f10, 64);
	v128.store(tile, f11, 80);
	v128.store(tile, f12, 96);
	v128.store(tile, f13, 112);
	v128.store(tile, f20, 128);
	v128.store(tile, f21, 144);
	v128.store(tile, f22, 160);
	v128.store(tile, f23, 176);
	v128.store(tile, f30, 192);
	v128.store(tile, f31, 208);
	v128.store(tile, f32, 224);
	v128.store(tile, f33, 240);
}

// @ts-ignore: decorator
@inline
function tileOf(x: usize, w: usize, columns: i32, tile: usize, half: usize, type: i32): void {
	const step: usize = type === F32 ? 64 : 32;
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	const end = x + <usize>columns * 16;
	for (; x < end; x += 16) {
		const low = lowOf(w, half, type);
		const high = highOf(w, half, type);
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
	tile += half * 16;
	v128.store(tile, f00, 0);
	v128.store(tile, f01, 32);
	v128.store(tile, f10, 64);
	v128.store(tile, f11, 96);
	v128.store(tile, f20, 128);
	v128.store(tile, f21, 160);
	v128.store(tile, f30, 192);
	v128.store(tile, f31, 224);
}

// @ts-ignore: decorator
@inline
function rowOf(x: usize, w: usize, columns: i32, tile: usize, type: i32): void {
	const step: usize = type === F32 ? 64 : 32;
	// Two chains a column, to hide the latency of the multiply-add.
	let e0 = f32x4.splat(0), e1 = e0, e2 = e0, e3 = e0, o0 = e0, o1 = e0, o2 = e0, o3 = e0;
	let k = 0;
	for (; k + 1 < columns; k += 2) {
		let a = v128.load32_splat(x, 0);
		e0 = madd(lowOf(w, 0, type), a, e0);
		e1 = madd(lowOf(w, 1, type), a, e1);
		e2 = madd(highOf(w, 0, type), a, e2);
		e3 = madd(highOf(w, 1, type), a, e3);
		a = v128.load32_splat(x, 16);
		o0 = madd(lowOf(w + step, 0, type), a, o0);
		o1 = madd(lowOf(w + step, 1, type), a, o1);
		o2 = madd(highOf(w + step, 0, type), a, o2);
		o3 = madd(highOf(w + step, 1, type), a, o3);
		x += 32;
		w += 2 * step;
	}
	if (k < columns) {
		const a = v128.load32_splat(x, 0);
		e0 = madd(lowOf(w, 0, type), a, e0);
		e1 = madd(lowOf(w, 1, type), a, e1);
		e2 = madd(highOf(w, 0, type), a, e2);
		e3 = madd(highOf(w, 1, type), a, e3);
	}
	v128.store(tile, f32x4.add(e0, o0), 0);
	v128.store(tile, f32x4.add(e1, o1), 16);
	v128.store(tile, f32x4.add(e2, o2), 32);
	v128.store(tile, f32x4.add(e3, o3), 48);
}

/** 4 rows × 16 columns into `tile` (f32 [4][16]). */
export function wide_f32(x: usize, w: usize, columns: i32, tile: usize): void {
	wideOf(x, w, columns, tile, 0);
}
export function wide_f16(x: usize, w: usize, columns: i32, tile: usize): void {
	wideOf(x, w, columns, tile, 1);
}
export function wide_bf16(x: usize, w: usize, columns: i32, tile: usize): void {
	wideOf(x, w, columns, tile, 2);
}

/** 4 rows × columns 4·half .. 4·half+3 and 8 + 4·half .. 8 + 4·half+3 into `tile` (f32 [4][16]). */
export function tile_f32(x: usize, w: usize, columns: i32, tile: usize, half: usize): void {
	tileOf(x, w, columns, tile, half, 0);
}
export function tile_f16(x: usize, w: usize, columns: i32, tile: usize, half: usize): void {
	tileOf(x, w, columns, tile, half, 1);
}
export function tile_bf16(x: usize, w: usize, columns: i32, tile: usize, half: usize): void {
	tileOf(x, w, columns, tile, half, 2);
}

/** 1 row (the group's first) × 16 columns into `tile` (f32 [16]). */
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
	let to = panel + <usize>(column & 7) * 4 + <usize>(column >> 3) * 2;
	for (let k = 0; k < columns; k++) {
		store<u16>(to, load<u16>(row));
		row += 2;
		to += 32;
	}
}

/** Copies one row of f32 weights into column `column` of its panel. */
export function pack_32(row: usize, columns: i32, panel: usize, column: i32): void {
	let to = panel + <usize>column * 4;
	for (let k = 0; k < columns; k++) {
		store<f32>(to, load<f32>(row));
		row += 4;
		to += 64;
	}
}
