// attention for many query rows (prefill): keys and values of 64 positions are brought to f32 panels once and met with all rows of
// the item by the matrix kernels, as flash attention does with its tiles (Dao et al. 2022).
import { quarterOf } from "./attention";
import { F32, tile } from "./format";
import { exp4, max4, sum4 } from "./simd";

/** Keys met at a time: 4 panels of 16. */
const KEYS = 64;
const PANEL_BYTES: usize = 64;

/**
 * As `attend`, for any number of query rows.
 * scratch: see ../plan.ts, tilesScratch; 64-byte aligned.
 */
export function attend_tiles(
	type: i32, q: usize, qRowBytes: usize, group: i32, headDim: i32,
	positions: usize, start: i32, end: i32,
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	scale: f32, window: i32, out: usize, outRowBytes: usize, scratch: usize,
): void {
	const rows = (end - start) * group;
	const groups = (rows + 3) >> 2;
	const D = <usize>((headDim + 15) & ~15);
	const queries = scratch;
	const sums = queries + <usize>groups * 16 * D;
	const peaks = sums + <usize>groups * 16 * D;
	const weights = peaks + <usize>groups * 16;
	const lasts = weights + <usize>groups * 16;
	const keys = (lasts + <usize>groups * 16 + 63) & ~63;
	const values = keys + KEYS * D * 4;
	const scores = values + KEYS * D * 4;
	const probabilities = scores + KEYS * 16;
	const product = probabilities + KEYS * 16;

	memory.fill(scratch, 0, <usize>groups * 32 * D);
	for (let r = 0; r < groups * 4; r++) {
		const valid = r < rows;
		const t = start + r / group;
		const position = valid ? load<i32>(positions + <usize>t * 4) : -1;
		store<f32>(peaks + <usize>r * 4, -1e30);
		store<f32>(weights + <usize>r * 4, 0);
		store<i32>(lasts + <usize>r * 4, position);
		if (!valid) continue;
		const from = q + <usize>t * qRowBytes + <usize>(r % group) * <usize>headDim * 4;
		const to = queries + <usize>(r >> 2) * 16 * D + <usize>(r & 3) * 4;
		for (let i: usize = 0; i < <usize>headDim; i++) store<f32>(to + i * 16, load<f32>(from + i * 4) * scale);
	}
	const lastKey = load<i32>(positions + <usize>(end - 1) * 4);
	const firstPosition = load<i32>(positions + <usize>start * 4);
	const firstKey = window > 0 ? max(0, firstPosition - window + 1) : 0;

	for (let chunk = firstKey - (firstKey & (KEYS - 1)); chunk <= lastKey; chunk += KEYS) {
		const count = min(KEYS, lastKey + 1 - chunk);
		gather(type, D, blocks, blockSize, cache, blockBytes, chunk, count, keys, values);
		for (let g = 0; g < groups; g++) {
			const at = <usize>g * 16;
			if (greatestOf(lasts + at) < chunk) continue;
			const x = queries + at * D;
			for (let p = 0; p < count; p += 16)
				tile(F32, x, keys + <usize>p * D * 4, <i32>D, scores + <usize>p * 16);
			const o = sums + at * D;
			softmax(scores, probabilities, chunk, count, lasts + at, window, peaks + at, weights + at, o, D);
			for (let d: usize = 0; d < D; d += 16) {
				tile(F32, probabilities, values + d * KEYS * 4, count, product);
				for (let r: usize = 0; r < 4; r++)
					for (let i: usize = 0; i < PANEL_BYTES; i += 16) {
						const to = o + r * D * 4 + d * 4 + i;
						v128.store(to, f32x4.add(v128.load(to), v128.load(product + r * PANEL_BYTES + i)));
					}
			}
		}
	}
	for (let r = 0; r < rows; r++) {
		const from = sums + <usize>r * D * 4;
		const inverse = f32x4.splat(<f32>1 / load<f32>(weights + <usize>r * 4));
		for (let i: usize = 0; i < D * 4; i += 16) v128.store(from + i, f32x4.mul(v128.load(from + i), inverse));
		const to = out + <usize>(start + r / group) * outRowBytes + <usize>(r % group) * <usize>headDim * 4;
		memory.copy(to, from, <usize>headDim * 4);
	}
}

/** The greatest of four i32. */
function greatestOf(at: usize): i32 {
	return max(max(load<i32>(at), load<i32>(at, 4)), max(load<i32>(at, 8), load<i32>(at, 12)));
}

