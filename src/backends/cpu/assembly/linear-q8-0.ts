// linear_q8_0: y = x · wᵀ with weights in blocks of 32 int8 and one f16 scale (GGUF's Q8_0), x quantized to int16.
//
// Weights lie in panels of 8 output columns. A panel is, per block of 32 along K, 272 bytes: 16 pairs of k, each
// [8 columns][2] int8, then 8 f16 scales. x lies in groups of 4 rows; per block 272 bytes: 16 pairs of k, each
// [4 rows][2] int16, then 4 f32 scales. So one i32x4.dot_i16x8_s makes 4 columns of one row advance by two k.
// int16 keeps x's rounding far below the weights'; 32 products of 127 · 32767 fit an int32.
import { halfHigh, halfLow, madd } from "./simd";

const BLOCK: usize = 272;

/** 4 rows × 8 columns into `tile` (f32 [4][8]). x: the group; w: the panel. */
export function tile_q8_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00;
		let c20 = c00, c21 = c00, c30 = c00, c31 = c00;
		for (let i: usize = 0; i < 256; i += 16) {
			const pairs = v128.load(w + i);
			const low = i16x8.extend_low_i8x16_s(pairs);
			const high = i16x8.extend_high_i8x16_s(pairs);
			let a = v128.load32_splat(x + i, 0);
			c00 = i32x4.add(c00, i32x4.dot_i16x8_s(low, a));
			c01 = i32x4.add(c01, i32x4.dot_i16x8_s(high, a));
			a = v128.load32_splat(x + i, 4);
			c10 = i32x4.add(c10, i32x4.dot_i16x8_s(low, a));
			c11 = i32x4.add(c11, i32x4.dot_i16x8_s(high, a));
			a = v128.load32_splat(x + i, 8);
			c20 = i32x4.add(c20, i32x4.dot_i16x8_s(low, a));
			c21 = i32x4.add(c21, i32x4.dot_i16x8_s(high, a));
			a = v128.load32_splat(x + i, 12);
			c30 = i32x4.add(c30, i32x4.dot_i16x8_s(low, a));
			c31 = i32x4.add(c31, i32x4.dot_i16x8_s(high, a));
		}
		const scales = v128.load(w, 256);
		const s0 = halfLow(scales);
		const s1 = halfHigh(scales);
		let s = v128.load32_splat(x, 256);
		f00 = madd(f32x4.convert_i32x4_s(c00), f32x4.mul(s0, s), f00);
		f01 = madd(f32x4.convert_i32x4_s(c01), f32x4.mul(s1, s), f01);
		s = v128.load32_splat(x, 260);
		f10 = madd(f32x4.convert_i32x4_s(c10), f32x4.mul(s0, s), f10);
		f11 = madd(f32x4.convert_i32x4_s(c11), f32x4.mul(s1, s), f11);
		s = v128.load32_splat(x, 264);
		f20 = madd(f32x4.convert_i32x4_s(c20), f32x4.mul(s0, s), f20);
		f21 = madd(f32x4.convert_i32x4_s(c21), f32x4.mul(s1, s), f21);
		s = v128.load32_splat(x, 268);
		f30 = madd(f32x4.convert_i32x4_s(c30), f32x4.mul(s0, s), f30);
		f31 = madd(f32x4.convert_i32x4_s(c31), f32x4.mul(s1, s), f31);
		w += BLOCK;
		x += BLOCK;
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
export function row_q8_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	let f0 = f32x4.splat(0), f1 = f0;
	for (let b = 0; b < blocks; b++) {
		let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
		for (let i: usize = 0; i < 256; i += 32) {
			let pairs = v128.load(w + i, 0);
			let a = v128.load32_splat(x + i, 0);
			c0 = i32x4.add(c0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(pairs), a));
			c1 = i32x4.add(c1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(pairs), a));
			pairs = v128.load(w + i, 16);
			a = v128.load32_splat(x + i, 16);
			c2 = i32x4.add(c2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(pairs), a));
			c3 = i32x4.add(c3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(pairs), a));
		}
		const scales = v128.load(w, 256);
		const s = v128.load32_splat(x, 256);
		f0 = madd(f32x4.convert_i32x4_s(i32x4.add(c0, c2)), f32x4.mul(halfLow(scales), s), f0);
		f1 = madd(f32x4.convert_i32x4_s(i32x4.add(c1, c3)), f32x4.mul(halfHigh(scales), s), f1);
		w += BLOCK;
		x += BLOCK;
	}
	v128.store(tile, f0, 0);
	v128.store(tile, f1, 16);
}

