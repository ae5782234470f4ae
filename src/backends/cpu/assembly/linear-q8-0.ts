// linear_q8_0: y = x · wᵀ with weights in blocks of 32 int8 and one f16 scale (GGUF's Q8_0), x quantized to int16. For engines
// without eight-bit dot products; linear-dot.ts has the kernels of the others.
//
// Weights lie in panels of 16 output columns. A panel is, per block of 32 along K, 544 bytes: 16 pairs of k, each
// [16 columns][2] int8, then 16 f16 scales. x lies in groups of 4 rows; per block 272 bytes: 16 pairs of k, each
// [4 rows][2] int16, then 4 f32 scales. So one i32x4.dot_i16x8_s makes 4 columns of one row advance by two k.
// int16 keeps x's rounding far below the weights'; 32 products of 127 · 32767 fit an int32.
//
// wide_q8_0 is for an engine that joins neighbouring 128-bit operations to 256 bits: then its 16 accumulators are 8 registers.
// Elsewhere tile_q8_0 takes half a panel at a time.
import { floatToHalf, halfHigh, halfLow, halfToFloat1, madd, max4, roundAway } from "./simd";

const W_BLOCK: usize = 544;
const X_BLOCK: usize = 272;

/** 4 rows × 16 columns into `tile` (f32 [4][16]). x: the group; w: the panel. */
export function wide_q8_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	let f00 = f32x4.splat(0), f01 = f00, f02 = f00, f03 = f00;
	let f10 = f00, f11 = f00, f12 = f00, f13 = f00;
	let f20 = f00, f21 = f00, f22 = f00, f23 = f00;
	let f30 = f00, f31 = f00, f32 = f00, f33 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i32x4.splat(0), c01 = c00, c02 = c00, c03 = c00;
		let c10 = c00, c11 = c00, c12 = c00, c13 = c00;
		let c20 = c00, c21 = c00, c22 = c00, c23 = c00;
		let c30 = c00, c31 = c00, c32 = c00, c33 = c00;
		for (let i: usize = 0; i < 256; i += 16) {
			const first = v128.load(w + 2 * i, 0);
			const second = v128.load(w + 2 * i, 16);
			const w0 = i16x8.extend_low_i8x16_s(first);
			const w1 = i16x8.extend_high_i8x16_s(first);
			const w2 = i16x8.extend_low_i8x16_s(second);
			const w3 = i16x8.extend_high_i8x16_s(second);
			let a = v128.load32_splat(x + i, 0);
			c00 = i32x4.add(c00, i32x4.dot_i16x8_s(w0, a));
			c01 = i32x4.add(c01, i32x4.dot_i16x8_s(w1, a));
			c02 = i32x4.add(c02, i32x4.dot_i16x8_s(w2, a));
			c03 = i32x4.add(c03, i32x4.dot_i16x8_s(w3, a));
			a = v128.load32_splat(x + i, 4);
			c10 = i32x4.add(c10, i32x4.dot_i16x8_s(w0, a));
			c11 = i32x4.add(c11, i32x4.dot_i16x8_s(w1, a));
			c12 = i32x4.add(c12, i32x4.dot_i16x8_s(w2, a));
			c13 = i32x4.add(c13, i32x4.dot_i16x8_s(w3, a));
			a = v128.load32_splat(x + i, 8);
			c20 = i32x4.add(c20, i32x4.dot_i16x8_s(w0, a));
			c21 = i32x4.add(c21, i32x4.dot_i16x8_s(w1, a));
			c22 = i32x4.add(c22, i32x4.dot_i16x8_s(w2, a));
			c23 = i32x4.add(c23, i32x4.dot_i16x8_s(w3, a));
			a = v128.load32_splat(x + i, 12);
			c30 = i32x4.add(c30, i32x4.dot_i16x8_s(w0, a));
			c31 = i32x4.add(c31, i32x4.dot_i16x8_s(w1, a));
			c32 = i32x4.add(c32, i32x4.dot_i16x8_s(w2, a));
			c33 = i32x4.add(c33, i32x4.dot_i16x8_s(w3, a));
		}
		const s01 = v128.load(w, 512);
		const s23 = v128.load(w, 528);
		const s0 = halfLow(s01);
		const s1 = halfHigh(s01);
		const s2 = halfLow(s23);
		const s3 = halfHigh(s23);
		let s = v128.load32_splat(x, 256);
		f00 = madd(f32x4.convert_i32x4_s(c00), f32x4.mul(s0, s), f00);
		f01 = madd(f32x4.convert_i32x4_s(c01), f32x4.mul(s1, s), f01);
		f02 = madd(f32x4.convert_i32x4_s(c02), f32x4.mul(s2, s), f02);
		f03 = madd(f32x4.convert_i32x4_s(c03), f32x4.mul(s3, s), f03);
		s = v128.load32_splat(x, 260);
		f10 = madd(f32x4.convert_i32x4_s(c10), f32x4.mul(s0, s), f10);
		f11 = madd(f32x4.convert_i32x4_s(c11), f32x4.mul(s1, s), f11);
		f12 = madd(f32x4.convert_i32x4_s(c12), f32x4.mul(s2, s), f12);
		f13 = madd(f32x4.convert_i32x4_s(c13), f32x4.mul(s3, s), f13);
		s = v128.load32_splat(x, 264);
		f20 = madd(f32x4.convert_i32x4_s(c20), f32x4.mul(s0, s), f20);
		f21 = madd(f32x4.convert_i32x4_s(c21), f32x4.mul(s1, s), f21);
		f22 = madd(f32x4.convert_i32x4_s(c22), f32x4.mul(s2, s), f22);
		f23 = madd(f32x4.convert_i32x4_s(c23), f32x4.mul(s3, s), f23);
		s = v128.load32_splat(x, 268);
		f30 = madd(f32x4.convert_i32x4_s(c30), f32x4.mul(s0, s), f30);
		f31 = madd(f32x4.convert_i32x4_s(c31), f32x4.mul(s1, s), f31);
		f32 = madd(f32x4.convert_i32x4_s(c32), f32x4.mul(s2, s), f32);
		f33 = madd(f32x4.convert_i32x4_s(c33), f32x4.mul(s3, s), f33);
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

