// linear_q4_0: y = x · wᵀ with weights in blocks of 32 nibbles and one f16 scale (GGUF's Q4_0: w = scale · (q − 8)),
// x quantized to int8.
//
// A panel of 8 output columns is, per block of 32 along K, 144 bytes: 8 quads of k, each 16 bytes (low nibbles: columns 0..3,
// high nibbles: columns 4..7, 4 k a column), then 8 f16 scales. x lies in groups of 4 rows; per block 160 bytes: 8 quads of k,
// each [4 rows][4] int8, then 4 f32 scales, then 4 f32 values of 8 · Σx in those scales' units. A pair of products is at most
// 2 · 15 · 127, so an int16 lane holds the 8 pair sums of a whole block: one multiply-add and one addition for 16 products.
import { floatToHalf, halfBits } from "./linear-q8-0";
import { halfHigh, halfLow, madd } from "./simd";

const W_BLOCK: usize = 144;
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

/** (Σ of int16 pairs − shift) as f32 */
// @ts-ignore: decorator
@inline
function blockSum(pairs: v128, shift: v128): v128 {
	return f32x4.sub(f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(pairs, i16x8.splat(1))), shift);
}

/** 4 rows × 8 columns into `tile` (f32 [4][8]). */
export function tile_q4_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	const mask = i8x16.splat(15);
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i16x8.splat(0), c01 = c00, c10 = c00, c11 = c00;
		let c20 = c00, c21 = c00, c30 = c00, c31 = c00;
		for (let i: usize = 0; i < 128; i += 16) {
			const nibbles = v128.load(w + i);
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
		const scales = v128.load(w, 128);
		const s0 = halfLow(scales);
		const s1 = halfHigh(scales);
		let s = v128.load32_splat(x, 128);
		let shift = v128.load32_splat(x, 144);
		f00 = madd(blockSum(c00, shift), f32x4.mul(s0, s), f00);
		f01 = madd(blockSum(c01, shift), f32x4.mul(s1, s), f01);
		s = v128.load32_splat(x, 132);
		shift = v128.load32_splat(x, 148);
		f10 = madd(blockSum(c10, shift), f32x4.mul(s0, s), f10);
		f11 = madd(blockSum(c11, shift), f32x4.mul(s1, s), f11);
		s = v128.load32_splat(x, 136);
		shift = v128.load32_splat(x, 152);
		f20 = madd(blockSum(c20, shift), f32x4.mul(s0, s), f20);
		f21 = madd(blockSum(c21, shift), f32x4.mul(s1, s), f21);
		s = v128.load32_splat(x, 140);
		shift = v128.load32_splat(x, 156);
		f30 = madd(blockSum(c30, shift), f32x4.mul(s0, s), f30);
		f31 = madd(blockSum(c31, shift), f32x4.mul(s1, s), f31);
		w += W_BLOCK;
		x += X_BLOCK;
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

/** 1 row (the group's first) × 8 columns into `tile` (f32 [8]). */
export function row_q4_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	const mask = i8x16.splat(15);
	let f0 = f32x4.splat(0), f1 = f0;
	for (let b = 0; b < blocks; b++) {
		let c0 = i16x8.splat(0), c1 = c0;
		for (let i: usize = 0; i < 128; i += 16) {
			const nibbles = v128.load(w + i);
			const a = v128.load32_splat(x + i);
			c0 = i16x8.add(c0, dotPairs(a, v128.and(nibbles, mask)));
			c1 = i16x8.add(c1, dotPairs(a, v128.and(i16x8.shr_u(nibbles, 4), mask)));
		}
		const scales = v128.load(w, 128);
		const s = v128.load32_splat(x, 128);
		const shift = v128.load32_splat(x, 144);
		f0 = madd(blockSum(c0, shift), f32x4.mul(halfLow(scales), s), f0);
		f1 = madd(blockSum(c1, shift), f32x4.mul(halfHigh(scales), s), f1);
		w += W_BLOCK;
		x += X_BLOCK;
	}
	v128.store(tile, f0, 0);
	v128.store(tile, f1, 16);
}

/** Quantizes one f32 row to int8 blocks, as row `lane` of its group. */
export function prepare_q4_0(x: usize, blocks: i32, group: usize, lane: i32): void {
	for (let b = 0; b < blocks; b++) {
		let peak = f32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(x + i)));
		const largest = max(
			max(f32x4.extract_lane(peak, 0), f32x4.extract_lane(peak, 1)),
			max(f32x4.extract_lane(peak, 2), f32x4.extract_lane(peak, 3)),
		);
		const inverse = f32x4.splat(largest > 0 ? <f32>127 / largest : 0);
		let sums = i32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) {
			const four = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i), inverse)));
			sums = i32x4.add(sums, four);
			const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(four, four), four);
			v128.store32_lane(group + i + <usize>lane * 4, bytes, 0);
		}
		const eightfold = 8 * (
			i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) +
			i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3)
		);
		store<f32>(group + <usize>lane * 4, largest / <f32>127, 128);
		store<f32>(group + <usize>lane * 4, <f32>eightfold, 144);
		x += 128;
		group += X_BLOCK;
	}
}

/** Quantizes one f32 row into column `column` of its panel: scale = m / −8 with m the value of largest magnitude, as ggml's quantize_row_q4_0. */
export function pack_q4_0(row: usize, blocks: i32, panel: usize, column: i32): void {
	const shift: u32 = column < 4 ? 0 : 4;
	for (let b = 0; b < blocks; b++) {
		let largest: f32 = 0;
		let signed: f32 = 0;
		for (let i: usize = 0; i < 32; i++) {
			const value = load<f32>(row + i * 4);
			if (abs(value) > largest) {
				largest = abs(value);
				signed = value;
			}
		}
		const scale = signed / <f32>-8;
		const inverse: f32 = scale != 0 ? <f32>1 / scale : 0;
		store<u16>(panel + 128 + <usize>column * 2, floatToHalf(scale));
		for (let i: usize = 0; i < 32; i++) {
			const q = min<i32>(15, <i32>(load<f32>(row + i * 4) * inverse + <f32>8.5));
			const at = panel + (i >> 2) * 16 + <usize>(column & 3) * 4 + (i & 3);
			const other = load<u8>(at) & (shift === 0 ? 0xf0 : 0x0f);
			store<u8>(at, <u8>(other | (q << shift)));
		}
		row += 128;
		panel += W_BLOCK;
	}
}

/** One column of a panel back to f32: an embedding row. */
export function unpack_q4_0(panel: usize, blocks: i32, column: i32, row: usize): void {
	const shift: u32 = column < 4 ? 0 : 4;
	for (let b = 0; b < blocks; b++) {
		const scale = halfBits(load<u16>(panel + 128 + <usize>column * 2));
		for (let i: usize = 0; i < 32; i++) {
			const at = panel + (i >> 2) * 16 + <usize>(column & 3) * 4 + (i & 3);
			const q = <i32>((load<u8>(at) >> <u8>shift) & 15);
			store<f32>(row + i * 4, <f32>(q - 8) * scale);
		}
		row += 128;
		panel += W_BLOCK;
	}
}
