// linear_q4_0: y = x · wᵀ with weights in blocks of 32 nibbles and one f16 scale (GGUF's Q4_0: w = scale · (q − 8)),
// x quantized to int8.
//
// A panel of 16 output columns is, per block of 32 along K, 288 bytes: 8 quads of k, each 32 bytes (16 bytes of columns 0..3 in
// the low and 8..11 in the high nibbles, then 16 bytes of columns 4..7 and 12..15; 4 k a column), then 16 f16 scales. x lies in
// groups of 4 rows; per block 160 bytes: 8 quads of k, each [4 rows][4] int8, then 4 f32 scales, then 4 i32 of −8 · Σx.
// A pair of products is at most 2 · 15 · 127, so an int16 lane holds the 8 pair sums of a whole block: one multiply-add and one
// addition for 16 products. linear-dot.ts has kernels for the same bytes where one instruction does both.
//
// wide_q4_0 and tile_q4_0: as in linear-q8-0.ts.
import { floatToHalf, halfHigh, halfLow, halfToFloat, halfToFloat1, madd, max4 } from "./simd";

const W_BLOCK: usize = 288;
const X_BLOCK: usize = 160;

/** Eight sums of two neighbouring products of signed `a` and `b` in 0..15. */
// @ts-ignore: decorator
@inline
function dotPairs(a: v128, b: v128): v128 {
	if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(a, b);
	return i16x8.narrow_i32x4_s(
		i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_low_i8x16_s(a, b)),
		i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_high_i8x16_s(a, b)),
	);
}

/** (Σ of int16 pairs + start) as f32 */
// @ts-ignore: decorator
@inline
function blockSum(pairs: v128, start: v128): v128 {
	return f32x4.convert_i32x4_s(i32x4.add(i32x4.dot_i16x8_s(pairs, i16x8.splat(1)), start));
}

/** 4 rows × 16 columns into `tile` (f32 [4][16]). x: the group; w: the panel. */
export function wide_q4_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	const mask = i8x16.splat(15);
	let f00 = f32x4.splat(0), f01 = f00, f02 = f00, f03 = f00;
	let f10 = f00, f11 = f00, f12 = f00, f13 = f00;
	let f20 = f00, f21 = f00, f22 = f00, f23 = f00;
	let f30 = f00, f31 = f00, f32 = f00, f33 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i16x8.splat(0), c01 = c00, c02 = c00, c03 = c00;
		let c10 = c00, c11 = c00, c12 = c00, c13 = c00;
		let c20 = c00, c21 = c00, c22 = c00, c23 = c00;
		let c30 = c00, c31 = c00, c32 = c00, c33 = c00;
		for (let i: usize = 0; i < 128; i += 16) {
			const first = v128.load(w + 2 * i, 0);
			const second = v128.load(w + 2 * i, 16);
			const w0 = v128.and(first, mask);
			const w1 = v128.and(second, mask);
			const w2 = v128.and(i16x8.shr_u(first, 4), mask);
			const w3 = v128.and(i16x8.shr_u(second, 4), mask);
			let a = v128.load32_splat(x + i, 0);
			c00 = i16x8.add(c00, dotPairs(a, w0));
			c01 = i16x8.add(c01, dotPairs(a, w1));
			c02 = i16x8.add(c02, dotPairs(a, w2));
			c03 = i16x8.add(c03, dotPairs(a, w3));
			a = v128.load32_splat(x + i, 4);
			c10 = i16x8.add(c10, dotPairs(a, w0));
			c11 = i16x8.add(c11, dotPairs(a, w1));
			c12 = i16x8.add(c12, dotPairs(a, w2));
			c13 = i16x8.add(c13, dotPairs(a, w3));
			a = v128.load32_splat(x + i, 8);
			c20 = i16x8.add(c20, dotPairs(a, w0));
			c21 = i16x8.add(c21, dotPairs(a, w1));
			c22 = i16x8.add(c22, dotPairs(a, w2));
			c23 = i16x8.add(c23, dotPairs(a, w3));
			a = v128.load32_splat(x + i, 12);
			c30 = i16x8.add(c30, dotPairs(a, w0));
			c31 = i16x8.add(c31, dotPairs(a, w1));
			c32 = i16x8.add(c32, dotPairs(a, w2));
			c33 = i16x8.add(c33, dotPairs(a, w3));
		}
		const s01 = v128.load(w, 256);
		const s23 = v128.load(w, 272);
		const s0 = halfLow(s01);
		const s1 = halfHigh(s01);
		const s2 = halfLow(s23);
		const s3 = halfHigh(s23);
		let s = v128.load32_splat(x, 128);
		let start = v128.load32_splat(x, 144);
		f00 = madd(blockSum(c00, start), f32x4.mul(s0, s), f00);
		f01 = madd(blockSum(c01, start), f32x4.mul(s1, s), f01);
		f02 = madd(blockSum(c02, start), f32x4.mul(s2, s), f02);
		f03 = madd(blockSum(c03, start), f32x4.mul(s3, s), f03);
		s = v128.load32_splat(x, 132);
		start = v128.load32_splat(x, 148);
		f10 = madd(blockSum(c10, start), f32x4.mul(s0, s), f10);
		f11 = madd(blockSum(c11, start), f32x4.mul(s1, s), f11);
		f12 = madd(blockSum(c12, start), f32x4.mul(s2, s), f12);
		f13 = madd(blockSum(c13, start), f32x4.mul(s3, s), f13);
		s = v128.load32_splat(x, 136);
		start = v128.load32_splat(x, 152);
		f20 = madd(blockSum(c20, start), f32x4.mul(s0, s), f20);
		f21 = madd(blockSum(c21, start), f32x4.mul(s1, s), f21);
		f22 = madd(blockSum(c22, start), f32x4.mul(s2, s), f22);
		f23 = madd(blockSum(c23, start), f32x4.mul(s3, s), f23);
		s = v128.load32_splat(x, 140);
		start = v128.load32_splat(x, 156);
		f30 = madd(blockSum(c30, start), f32x4.mul(s0, s), f30);
		f31 = madd(blockSum(c31, start), f32x4.mul(s1, s), f31);
		f32 = madd(blockSum(c32, start), f32x4.mul(s2, s), f32);
		f33 = madd(blockSum(c33, start), f32x4.mul(s3, s), f33);
		w += W_BLOCK;
		x += X_BLOCK;
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

