// attention: paged, causal, one KV head of one sequence at a time for all query heads that share it, so that each key and
// value is read once. Online softmax over the blocks of the cache (Milakov and Gimelshein 2018), up to 4 query rows together.
//
// A layer's cache is [block][kv head][2][blockSize][D]: keys, then values; D is the head size rounded up to 16, the rest zero.
import { BF16, F16, F32 } from "./format";
import { floatToHalf, madd, sum4 } from "./simd";
import { scale_row, softmax_row, softmax_start, STATE_BYTES } from "./softmax";

/** Keys whose scores stand together. */
export const KEYS = 64;

/** Elements 0..3 (part 0) or 4..7 (part 1) of the sixteen at `at`. f16 comes 2^112 times too small: see TINY. */
// @ts-ignore: decorator
@inline
function first8(at: usize, part: usize, type: i32): v128 {
	const four = v128.load(at + part * 16);
	if (type === F32) return four;
	if (type === BF16) return i32x4.shl(four, 16);
	return v128.and(i32x4.shr_s(i32x4.shl(four, 16), 3), i32x4.splat(0x8fffe000));
}

/** Elements 8..11 (part 0) or 12..15 (part 1). */
// @ts-ignore: decorator
@inline
function last8(at: usize, part: usize, type: i32): v128 {
	if (type === F32) return v128.load(at + part * 16, 32);
	const four = v128.load(at + part * 16);
	if (type === BF16) return v128.and(four, i32x4.splat(0xffff0000));
	return v128.and(i32x4.shr_s(four, 3), i32x4.splat(0x8fffe000));
}

/**
 * f16 bits in f32's places are the number times 2^-112. The factor is left to the queries (2^112) and, in two parts that keep
 * every product in the range of normal numbers, to the probabilities (2^60) and the finished sums (2^52).
 */
// @ts-ignore: decorator
@inline
const TINY_QUERIES: f32 = 5192296858534828e18;
// @ts-ignore: decorator
@inline
const TINY_PROBABILITIES: f32 = 1152921504606846976;
// @ts-ignore: decorator
@inline
const TINY_SUMS: f32 = 4503599627370496;

