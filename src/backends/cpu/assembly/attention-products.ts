// The two products of attention, queries · keys and probabilities · values, for up to 4 query rows and keys of one cache block.
import { BF16, F16, F32 } from "./format";
import { madd, sum4 } from "./simd";

/** Keys whose scores stand together. */
export const KEYS = 64;

/** Elements 0..3 (part 0) or 4..7 (part 1) of the sixteen at `at`. f16 comes 2^112 times too small: see TINY in attention.ts. */
// @ts-ignore: decorator
@inline
export function first8(at: usize, part: usize, type: i32): v128 {
	const four = v128.load(at + part * 16);
	if (type === F32) return four;
	if (type === BF16) return i32x4.shl(four, 16);
	return v128.and(i32x4.shr_s(i32x4.shl(four, 16), 3), i32x4.splat(0x8fffe000));
}

/** Elements 8..11 (part 0) or 12..15 (part 1). */
// @ts-ignore: decorator
@inline
export function last8(at: usize, part: usize, type: i32): v128 {
	if (type === F32) return v128.load(at + part * 16, 32);
	const four = v128.load(at + part * 16);
	if (type === BF16) return v128.and(four, i32x4.splat(0xffff0000));
	return v128.and(i32x4.shr_s(four, 3), i32x4.splat(0x8fffe000));
}

/** scores[r][j] = q row r · key j, for `count` keys. q: f32 [4][D]; scores: rows KEYS floats long; halves: 128 bytes of scratch */
// @ts-ignore: decorator
@inline
function dotKeys(type: i32, rows: i32, q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	const size: usize = type === F32 ? 4 : 2;
	for (let j = 0; j < count; j++) {
		// Per row four sums, in two neighbouring pairs.
		let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
		let c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
		for (let i: usize = 0; i < D; i += 16) {
			const key = keys + i * size;
			const k0 = first8(key, 0, type);
			const k1 = first8(key, 1, type);
			const k2 = last8(key, 0, type);
			const k3 = last8(key, 1, type);
			const x = q + i * 4;
			a0 = madd(v128.load(x, 0), k0, a0);
			a1 = madd(v128.load(x, 16), k1, a1);
			a2 = madd(v128.load(x, 32), k2, a2);
			a3 = madd(v128.load(x, 48), k3, a3);
			if (rows > 1) {
				const y = x + D * 4;
				b0 = madd(v128.load(y, 0), k0, b0);
				b1 = madd(v128.load(y, 16), k1, b1);
				b2 = madd(v128.load(y, 32), k2, b2);
				b3 = madd(v128.load(y, 48), k3, b3);
			}
			if (rows > 2) {
				const y = x + D * 8;
				c0 = madd(v128.load(y, 0), k0, c0);
				c1 = madd(v128.load(y, 16), k1, c1);
				c2 = madd(v128.load(y, 32), k2, c2);
				c3 = madd(v128.load(y, 48), k3, c3);
				const z = x + D * 12;
				d0 = madd(v128.load(z, 0), k0, d0);
				d1 = madd(v128.load(z, 16), k1, d1);
				d2 = madd(v128.load(z, 32), k2, d2);
				d3 = madd(v128.load(z, 48), k3, d3);
			}
		}
		v128.store(halves, f32x4.add(a0, a2), 0);
		v128.store(halves, f32x4.add(a1, a3), 16);
		if (rows > 1) {
			v128.store(halves, f32x4.add(b0, b2), 32);
			v128.store(halves, f32x4.add(b1, b3), 48);
		}
		if (rows > 2) {
			v128.store(halves, f32x4.add(c0, c2), 64);
			v128.store(halves, f32x4.add(c1, c3), 80);
			v128.store(halves, f32x4.add(d0, d2), 96);
			v128.store(halves, f32x4.add(d1, d3), 112);
		}
		const at = scores + <usize>j * 4;
		store<f32>(at, sum8(halves), 0);
		if (rows > 1) store<f32>(at, sum8(halves + 32), KEYS * 4);
		if (rows > 2) {
			store<f32>(at, sum8(halves + 64), KEYS * 8);
			store<f32>(at, sum8(halves + 96), KEYS * 12);
		}
		keys += D * size;
	}
}

// @ts-ignore: decorator
@inline
function sum8(at: usize): f32 {
	return sum4(f32x4.add(v128.load(at), v128.load(at, 16)));
}