/** 4 rows × columns 4·half .. 4·half+3 and 8 + 4·half .. 8 + 4·half+3 of the panel into `tile` (f32 [4][16]). */
export function tile_q4_0(x: usize, w: usize, blocks: i32, tile: usize, half: usize): void {
	const mask = i8x16.splat(15);
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i16x8.splat(0), c01 = c00, c10 = c00, c11 = c00;
		let c20 = c00, c21 = c00, c30 = c00, c31 = c00;
		for (let i: usize = 0; i < 128; i += 16) {
			const nibbles = v128.load(w + half * 16 + 2 * i);
			const low = v128.and(nibbles, mask);
			const high = v128.and(i16x8.shr_u(nibbles, 4), mask);
			let a = v128.load32_splat(x + i, 0);
			c00 = i16x8.add(c00, dotPairs(a, low));
			c01 = i16x8.add(c01, dotPairs(a, high));
			a = v128.load32_splat(x + i, 4);
			c10 = i16x8.add(c10, dotPairs(a, low));
			c11 = i16x8.add(c11, dotPairs(a, high));
			a = v128.load32_splat(x + i, 8);
			c20 = i16x8.add(c20, dotPairs(a, low));
			c21 = i16x8.add(c21, dotPairs(a, high));
			a = v128.load32_splat(x + i, 12);
			c30 = i16x8.add(c30, dotPairs(a, low));
			c31 = i16x8.add(c31, dotPairs(a, high));
		}
		const s0 = halfToFloat(i32x4.extend_low_i16x8_s(v128.load64_zero(w + half * 8, 256)));
		const s1 = halfToFloat(i32x4.extend_low_i16x8_s(v128.load64_zero(w + half * 8, 272)));
		let s = v128.load32_splat(x, 128);
		let start = v128.load32_splat(x, 144);
		f00 = madd(blockSum(c00, start), f32x4.mul(s0, s), f00);
		f01 = madd(blockSum(c01, start), f32x4.mul(s1, s), f01);
		s = v128.load32_splat(x, 132);
		start = v128.load32_splat(x, 148);
		f10 = madd(blockSum(c10, start), f32x4.mul(s0, s), f10);
		f11 = madd(blockSum(c11, start), f32x4.mul(s1, s), f11);
		s = v128.load32_splat(x, 136);
		start = v128.load32_splat(x, 152);
		f20 = madd(blockSum(c20, start), f32x4.mul(s0, s), f20);
		f21 = madd(blockSum(c21, start), f32x4.mul(s1, s), f21);
		s = v128.load32_splat(x, 140);
		start = v128.load32_splat(x, 156);
		f30 = madd(blockSum(c30, start), f32x4.mul(s0, s), f30);
		f31 = madd(blockSum(c31, start), f32x4.mul(s1, s), f31);
		w += W_BLOCK;
		x += X_BLOCK;
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

/** 1 row (the group's first) × 16 columns into `tile` (f32 [16]). */
export function row_q4_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	const mask = i8x16.splat(15);
	let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0;
	for (let b = 0; b < blocks; b++) {
		let c0 = i16x8.splat(0), c1 = c0, c2 = c0, c3 = c0;
		for (let i: usize = 0; i < 128; i += 16) {
			const first = v128.load(w + 2 * i, 0);
			const second = v128.load(w + 2 * i, 16);
			const a = v128.load32_splat(x + i);
			c0 = i16x8.add(c0, dotPairs(a, v128.and(first, mask)));
			c1 = i16x8.add(c1, dotPairs(a, v128.and(second, mask)));
			c2 = i16x8.add(c2, dotPairs(a, v128.and(i16x8.shr_u(first, 4), mask)));
			c3 = i16x8.add(c3, dotPairs(a, v128.and(i16x8.shr_u(second, 4), mask)));
		}
		const s01 = v128.load(w, 256);
		const s23 = v128.load(w, 272);
		const s = v128.load32_splat(x, 128);
		const start = v128.load32_splat(x, 144);
		f0 = madd(blockSum(c0, start), f32x4.mul(halfLow(s01), s), f0);
		f1 = madd(blockSum(c1, start), f32x4.mul(halfHigh(s01), s), f1);
		f2 = madd(blockSum(c2, start), f32x4.mul(halfLow(s23), s), f2);
		f3 = madd(blockSum(c3, start), f32x4.mul(halfHigh(s23), s), f3);
		w += W_BLOCK;
		x += X_BLOCK;
	}
	v128.store(tile, f0, 0);
	v128.store(tile, f1, 16);
	v128.store(tile, f2, 32);
	v128.store(tile, f3, 48);
}

