// What this machine could do at most: how fast memory is read, and how fast products are added up. For benchmarks only.
import { madd } from "./simd";

/** Reads `bytes` bytes (a multiple of 128) from `at`, one after another. The result only keeps the loads from being left out. */
export function read_ceiling(at: usize, bytes: usize): i32 {
	let a = i32x4.splat(0), b = a, c = a, d = a;
	const end = at + bytes;
	for (; at < end; at += 128) {
		a = v128.xor(v128.xor(a, v128.load(at, 0)), v128.load(at, 64));
		b = v128.xor(v128.xor(b, v128.load(at, 16)), v128.load(at, 80));
		c = v128.xor(v128.xor(c, v128.load(at, 32)), v128.load(at, 96));
		d = v128.xor(v128.xor(d, v128.load(at, 48)), v128.load(at, 112));
	}
	const all = v128.xor(v128.xor(a, b), v128.xor(c, d));
	return i32x4.extract_lane(all, 0) ^ i32x4.extract_lane(all, 1) ^ i32x4.extract_lane(all, 2) ^ i32x4.extract_lane(all, 3);
}

/** The ways to multiply and add, by number. Products an instruction: 8, 16, 16, 4. */
// @ts-ignore: decorator
@inline
const INT16 = 0;
// @ts-ignore: decorator
@inline
const INT8 = 1;
// @ts-ignore: decorator
@inline
const INT8_FOUR = 2;

/** sum + products, as the kernels do it: q8_0 by INT16, q4_0 by INT8, floats by the last. INT8_FOUR is one instruction where the processor has it. */
// @ts-ignore: decorator
@inline
function add(kind: i32, sum: v128, w: v128, a: v128): v128 {
	if (kind === INT16) return i32x4.add(sum, i32x4.dot_i16x8_s(w, a));
	if (kind === INT8) {
		if (ASC_FEATURE_RELAXED_SIMD) return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(w, a));
		return i16x8.add(sum, i16x8.extmul_low_i8x16_s(w, a));
	}
	if (kind === INT8_FOUR) {
		if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, a, sum);
		return i32x4.add(sum, i32x4.dot_i16x8_s(w, a));
	}
	return madd(w, a, sum);
}

/** 8 sums: 4 weight vectors from the first-level cache against 2 values. */
// @ts-ignore: decorator
@inline
function narrow(kind: i32, at: usize, rounds: i32): void {
	const x = v128.load32_splat(at, 0), y = v128.load32_splat(at, 4);
	let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, d0 = c0, d1 = c0, d2 = c0, d3 = c0;
	for (let round = 0; round < rounds; round++) {
		for (let i: usize = 0; i < 2048; i += 64) {
			const w0 = v128.load(at + i, 0), w1 = v128.load(at + i, 16);
			const w2 = v128.load(at + i, 32), w3 = v128.load(at + i, 48);
			c0 = add(kind, c0, w0, x);
			c1 = add(kind, c1, w1, x);
			c2 = add(kind, c2, w2, x);
			c3 = add(kind, c3, w3, x);
			d0 = add(kind, d0, w0, y);
			d1 = add(kind, d1, w1, y);
			d2 = add(kind, d2, w2, y);
			d3 = add(kind, d3, w3, y);
		}
	}
	const out = at + 2048;
	v128.store(out, c0, 0);
	v128.store(out, c1, 16);
	v128.store(out, c2, 32);
	v128.store(out, c3, 48);
	v128.store(out, d0, 64);
	v128.store(out, d1, 80);
	v128.store(out, d2, 96);
	v128.store(out, d3, 112);
}

/** 16 sums: 4 weight vectors against 4 values. Best where the engine joins neighbouring operations to 256 bits. */
// @ts-ignore: decorator
@inline
function wide(kind: i32, at: usize, rounds: i32): void {
	const x = v128.load32_splat(at, 0), y = v128.load32_splat(at, 4);
	const z = v128.load32_splat(at, 8), u = v128.load32_splat(at, 12);
	let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, d0 = c0, d1 = c0, d2 = c0, d3 = c0;
	let e0 = c0, e1 = c0, e2 = c0, e3 = c0, f0 = c0, f1 = c0, f2 = c0, f3 = c0;
	for (let round = 0; round < rounds; round++) {
		for (let i: usize = 0; i < 2048; i += 64) {
			const w0 = v128.load(at + i, 0), w1 = v128.load(at + i, 16);
			const w2 = v128.load(at + i, 32), w3 = v128.load(at + i, 48);
			c0 = add(kind, c0, w0, x);
			c1 = add(kind, c1, w1, x);
			c2 = add(kind, c2, w2, x);
			c3 = add(kind, c3, w3, x);
			d0 = add(kind, d0, w0, y);
			d1 = add(kind, d1, w1, y);
			d2 = add(kind, d2, w2, y);
			d3 = add(kind, d3, w3, y);
			e0 = add(kind, e0, w0, z);
			e1 = add(kind, e1, w1, z);
			e2 = add(kind, e2, w2, z);
			e3 = add(kind, e3, w3, z);
			f0 = add(kind, f0, w0, u);
			f1 = add(kind, f1, w1, u);
			f2 = add(kind, f2, w2, u);
			f3 = add(kind, f3, w3, u);
		}
	}
	const out = at + 2048;
	v128.store(out, c0, 0);
	v128.store(out, c1, 16);
	v128.store(out, c2, 32);
	v128.store(out, c3, 48);
	v128.store(out, d0, 64);
	v128.store(out, d1, 80);
	v128.store(out, d2, 96);
	v128.store(out, d3, 112);
	v128.store(out, e0, 128);
	v128.store(out, e1, 144);
	v128.store(out, e2, 160);
	v128.store(out, e3, 176);
	v128.store(out, f0, 192);
	v128.store(out, f1, 208);
	v128.store(out, f2, 224);
	v128.store(out, f3, 240);
}

/**
 * Products added up without memory in the way. A round is 256 instructions (512 where isWide) of `kind`.
 * at: 2,304 bytes, 16-byte aligned: 2,048 of weights, which also give the values, then room for the sums.
 */
export function dot_ceiling(kind: i32, isWide: bool, at: usize, rounds: i32): void {
	switch (kind) {
		case 0: return isWide ? wide(0, at, rounds) : narrow(0, at, rounds);
		case 1: return isWide ? wide(1, at, rounds) : narrow(1, at, rounds);
		case 2: return isWide ? wide(2, at, rounds) : narrow(2, at, rounds);
		default: return isWide ? wide(3, at, rounds) : narrow(3, at, rounds);
	}
}