/** out[r] += Σ_j p[r][j] · value j.  out: f32 [4][D] */
// @ts-ignore: decorator
@inline
function addValues(type: i32, rows: i32, p: usize, values: usize, count: i32, D: usize, out: usize): void {
	const size: usize = type === F32 ? 4 : 2;
	for (let i: usize = 0; i < D; i += 16) {
		const a = out + i * 4;
		const b = a + D * 4;
		const c = a + D * 8;
		const d = a + D * 12;
		let a0 = v128.load(a, 0), a1 = v128.load(a, 16), a2 = v128.load(a, 32), a3 = v128.load(a, 48);
		let b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
		if (rows > 1) {
			b0 = v128.load(b, 0);
			b1 = v128.load(b, 16);
			b2 = v128.load(b, 32);
			b3 = v128.load(b, 48);
		}
		if (rows > 2) {
			c0 = v128.load(c, 0);
			c1 = v128.load(c, 16);
			c2 = v128.load(c, 32);
			c3 = v128.load(c, 48);
			d0 = v128.load(d, 0);
			d1 = v128.load(d, 16);
			d2 = v128.load(d, 32);
			d3 = v128.load(d, 48);
		}
		for (let j: usize = 0; j < <usize>count; j++) {
			const value = values + (j * D + i) * size;
			const v0 = first8(value, 0, type);
			const v1 = first8(value, 1, type);
			const v2 = last8(value, 0, type);
			const v3 = last8(value, 1, type);
			let w = v128.load32_splat(p + j * 4, 0);
			a0 = madd(w, v0, a0);
			a1 = madd(w, v1, a1);
			a2 = madd(w, v2, a2);
			a3 = madd(w, v3, a3);
			if (rows > 1) {
				w = v128.load32_splat(p + j * 4, KEYS * 4);
				b0 = madd(w, v0, b0);
				b1 = madd(w, v1, b1);
				b2 = madd(w, v2, b2);
				b3 = madd(w, v3, b3);
			}
			if (rows > 2) {
				w = v128.load32_splat(p + j * 4, KEYS * 8);
				c0 = madd(w, v0, c0);
				c1 = madd(w, v1, c1);
				c2 = madd(w, v2, c2);
				c3 = madd(w, v3, c3);
				w = v128.load32_splat(p + j * 4, KEYS * 12);
				d0 = madd(w, v0, d0);
				d1 = madd(w, v1, d1);
				d2 = madd(w, v2, d2);
				d3 = madd(w, v3, d3);
			}
		}
		v128.store(a, a0, 0);
		v128.store(a, a1, 16);
		v128.store(a, a2, 32);
		v128.store(a, a3, 48);
		if (rows > 1) {
			v128.store(b, b0, 0);
			v128.store(b, b1, 16);
			v128.store(b, b2, 32);
			v128.store(b, b3, 48);
		}
		if (rows > 2) {
			v128.store(c, c0, 0);
			v128.store(c, c1, 16);
			v128.store(c, c2, 32);
			v128.store(c, c3, 48);
			v128.store(d, d0, 0);
			v128.store(d, d1, 16);
			v128.store(d, d2, 32);
			v128.store(d, d3, 48);
		}
	}
}

// Each a function of its own: V8 joins operations to 256 bits a function at a time, and the optimizer before it merges equal ends.
function dot_f16_1(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(F16, 1, q, keys, count, D, scores, halves);
}
function dot_f16_2(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(F16, 2, q, keys, count, D, scores, halves);
}
function dot_f16_4(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(F16, 4, q, keys, count, D, scores, halves);
}
function dot_bf16_2(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(BF16, 2, q, keys, count, D, scores, halves);
}
function dot_bf16_4(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(BF16, 4, q, keys, count, D, scores, halves);
}
function dot_f32_4(q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	dotKeys(F32, 4, q, keys, count, D, scores, halves);
}
function add_f16_1(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(F16, 1, p, values, count, D, out);
}
function add_f16_2(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(F16, 2, p, values, count, D, out);
}
function add_f16_4(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(F16, 4, p, values, count, D, out);
}
function add_bf16_2(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(BF16, 2, p, values, count, D, out);
}
function add_bf16_4(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(BF16, 4, p, values, count, D, out);
}
function add_f32_4(p: usize, values: usize, count: i32, D: usize, out: usize): void {
	addValues(F32, 4, p, values, count, D, out);
}

/** As dotKeys. rows: 1 .. 4 */
export function dotKeysOf(type: i32, rows: i32, q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	if (type === F16) {
		if (rows === 1) dot_f16_1(q, keys, count, D, scores, halves);
		else if (rows === 2) dot_f16_2(q, keys, count, D, scores, halves);
		else dot_f16_4(q, keys, count, D, scores, halves);
	} else if (type === BF16) {
		if (rows <= 2) dot_bf16_2(q, keys, count, D, scores, halves);
		else dot_bf16_4(q, keys, count, D, scores, halves);
	} else dot_f32_4(q, keys, count, D, scores, halves);
}

/** As addValues. rows: 1 .. 4 */
export function addValuesOf(type: i32, rows: i32, p: usize, values: usize, count: i32, D: usize, out: usize): void {
	if (type === F16) {
		if (rows === 1) add_f16_1(p, values, count, D, out);
		else if (rows === 2) add_f16_2(p, values, count, D, out);
		else add_f16_4(p, values, count, D, out);
	} else if (type === BF16) {
		if (rows <= 2) add_bf16_2(p, values, count, D, out);
		else add_bf16_4(p, values, count, D, out);
	} else add_f32_4(p, values, count, D, out);
}
