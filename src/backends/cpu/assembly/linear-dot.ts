// linear_q8_0 and linear_q4_0 for engines whose relaxed dot product takes eight bits on both sides (dotKind in simd.ts): x86 with
// AVX-VNNI, ARM with its dot product. x is quantized to int8, as ggml does; one instruction makes 4 columns advance by four k.
//
// A panel of 16 output columns is, per block of 32 along K, q8_0: 544 bytes, 8 quads of k, each [16 columns][4] int8, then 16 f16
// scales. Where the instruction takes its second operand for unsigned, the bytes are w + 128. q4_0: as in linear-q4-0.ts.
// x lies in groups of 4 rows; per block 160 bytes: 8 quads of k, each [4 rows][4] int8, then 4 f32 scales, then 4 i32: what the sums
// start from, −128 · Σx or −8 · Σx, so that they come out as if the weights had been signed.
//
// wideOf and tileOf: as in linear-q8-0.ts. The f32 sums of wideOf wait in the tile while a block's int32 sums have the registers.
import { dot4, dotKind, floatToHalf, halfHigh, halfLow, halfToFloat, halfToFloat1, madd, max4, roundAway, UNSIGNED } from "./simd";

const X_BLOCK: usize = 160;

// @ts-ignore: decorator
@inline
const Q8_0 = 0;
// @ts-ignore: decorator
@inline
const Q4_0 = 1;

/** Where a block's scales lie. */
// @ts-ignore: decorator
@inline
function scalesAt(type: i32): usize {
	return type === Q8_0 ? 512 : 256;
}

