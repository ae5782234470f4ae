// attention: paged, causal, one KV head of one sequence at a time for all query heads that share it, so that each key and
// value is read once. Online softmax over the blocks of the cache (Milakov and Gimelshein 2018), up to 4 query rows together.
//
// A layer's cache is [block][kv head][2][blockSize][D]: keys, then values; D is the head size rounded up to 8, the rest zero.
import { BF16, F16, F32 } from "./format";
import { bfloatHigh, bfloatLow, exp4, floatToHalf, halfHigh, halfLow, madd, sum4 } from "./simd";

// @ts-ignore: decorator
@inline
function low4(at: usize, type: i32): v128 {
	if (type === F32) return v128.load(at);
	return type === F16 ? halfLow(v128.load(at)) : bfloatLow(v128.load(at));
}

// @ts-ignore: decorator
@inline
function high4(at: usize, type: i32): v128 {
	if (type === F32) return v128.load(at, 16);
	return type === F16 ? halfHigh(v128.load(at)) : bfloatHigh(v128.load(at));
}

/** Stores headDim f32 as the cache's type. */
export function write_cache(type: i32, from: usize, headDim: i32, to: usize): void {
	for (let i: usize = 0; i < <usize>headDim; i++) {
		const value = load<f32>(from + i * 4);
		if (type === F32) store<f32>(to + i * 4, value);
		else if (type === F16) store<u16>(to + i * 2, floatToHalf(value));
		else {
			const bits = reinterpret<u32>(value);
			store<u16>(to + i * 2, <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
		}
	}
}

/** scores[j] (v128, a lane a row) = q rows · key j, for `count` keys. q: f32 [4][D] */
// @ts-ignore: decorator
@inline
function dotKeys(type: i32, rows: i32, q: usize, keys: usize, count: i32, D: usize, scores: usize): void {
	const size: usize = type === F32 ? 4 : 2;
	const row = D * size;
	for (let j = 0; j < count; j += 2) {
		// The second key of an odd last pair is computed and overwritten by nobody: the block has room for it.
		let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
		const next = j + 1 < count ? row : 0;
		for (let i: usize = 0; i < D; i += 8) {
			const k0 = low4(keys + i * size, type);
			const k1 = high4(keys + i * size, type);
			const n0 = low4(keys + next + i * size, type);
			const n1 = high4(keys + next + i * size, type);
			let x = v128.load(q + i * 4, 0);
			let y = v128.load(q + i * 4, 16);
			a0 = madd(y, k1, madd(x, k0, a0));
			b0 = madd(y, n1, madd(x, n0, b0));
			if (rows > 1) {
				x = v128.load(q + (D + i) * 4, 0);
				y = v128.load(q + (D + i) * 4, 16);
				a1 = madd(y, k1, madd(x, k0, a1));
				b1 = madd(y, n1, madd(x, n0, b1));
			}
			if (rows > 2) {
				x = v128.load(q + (2 * D + i) * 4, 0);
				y = v128.load(q + (2 * D + i) * 4, 16);
				a2 = madd(y, k1, madd(x, k0, a2));
				b2 = madd(y, n1, madd(x, n0, b2));
				x = v128.load(q + (3 * D + i) * 4, 0);
				y = v128.load(q + (3 * D + i) * 4, 16);
				a3 = madd(y, k1, madd(x, k0, a3));
				b3 = madd(y, n1, madd(x, n0, b3));
			}
		}
		const at = scores + <usize>j * 16;
		store<f32>(at, sum4(a0), 0);
		if (rows > 1) store<f32>(at, sum4(a1), 4);
		if (rows > 2) {
			store<f32>(at, sum4(a2), 8);
			store<f32>(at, sum4(a3), 12);
		}
		store<f32>(at, sum4(b0), 16);
		if (rows > 1) store<f32>(at, sum4(b1), 20);
		if (rows > 2) {
			store<f32>(at, sum4(b2), 24);
			store<f32>(at, sum4(b3), 28);
		}
		keys += 2 * row;
	}
}

/** out[r] += Σ_j p[j][r] · value j.  out: f32 [4][D] */
// @ts-ignore: decorator
@inline
function addValues(type: i32, rows: i32, p: usize, values: usize, count: i32, D: usize, out: usize): void {
	const size: usize = type === F32 ? 4 : 2;
	for (let i: usize = 0; i < D; i += 8) {
		const at = out + i * 4;
		let a0 = v128.load(at), b0 = v128.load(at, 16);
		let a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0;
		if (rows > 1) {
			a1 = v128.load(at + D * 4);
			b1 = v128.load(at + D * 4, 16);
		}
		if (rows > 2) {
			a2 = v128.load(at + D * 8);
			b2 = v128.load(at + D * 8, 16);
			a3 = v128.load(at + D * 12);
			b3 = v128.load(at + D * 12, 16);
		}
		for (let j: usize = 0; j < <usize>count; j++) {
			const value = values + (j * D + i) * size;
			const v0 = low4(value, type);
			const v1 = high4(value, type);
			let w = v128.load32_splat(p + j * 16, 0);
			a0 = madd(w, v0, a0);
			b0 = madd(w, v1, b0);
			if (rows > 1) {
				w = v128.load32_splat(p + j * 16, 4);
				a1 = madd(w, v0, a1);
				b1 = madd(w, v1, b1);
			}
			if (rows > 2) {
				w = v128.load32_splat(p + j * 16, 8);
				a2 = madd(w, v0, a2);
				b2 = madd(w, v1, b2);
				w = v128.load32_splat(p + j * 16, 12);
				a3 = madd(w, v0, a3);
				b3 = madd(w, v1, b3);
			}
		}
		v128.store(at, a0);
		v128.store(at, b0, 16);
		if (rows > 1) {
			v128.store(at + D * 4, a1);
			v128.store(at + D * 4, b1, 16);
		}
		if (rows > 2) {
			v128.store(at + D * 8, a2);
			v128.store(at + D * 8, b2, 16);
			v128.store(at + D * 12, a3);
			v128.store(at + D * 12, b3, 16);
		}
	}
}

function dotKeysOf(type: i32, rows: i32, q: usize, keys: usize, count: i32, D: usize, scores: usize): void {
	if (type === BF16) {
		if (rows === 1) dotKeys(BF16, 1, q, keys, count, D, scores);
		else if (rows === 2) dotKeys(BF16, 2, q, keys, count, D, scores);
		else dotKeys(BF16, 4, q, keys, count, D, scores);
	} else if (type === F16) {
		if (rows <= 2) dotKeys(F16, 2, q, keys, count, D, scores);
		else dotKeys(F16, 4, q, keys, count, D, scores);
	} else dotKeys(F32, 4, q, keys, count, D, scores);
}

function addValuesOf(type: i32, rows: i32, p: usize, values: usize, count: i32, D: usize, out: usize): void {
	if (type === BF16) {
		if (rows === 1) addValues(BF16, 1, p, values, count, D, out);
		else if (rows === 2) addValues(BF16, 2, p, values, count, D, out);
		else addValues(BF16, 4, p, values, count, D, out);
	} else if (type === F16) {
		if (rows <= 2) addValues(F16, 2, p, values, count, D, out);
		else addValues(F16, 4, p, values, count, D, out);
	} else addValues(F32, 4, p, values, count, D, out);
}

/**
 * Query tokens [start, end) of one sequence, the `group` query heads of one KV head.
 * q: first query head of the group in qkv's row 0; blocks: the sequence's block ids; cache: the KV head's place in block 0;
 * window: 0 for none; out: the group's first head in row 0. scratch: (8·D + 8·blockSize + 32) f32, 16-byte aligned.
 */
export function attend(
	type: i32, q: usize, qRowBytes: usize, group: i32, headDim: i32,
	positions: usize, start: i32, end: i32,
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	scale: f32, window: i32, out: usize, outRowBytes: usize, scratch: usize,
): void {
	const D = <usize>((headDim + 7) & ~7);
	const elementBytes: usize = type === F32 ? 4 : 2;
	const valuesOffset = <usize>blockSize * D * elementBytes;
	const queries = scratch;
	const sums = queries + D * 16;
	const scores = sums + D * 16;
	const total = (end - start) * group;
	for (let first = 0; first < total; first += 4) {
		const rows = min(4, total - first);
		memory.fill(queries, 0, D * 32);
		let lastKey = 0;
		let firstKey = i32.MAX_VALUE;
		let last = i32x4.splat(-1);
		for (let r = 0; r < rows; r++) {
			const t = start + (first + r) / group;
			const head = (first + r) % group;
			const from = q + <usize>t * qRowBytes + <usize>head * <usize>headDim * 4;
			for (let i: usize = 0; i < <usize>headDim; i++)
				store<f32>(queries + (<usize>r * D + i) * 4, load<f32>(from + i * 4) * scale);
			const position = load<i32>(positions + <usize>t * 4);
			lastKey = max(lastKey, position);
			firstKey = min(firstKey, window > 0 ? max(0, position - window + 1) : 0);
			if (r === 0) last = i32x4.replace_lane(last, 0, position);
			else if (r === 1) last = i32x4.replace_lane(last, 1, position);
			else if (r === 2) last = i32x4.replace_lane(last, 2, position);
			else last = i32x4.replace_lane(last, 3, position);
		}
		const earliest = i32x4.sub(last, i32x4.splat(window > 0 ? window - 1 : i32.MAX_VALUE >> 1));
		let greatest = f32x4.splat(-1e30);
		let weight = f32x4.splat(0);
		for (let b = firstKey / blockSize; b <= lastKey / blockSize; b++) {
			const block = cache + <usize>load<i32>(blocks + <usize>b * 4) * blockBytes;
			const count = min(blockSize, lastKey + 1 - b * blockSize);
			dotKeysOf(type, rows, queries, block, count, D, scores);
			let peak = greatest;
			for (let j = 0; j < count; j++) {
				const key = i32x4.splat(b * blockSize + j);
				const hidden = v128.or(i32x4.gt_s(key, last), i32x4.lt_s(key, earliest));
				const at = scores + <usize>j * 16;
				const score = v128.bitselect(f32x4.splat(-Infinity), v128.load(at), hidden);
				v128.store(at, score);
				peak = f32x4.max(peak, score);
			}
			const shrink = exp4(f32x4.sub(greatest, peak));
			if (v128.any_true(f32x4.gt(peak, greatest))) rescale(sums, D, rows, shrink);
			weight = f32x4.mul(weight, shrink);
			greatest = peak;
			for (let j = 0; j < count; j++) {
				const at = scores + <usize>j * 16;
				const p = exp4(f32x4.sub(v128.load(at), greatest));
				v128.store(at, p);
				weight = f32x4.add(weight, p);
			}
			addValuesOf(type, rows, scores, block + valuesOffset, count, D, sums);
		}
		rescale(sums, D, rows, f32x4.div(f32x4.splat(1), weight));
		for (let r = 0; r < rows; r++) {
			const t = start + (first + r) / group;
			const head = (first + r) % group;
			const to = out + <usize>t * outRowBytes + <usize>head * <usize>headDim * 4;
			memory.copy(to, sums + <usize>r * D * 4, <usize>headDim * 4);
		}
	}
}

/** sums[r] *= factors[r] */
function rescale(sums: usize, D: usize, rows: i32, factors: v128): void {
	for (let r = 0; r < rows; r++) {
		let factor: f32;
		if (r === 0) factor = f32x4.extract_lane(factors, 0);
		else if (r === 1) factor = f32x4.extract_lane(factors, 1);
		else if (r === 2) factor = f32x4.extract_lane(factors, 2);
		else factor = f32x4.extract_lane(factors, 3);
		const f = f32x4.splat(factor);
		const at = sums + <usize>r * D * 4;
		for (let i: usize = 0; i < D * 4; i += 16) v128.store(at + i, f32x4.mul(v128.load(at + i), f));
	}
}