/** Quantizes one f32 row to int16 blocks, as row `lane` of its group. `columns` is a multiple of 32 in `x`, padded with zeros. */
export function prepare_q8_0(x: usize, blocks: i32, group: usize, lane: i32): void {
	let to = group + <usize>lane * 4;
	const scales = group + 256 + <usize>lane * 4;
	for (let b = 0; b < blocks; b++) {
		let peak = f32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(x + i)));
		const largest = max(
			max(f32x4.extract_lane(peak, 0), f32x4.extract_lane(peak, 1)),
			max(f32x4.extract_lane(peak, 2), f32x4.extract_lane(peak, 3)),
		);
		const inverse = f32x4.splat(largest > 0 ? <f32>32767 / largest : 0);
		store<f32>(scales + <usize>b * BLOCK, largest / <f32>32767);
		for (let i: usize = 0; i < 128; i += 32) {
			const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i, 0), inverse)));
			const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i, 16), inverse)));
			const eight = i16x8.narrow_i32x4_s(low, high);
			v128.store32_lane(to + i * 2, eight, 0, 0);
			v128.store32_lane(to + i * 2, eight, 1, 16);
			v128.store32_lane(to + i * 2, eight, 2, 32);
			v128.store32_lane(to + i * 2, eight, 3, 48);
		}
		x += 128;
		to += BLOCK;
	}
}

/**
 * Quantizes one f32 row of weights into column `column` of its panel: scale = max|w| / 127 as f16, q = round(w / scale),
 * as ggml's quantize_row_q8_0.
 */
export function pack_q8_0(row: usize, blocks: i32, panel: usize, column: i32): void {
	for (let b = 0; b < blocks; b++) {
		let largest: f32 = 0;
		for (let i: usize = 0; i < 32; i++) largest = max(largest, abs(load<f32>(row + i * 4)));
		const scale = largest / <f32>127;
		const inverse: f32 = scale > 0 ? <f32>1 / scale : 0;
		store<u16>(panel + 256 + <usize>column * 2, floatToHalf(scale));
		for (let i: usize = 0; i < 32; i += 2) {
			const at = panel + i * 8 + <usize>column * 2;
			store<i8>(at, <i8>roundAway(load<f32>(row + i * 4) * inverse));
			store<i8>(at + 1, <i8>roundAway(load<f32>(row + i * 4 + 4) * inverse));
		}
		row += 128;
		panel += BLOCK;
	}
}

/** One column of a panel back to f32: an embedding row. */
export function unpack_q8_0(panel: usize, blocks: i32, column: i32, row: usize): void {
	for (let b = 0; b < blocks; b++) {
		const scale = halfBits(load<u16>(panel + 256 + <usize>column * 2));
		for (let i: usize = 0; i < 32; i += 2) {
			const at = panel + i * 8 + <usize>column * 2;
			store<f32>(row + i * 4, <f32>load<i8>(at) * scale);
			store<f32>(row + i * 4 + 4, <f32>load<i8>(at + 1) * scale);
		}
		row += 128;
		panel += BLOCK;
	}
}

/** Half away from zero, as C's roundf. */
// @ts-ignore: decorator
@inline
export function roundAway(x: f32): i32 {
	return <i32>(x + (x < 0 ? <f32>-0.5 : <f32>0.5));
}

/** f32 → f16 bits, to nearest even; beyond f16's range: infinity. */
export function floatToHalf(x: f32): u16 {
	const bits = reinterpret<u32>(x);
	const sign = (bits >> 16) & 0x8000;
	const magnitude = bits & 0x7fffffff;
	if (magnitude >= 0x47800000) return <u16>(sign | 0x7c00);
	if (magnitude < 0x38800000) {
		// Subnormal: adding 2^-1 at the right exponent lets the addition round.
		const rounded = reinterpret<f32>(magnitude) + <f32>0.5;
		return <u16>(sign | (reinterpret<u32>(rounded) - 0x3f000000));
	}
	const odd = (magnitude >> 13) & 1;
	return <u16>(sign | ((magnitude + 0xc8000fff + odd) >> 13));
}

/** f16 bits → f32 */
export function halfBits(bits: u16): f32 {
	const magnitude = reinterpret<f32>(<u32>(bits & 0x7fff) << 13) * <f32>5192296858534828e18;
	return bits & 0x8000 ? -magnitude : magnitude;
}