/** Keys into panels [16 keys each][D][16], values into panels [16 of D each][64 keys][16]; what is missing of a panel of keys is zero. */
function gather(
	type: i32, D: usize, blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	chunk: i32, count: i32, keys: usize, values: usize,
): void {
	const size: usize = type === F32 ? 4 : 2;
	const valuesOffset = <usize>blockSize * D * size;
	if ((count & 15) !== 0) memory.fill(keys, 0, KEYS * D * 4);
	for (let j = 0; j < count; j++) {
		const p = chunk + j;
		const block = cache + <usize>load<i32>(blocks + <usize>(p / blockSize) * 4) * blockBytes;
		const key = block + <usize>(p % blockSize) * D * size;
		const value = key + valuesOffset;
		const keyTo = keys + <usize>(j >> 4) * 16 * D * 4 + <usize>(j & 15) * 4;
		const valueTo = values + <usize>j * PANEL_BYTES;
		for (let d: usize = 0; d < D; d += 16) {
			const panel = valueTo + d * KEYS * 4;
			for (let quarter = 0; quarter < 4; quarter++) {
				const k = quarterOf(key + d * size, quarter, type);
				const to = keyTo + (d + <usize>quarter * 4) * PANEL_BYTES;
				v128.store32_lane(to, k, 0, 0);
				v128.store32_lane(to, k, 1, 64);
				v128.store32_lane(to, k, 2, 128);
				v128.store32_lane(to, k, 3, 192);
				v128.store(panel + <usize>quarter * 16, quarterOf(value + d * size, quarter, type));
			}
		}
	}
}

/**
 * Turns a chunk's scores (tiles f32 [4 rows][16 keys]) into probabilities (f32 [keys][4 rows]) under the online softmax: raises
 * the rows' peaks, shrinks their weights and sums o (f32 [4][D]) where a peak rose.
 */
function softmax(
	scores: usize, probabilities: usize, chunk: i32, count: i32, lasts: usize, window: i32,
	peaks: usize, weights: usize, o: usize, D: usize,
): void {
	const whole = (count + 3) & ~3;
	for (let r: usize = 0; r < 4; r++) {
		const last = load<i32>(lasts + r * 4);
		const first = window > 0 ? last - window + 1 : 0;
		const row = scores + r * PANEL_BYTES;
		// Keys of this chunk the row sees: [from, to).
		const from = max(0, first - chunk);
		const to = min(count, last + 1 - chunk);
		let peak = f32x4.splat(load<f32>(peaks + r * 4));
		const before = f32x4.extract_lane(peak, 0);
		for (let j = 0; j < whole; j += 4) {
			const at = row + <usize>(j >> 4) * 256 + <usize>(j & 15) * 4;
			let s = v128.load(at);
			if (j < from || j + 4 > to) {
				const key = i32x4.add(i32x4.splat(j), i32x4(0, 1, 2, 3));
				const hidden = v128.or(i32x4.lt_s(key, i32x4.splat(from)), i32x4.ge_s(key, i32x4.splat(to)));
				s = v128.bitselect(f32x4.splat(-Infinity), s, hidden);
				v128.store(at, s);
			}
			peak = f32x4.max(peak, s);
		}
		const after = max4(peak);
		const greatest = f32x4.splat(after);
		let total = f32x4.splat(0);
		for (let j = 0; j < whole; j += 4) {
			const p = exp4(f32x4.sub(v128.load(row + <usize>(j >> 4) * 256 + <usize>(j & 15) * 4), greatest));
			total = f32x4.add(total, p);
			const at = probabilities + <usize>j * 16 + r * 4;
			v128.store32_lane(at, p, 0, 0);
			v128.store32_lane(at, p, 1, 16);
			v128.store32_lane(at, p, 2, 32);
			v128.store32_lane(at, p, 3, 48);
		}
		let weight = load<f32>(weights + r * 4);
		if (after > before) {
			const shrink = f32x4.extract_lane(exp4(f32x4.splat(before - after)), 0);
			weight *= shrink;
			const factor = f32x4.splat(shrink);
			const row = o + r * D * 4;
			for (let i: usize = 0; i < D * 4; i += 16) v128.store(row + i, f32x4.mul(v128.load(row + i), factor));
			store<f32>(peaks + r * 4, after);
		}
		store<f32>(weights + r * 4, weight + sum4(total));
	}
}