/** Weights of four k, the i-th of 16 bytes each of x, for columns 4·column .. 4·column+3. */
// @ts-ignore: decorator
@inline
function quadOf(w: usize, i: usize, column: usize, type: i32): v128 {
	if (type === Q8_0) return v128.load(w + 4 * i + column * 16);
	const nibbles = v128.load(w + 2 * i + (column & 1) * 16);
	return v128.and(column < 2 ? nibbles : i16x8.shr_u(nibbles, 4), i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function wideOf(x: usize, w: usize, blocks: i32, tile: usize, type: i32): void {
	for (let i: usize = 0; i < 256; i += 32) {
		v128.store(tile + i, f32x4.splat(0), 0);
		v128.store(tile + i, f32x4.splat(0), 16);
	}
	for (let b = 0; b < blocks; b++) {
		let c00 = v128.load32_splat(x, 144), c01 = c00, c02 = c00, c03 = c00;
		let c10 = v128.load32_splat(x, 148), c11 = c10, c12 = c10, c13 = c10;
		let c20 = v128.load32_splat(x, 152), c21 = c20, c22 = c20, c23 = c20;
		let c30 = v128.load32_splat(x, 156), c31 = c30, c32 = c30, c33 = c30;
		for (let i: usize = 0; i < 128; i += 16) {
			const w0 = quadOf(w, i, 0, type);
			const w1 = quadOf(w, i, 1, type);
			const w2 = quadOf(w, i, 2, type);
			const w3 = quadOf(w, i, 3, type);
			let a = v128.load32_splat(x + i, 0);
			c00 = dot4(a, w0, c00);
			c01 = dot4(a, w1, c01);
			c02 = dot4(a, w2, c02);
			c03 = dot4(a, w3, c03);
			a = v128.load32_splat(x + i, 4);
			c10 = dot4(a, w0, c10);
			c11 = dot4(a, w1, c11);
			c12 = dot4(a, w2, c12);
			c13 = dot4(a, w3, c13);
			a = v128.load32_splat(x + i, 8);
			c20 = dot4(a, w0, c20);
			c21 = dot4(a, w1, c21);
			c22 = dot4(a, w2, c22);
			c23 = dot4(a, w3, c23);
			a = v128.load32_splat(x + i, 12);
			c30 = dot4(a, w0, c30);
			c31 = dot4(a, w1, c31);
			c32 = dot4(a, w2, c32);
			c33 = dot4(a, w3, c33);
		}
		let f00 = v128.load(tile, 0), f01 = v128.load(tile, 16), f02 = v128.load(tile, 32), f03 = v128.load(tile, 48);
		let f10 = v128.load(tile, 64), f11 = v128.load(tile, 80), f12 = v128.load(tile, 96), f13 = v128.load(tile, 112);
		let f20 = v128.load(tile, 128), f21 = v128.load(tile, 144), f22 = v128.load(tile, 160), f23 = v128.load(tile, 176);
		let f30 = v128.load(tile, 192), f31 = v128.load(tile, 208), f32 = v128.load(tile, 224), f33 = v128.load(tile, 240);
		const s01 = v128.load(w + scalesAt(type), 0);
		const s23 = v128.load(w + scalesAt(type), 16);
		const s0 = halfLow(s01);
		const s1 = halfHigh(s01);
		const s2 = halfLow(s23);
		const s3 = halfHigh(s23);
		let s = v128.load32_splat(x, 128);
		f00 = madd(f32x4.convert_i32x4_s(c00), f32x4.mul(s0, s), f00);
		f01 = madd(f32x4.convert_i32x4_s(c01), f32x4.mul(s1, s), f01);
		f02 = madd(f32x4.convert_i32x4_s(c02), f32x4.mul(s2, s), f02);
		f03 = madd(f32x4.convert_i32x4_s(c03), f32x4.mul(s3, s), f03);
		s = v128.load32_splat(x, 132);
		f10 = madd(f32x4.convert_i32x4_s(c10), f32x4.mul(s0, s), f10);
		f11 = madd(f32x4.convert_i32x4_s(c11), f32x4.mul(s1, s), f11);
		f12 = madd(f32x4.convert_i32x4_s(c12), f32x4.mul(s2, s), f12);
		f13 = madd(f32x4.convert_i32x4_s(c13), f32x4.mul(s3, s), f13);
		s = v128.load32_splat(x, 136);
		f20 = madd(f32x4.convert_i32x4_s(c20), f32x4.mul(s0, s), f20);
		f21 = madd(f32x4.convert_i32x4_s(c21), f32x4.mul(s1, s), f21);
		f22 = madd(f32x4.convert_i32x4_s(c22), f32x4.mul(s2, s), f22);
		f23 = madd(f32x4.convert_i32x4_s(c23), f32x4.mul(s3, s), f23);
		s = v128.load32_splat(x, 140);
		f30 = madd(f32x4.convert_i32x4_s(c30), f32x4.mul(s0, s), f30);
		f31 = madd(f32x4.convert_i32x4_s(c31), f32x4.mul(s1, s), f31);
		f32 = madd(f32x4.convert_i32x4_s(c32), f32x4.mul(s2, s), f32);
		f33 = madd(f32x4.convert_i32x4_s(c33), f32x4.mul(s3, s), f33);
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
		w += scalesAt(type) + 32;
		x += X_BLOCK;
	}
}

/** Columns 4·half .. 4·half+3 and 8 + 4·half .. 8 + 4·half+3. */
// @ts-ignore: decorator
@inline
function tileOf(x: usize, w: usize, blocks: i32, tile: usize, half: usize, type: i32): void {
	let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
	let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
	for (let b = 0; b < blocks; b++) {
		let c00 = v128.load32_splat(x, 144), c01 = c00;
		let c10 = v128.load32_splat(x, 148), c11 = c10;
		let c20 = v128.load32_splat(x, 152), c21 = c20;
		let c30 = v128.load32_splat(x, 156), c31 = c30;
		for (let i: usize = 0; i < 128; i += 16) {
			const w0 = quadOf(w + half * 16, i, 0, type);
			const w1 = quadOf(w + half * 16, i, 2, type);
			let a = v128.load32_splat(x + i, 0);
			c00 = dot4(a, w0, c00);
			c01 = dot4(a, w1, c01);
			a = v128.load32_splat(x + i, 4);
			c10 = dot4(a, w0, c10);
			c11 = dot4(a, w1, c11);
			a = v128.load32_splat(x + i, 8);
			c20 = dot4(a, w0, c20);
			c21 = dot4(a, w1, c21);
			a = v128.load32_splat(x + i, 12);
			c30 = dot4(a, w0, c30);
			c31 = dot4(a, w1, c31);
		}
		const scales = w + scalesAt(type) + half * 8;
		const s0 = halfToFloat(i32x4.extend_low_i16x8_s(v128.load64_zero(scales, 0)));
		const s1 = halfToFloat(i32x4.extend_low_i16x8_s(v128.load64_zero(scales, 16)));
		let s = v128.load32_splat(x, 128);
		f00 = madd(f32x4.convert_i32x4_s(c00), f32x4.mul(s0, s), f00);
		f01 = madd(f32x4.convert_i32x4_s(c01), f32x4.mul(s1, s), f01);
		s = v128.load32_splat(x, 132);
		f10 = madd(f32x4.convert_i32x4_s(c10), f32x4.mul(s0, s), f10);
		f11 = madd(f32x4.convert_i32x4_s(c11), f32x4.mul(s1, s), f11);
		s = v128.load32_splat(x, 136);
		f20 = madd(f32x4.convert_i32x4_s(c20), f32x4.mul(s0, s), f20);
		f21 = madd(f32x4.convert_i32x4_s(c21), f32x4.mul(s1, s), f21);
		s = v128.load32_splat(x, 140);
		f30 = madd(f32x4.convert_i32x4_s(c30), f32x4.mul(s0, s), f30);
		f31 = madd(f32x4.convert_i32x4_s(c31), f32x4.mul(s1, s), f31);
		w += scalesAt(type) + 32;
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

// @ts-ignore: decorator
@inline
function rowOf(x: usize, w: usize, blocks: i32, tile: usize, type: i32): void {
	let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0;
	for (let b = 0; b < blocks; b++) {
		let c0 = v128.load32_splat(x, 144), c1 = c0, c2 = c0, c3 = c0;
		for (let i: usize = 0; i < 128; i += 16) {
			const a = v128.load32_splat(x + i);
			c0 = dot4(a, quadOf(w, i, 0, type), c0);
			c1 = dot4(a, quadOf(w, i, 1, type), c1);
			c2 = dot4(a, quadOf(w, i, 2, type), c2);
			c3 = dot4(a, quadOf(w, i, 3, type), c3);
		}
		const s01 = v128.load(w + scalesAt(type), 0);
		const s23 = v128.load(w + scalesAt(type), 16);
		const s = v128.load32_splat(x, 128);
		f0 = madd(f32x4.convert_i32x4_s(c0), f32x4.mul(halfLow(s01), s), f0);
		f1 = madd(f32x4.convert_i32x4_s(c1), f32x4.mul(halfHigh(s01), s), f1);
		f2 = madd(f32x4.convert_i32x4_s(c2), f32x4.mul(halfLow(s23), s), f2);
		f3 = madd(f32x4.convert_i32x4_s(c3), f32x4.mul(halfHigh(s23), s), f3);
		w += scalesAt(type) + 32;
		x += X_BLOCK;
	}
	v128.store(tile, f0, 0);
	v128.store(tile, f1, 16);
	v128.store(tile, f2, 32);
	v128.store(tile, f3, 48);
}

/** 4 rows × 16 columns into `tile` (f32 [4][16]). x: the group; w: the panel. */
export function wide_q8_0_dot(x: usize, w: usize, blocks: i32, tile: usize): void {
	wideOf(x, w, blocks, tile, Q8_0);
}
export function wide_q4_0_dot(x: usize, w: usize, blocks: i32, tile: usize): void {
	wideOf(x, w, blocks, tile, Q4_0);
}

/** 4 rows × 8 columns into `tile` (f32 [4][16]). */
export function tile_q8_0_dot(x: usize, w: usize, blocks: i32, tile: usize, half: usize): void {
	tileOf(x, w, blocks, tile, half, Q8_0);
}
export function tile_q4_0_dot(x: usize, w: usize, blocks: i32, tile: usize, half: usize): void {
	tileOf(x, w, blocks, tile, half, Q4_0);
}

/** 1 row (the group's first) × 16 columns into `tile` (f32 [16]). */
export function row_q8_0_dot(x: usize, w: usize, blocks: i32, tile: usize): void {
	rowOf(x, w, blocks, tile, Q8_0);
}
export function row_q4_0_dot(x: usize, w: usize, blocks: i32, tile: usize): void {
	rowOf(x, w, blocks, tile, Q4_0);
}

/** Quantizes one f32 row to int8 blocks, as row `lane` of its group. zero: what the weights' bytes are above the weights */
export function prepare_int8(x: usize, blocks: i32, group: usize, lane: i32, zero: i32): void {
	const at = <usize>lane * 4;
	for (let b = 0; b < blocks; b++) {
		let peak = f32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(x + i)));
		const largest = max4(peak);
		const inverse = f32x4.splat(largest > 0 ? <f32>127 / largest : 0);
		let sums = i32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) {
			const four = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i), inverse)));
			sums = i32x4.add(sums, four);
			const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(four, four), four);
			v128.store32_lane(group + i + at, bytes, 0);
		}
		const sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) +
			i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
		store<f32>(group + at, largest / <f32>127, 128);
		store<i32>(group + at, -zero * sum, 144);
		x += 128;
		group += X_BLOCK;
	}
}