/** 4 rows × columns 8·half .. 8·half+7 of the panel into `tile` (f32 [4][16]). */
export function tile_q8_0(x: usize, w: usize, blocks: i32, tile: usize, half: usize): void {
	const pairsAt = half * 16;
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00;
		let c20 = c00, c21 = c00, c30 = c00, c31 = c00;
		for (let i: usize = 0; i < 256; i += 16) {
			const pairs = v128.load(w + pairsAt + 2 * i);
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
		const scales = v128.load(w + pairsAt, 512);
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
		w += W_BLOCK;
		x += X_BLOCK;
	}
	tile += half * 32;
	v128.store(tile, f00, 0);
	v128.store(tile, f01, 16);
	v128.store(tile, f10, 64);
	v128.store(tile, f11, 80);
	v128.store(tile, f20, 128);
	v128.store(tile, f21, 144);
	v128.store(tile, f30, 192);
	v128.store(tile, f31, 208);
}

/** 1 row (the group's first) × 16 columns into `tile` (f32 [16]). */
export function row_q8_0(x: usize, w: usize, blocks: i32, tile: usize): void {
	let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0;
	for (let b = 0; b < blocks; b++) {
		let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
		for (let i: usize = 0; i < 256; i += 16) {
			const first = v128.load(w + 2 * i, 0);
			const second = v128.load(w + 2 * i, 16);
			const a = v128.load32_splat(x + i);
			c0 = i32x4.add(c0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(first), a));
			c1 = i32x4.add(c1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(first), a));
			c2 = i32x4.add(c2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(second), a));
			c3 = i32x4.add(c3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(second), a));
		}
		const s01 = v128.load(w, 512);
		const s23 = v128.load(w, 528);
		const s = v128.load32_splat(x, 256);
		f0 = madd(f32x4.convert_i32x4_s(c0), f32x4.mul(halfLow(s01), s), f0);
		f1 = madd(f32x4.convert_i32x4_s(c1), f32x4.mul(halfHigh(s01), s), f1);
		f2 = madd(f32x4.convert_i32x4_s(c2), f32x4.mul(halfLow(s23), s), f2);
		f3 = madd(f32x4.convert_i32x4_s(c3), f32x4.mul(halfHigh(s23), s), f3);
		w += W_BLOCK;
		x += X_BLOCK;
	}
	v128.store(tile, f0, 0);
	v128.store(tile, f1, 16);
	v128.store(tile, f2, 32);
	v128.store(tile, f3, 48);
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
		store<f32>(scales + <usize>b * X_BLOCK, largest / <f32>32767);
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
		to += X_BLOCK;
	}
}

/**
 * Quantizes one f32 row of weights into column `column` of its panel: scale = max|w| / 127 as f16, q = round(w / scale),
 * as ggml's quantize_row_q8_0.
 */
export function pack_q8_0(row: usize, blocks: i32, panel: usize, column: i32): void {
	const columnAt = <usize>column * 2;
	for (let b = 0; b < blocks; b++) {
		let peak = f32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(row + i)));
		const scale = max4(peak) / <f32>127;
		const inverse = f32x4.splat(scale > 0 ? <f32>1 / scale : 0);
		store<u16>(panel + 512 + columnAt, floatToHalf(scale));
		for (let i: usize = 0; i < 128; i += 32) {
			const low = i32x4.trunc_sat_f32x4_s(roundAway(f32x4.mul(v128.load(row + i, 0), inverse)));
			const high = i32x4.trunc_sat_f32x4_s(roundAway(f32x4.mul(v128.load(row + i, 16), inverse)));
			const eight = i16x8.narrow_i32x4_s(low, high);
			const bytes = i8x16.narrow_i16x8_s(eight, eight);
			// A pair of k is 32 bytes of the panel; eight k are four pairs.
			const at = panel + i * 4 + columnAt;
			v128.store16_lane(at, bytes, 0, 0);
			v128.store16_lane(at, bytes, 1, 32);
			v128.store16_lane(at, bytes, 2, 64);
			v128.store16_lane(at, bytes, 3, 96);
		}
		row += 128;
		panel += W_BLOCK;
	}
}

/** One column of a panel back to f32: an embedding row. */
export function unpack_q8_0(panel: usize, blocks: i32, column: i32, row: usize): void {
	for (let b = 0; b < blocks; b++) {
		const scale = halfToFloat1(load<u16>(panel + 512 + <usize>column * 2));
		for (let i: usize = 0; i < 32; i += 2) {
			const at = panel + i * 16 + <usize>column * 2;
			store<f32>(row + i * 4, <f32>load<i8>(at) * scale);
			store<f32>(row + i * 4 + 4, <f32>load<i8>(at + 1) * scale);
		}
		row += 128;
		panel += W_BLOCK;
	}
}