/** Stores headDim f32 as the cache's type: sixteen 16-bit elements are 8 words, element e low and e + 8 high. */
export function write_cache(type: i32, from: usize, headDim: i32, to: usize): void {
	for (let i: usize = 0; i < <usize>headDim; i++) {
		const value = load<f32>(from + i * 4);
		if (type === F32) {
			store<f32>(to + i * 4, value);
			continue;
		}
		const at = to + (i & ~15) * 2 + (i & 7) * 4 + ((i >> 3) & 1) * 2;
		if (type === F16) store<u16>(at, floatToHalf(value));
		else {
			const bits = reinterpret<u32>(value);
			store<u16>(at, <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
		}
	}
}

/** Sixteen elements of a cached row as f32, to `to`, `to + 16` .. apart by `stride` bytes for the gatherer's four quarters. */
// @ts-ignore: decorator
@inline
export function quarterOf(at: usize, quarter: i32, type: i32): v128 {
	const part = <usize>(quarter & 1);
	const four = quarter < 2 ? first8(at, part, type) : last8(at, part, type);
	return type === F16 ? f32x4.mul(four, f32x4.splat(TINY_QUERIES)) : four;
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

function dotKeysOf(type: i32, rows: i32, q: usize, keys: usize, count: i32, D: usize, scores: usize, halves: usize): void {
	if (type === F16) {
		if (rows === 1) dotKeys(F16, 1, q, keys, count, D, scores, halves);
		else if (rows === 2) dotKeys(F16, 2, q, keys, count, D, scores, halves);
		else dotKeys(F16, 4, q, keys, count, D, scores, halves);
	} else if (type === BF16) {
		if (rows <= 2) dotKeys(BF16, 2, q, keys, count, D, scores, halves);
		else dotKeys(BF16, 4, q, keys, count, D, scores, halves);
	} else dotKeys(F32, 4, q, keys, count, D, scores, halves);
}

function addValuesOf(type: i32, rows: i32, p: usize, values: usize, count: i32, D: usize, out: usize): void {
	if (type === F16) {
		if (rows === 1) addValues(F16, 1, p, values, count, D, out);
		else if (rows === 2) addValues(F16, 2, p, values, count, D, out);
		else addValues(F16, 4, p, values, count, D, out);
	} else if (type === BF16) {
		if (rows <= 2) addValues(BF16, 2, p, values, count, D, out);
		else addValues(BF16, 4, p, values, count, D, out);
	} else addValues(F32, 4, p, values, count, D, out);
}

/**
 * Query tokens [start, end) of one sequence, the `group` query heads of one KV head.
 * q: first query head of the group in qkv's row 0; blocks: the sequence's block ids; cache: the KV head's place in block 0;
 * window: 0 for none; out: the group's first head in row 0. scratch: (8·D + 4·KEYS + 64) f32, 16-byte aligned.
 */
export function attend(
	type: i32, q: usize, qRowBytes: usize, group: i32, headDim: i32,
	positions: usize, start: i32, end: i32,
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	scale: f32, window: i32, out: usize, outRowBytes: usize, scratch: usize,
): void {
	const D = <usize>((headDim + 15) & ~15);
	const elementBytes: usize = type === F32 ? 4 : 2;
	const rowBytes = D * elementBytes;
	const valuesOffset = <usize>blockSize * rowBytes;
	const queries = scratch;
	const sums = queries + D * 16;
	const halves = sums + D * 16;
	const states = halves + 128;
	const scores = states + 64;
	const queryScale = type === F16 ? scale * TINY_QUERIES : scale;
	const pScale: f32 = type === F16 ? TINY_PROBABILITIES : 1;
	const sumScale: f32 = type === F16 ? TINY_SUMS : 1;
	const total = (end - start) * group;
	for (let first = 0; first < total; first += 4) {
		const rows = min(4, total - first);
		memory.fill(queries, 0, D * 32);
		for (let r = 0; r < rows; r++) {
			const t = start + (first + r) / group;
			const head = (first + r) % group;
			const from = q + <usize>t * qRowBytes + <usize>head * <usize>headDim * 4;
			for (let i: usize = 0; i < <usize>headDim; i++)
				store<f32>(queries + (<usize>r * D + i) * 4, load<f32>(from + i * 4) * queryScale);
			softmax_start(states + <usize>r * STATE_BYTES);
		}
		const oldest = load<i32>(positions + <usize>(start + first / group) * 4);
		const lastKey = load<i32>(positions + <usize>(start + (first + rows - 1) / group) * 4);
		const firstKey = window > 0 ? max(0, oldest - window + 1) : 0;
		for (let chunk = firstKey; chunk <= lastKey; chunk += KEYS) {
			const count = min(KEYS, lastKey + 1 - chunk);
			for (let j = 0; j < count; ) {
				const key = chunk + j;
				const inBlock = min(blockSize - (key % blockSize), count - j);
				const at = cache + <usize>load<i32>(blocks + <usize>(key / blockSize) * 4) * blockBytes + <usize>(key % blockSize) * rowBytes;
				dotKeysOf(type, rows, queries, at, inBlock, D, scores + <usize>j * 4, halves);
				j += inBlock;
			}
			for (let r = 0; r < rows; r++) {
				const position = load<i32>(positions + <usize>(start + (first + r) / group) * 4);
				const from = window > 0 ? position - window + 1 - chunk : 0;
				const row = scores + <usize>r * KEYS * 4;
				const shrink = softmax_row(row, 64, count, from, position + 1 - chunk, pScale, states + <usize>r * STATE_BYTES);
				if (shrink !== 1) scale_row(sums + <usize>r * D * 4, D, shrink);
			}
			for (let j = 0; j < count; ) {
				const key = chunk + j;
				const inBlock = min(blockSize - (key % blockSize), count - j);
				const at = cache + <usize>load<i32>(blocks + <usize>(key / blockSize) * 4) * blockBytes + <usize>(key % blockSize) * rowBytes;
				addValuesOf(type, rows, scores + <usize>j * 4, at + valuesOffset, inBlock, D, sums);
				j += inBlock;
			}
		}
		for (let r = 0; r < rows; r++) {
			const t = start + (first + r) / group;
			const head = (first + r) % group;
			scale_row(sums + <usize>r * D * 4, D, sumScale / load<f32>(states + <usize>r * STATE_BYTES, 4));
			const to = out + <usize>t * outRowBytes + <usize>head * <usize>headDim * 4;
			memory.copy(to, sums + <usize>r * D * 4, <usize>headDim * 4);
		}
	}
}