export function prepare_q8_0_dot(x: usize, blocks: i32, group: usize, lane: i32): void {
	prepare_int8(x, blocks, group, lane, dotKind === UNSIGNED ? 128 : 0);
}

/** As pack_q8_0, in quads. */
export function pack_q8_0_dot(row: usize, blocks: i32, panel: usize, column: i32): void {
	const flip = i8x16.splat(dotKind === UNSIGNED ? -128 : 0);
	for (let b = 0; b < blocks; b++) {
		let peak = f32x4.splat(0);
		for (let i: usize = 0; i < 128; i += 16) peak = f32x4.max(peak, f32x4.abs(v128.load(row + i)));
		const scale = max4(peak) / <f32>127;
		const inverse = f32x4.splat(scale > 0 ? <f32>1 / scale : 0);
		store<u16>(panel + 512 + <usize>column * 2, floatToHalf(scale));
		for (let i: usize = 0; i < 128; i += 16) {
			const four = i32x4.trunc_sat_f32x4_s(roundAway(f32x4.mul(v128.load(row + i), inverse)));
			const words = i16x8.narrow_i32x4_s(four, four);
			const bytes = v128.xor(i8x16.narrow_i16x8_s(words, words), flip);
			v128.store32_lane(panel + i * 4 + <usize>column * 4, bytes, 0);
		}
		row += 128;
		panel += 544;
	}
}

/** One column of a panel back to f32: an embedding row. */
export function unpack_q8_0_dot(panel: usize, blocks: i32, column: i32, row: usize): void {
	const flip: u8 = dotKind === UNSIGNED ? 128 : 0;
	for (let b = 0; b < blocks; b++) {
		const scale = halfToFloat1(load<u16>(panel + 512 + <usize>column * 2));
		for (let i: usize = 0; i < 32; i++) {
			const at = panel + (i >> 2) * 64 + <usize>column * 4 + (i & 3);
			store<f32>(row + i * 4, <f32><i8>(load<u8>(at) ^ flip) * scale);
		}
		row += 128;
		panel += 544;
	}
}