/** Quantizes one f32 row into column `column` of its panel: scale = m / −8 with m the value of largest magnitude, as ggml's quantize_row_q4_0. */
export function pack_q4_0(row: usize, blocks: i32, panel: usize, column: i32): void {
	// The panel holds columns c and c + 8 in one byte; the nibble of the other column stays.
	const shift: i32 = column < 8 ? 0 : 4;
	const kept = i8x16.splat(<i8>(column < 8 ? 0xf0 : 0x0f));
	for (let b = 0; b < blocks; b++) {
		const scale = extreme(row) / <f32>-8;
		const inverse = f32x4.splat(scale !== 0 ? <f32>1 / scale : 0);
		store<u16>(panel + 256 + <usize>column * 2, floatToHalf(scale));
		for (let i: usize = 0; i < 128; i += 16) {
			const shifted = f32x4.add(f32x4.mul(v128.load(row + i), inverse), f32x4.splat(8.5));
			const four = i32x4.min_s(i32x4.trunc_sat_f32x4_s(shifted), i32x4.splat(15));
			const words = i16x8.narrow_i32x4_s(four, four);
			const nibbles = i8x16.shl(i8x16.narrow_i16x8_s(words, words), shift);
			// A quad of k is 32 bytes of the panel, four of them this column's.
			const at = panel + i * 2 + <usize>(column & 7) * 4;
			const other = v128.and(v128.load32_splat(at), kept);
			v128.store32_lane(at, v128.or(other, nibbles), 0);
		}
		row += 128;
		panel += W_BLOCK;
	}
}

/** The value of largest magnitude among 32, the first of them where two are as large. */
function extreme(row: usize): f32 {
	let peak = f32x4.splat(0);
	for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(row + i)));
	const largest = max4(peak);
	if (largest === 0) return 0;
	for (let i: usize = 0; i < 128; i += 4) if (abs(load<f32>(row + i)) === largest) return load<f32>(row + i);
	return 0;
}

/** One column of a panel back to f32: an embedding row. */
export function unpack_q4_0(panel: usize, blocks: i32, column: i32, row: usize): void {
	const shift: u32 = column < 8 ? 0 : 4;
	for (let b = 0; b < blocks; b++) {
		const scale = halfToFloat1(load<u16>(panel + 256 + <usize>column * 2));
		for (let i: usize = 0; i < 32; i++) {
			const at = panel + (i >> 2) * 32 + <usize>(column & 7) * 4 + (i & 3);
			const q = <i32>((load<u8>(at) >> <u8>shift) & 15);
			store<f32>(row + i * 4, <f32>(q - 8) * scale);
		}
		row += 128;
		panel += W_BLOCK;
	}
}
