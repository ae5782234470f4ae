// attention for many query rows (prefill): keys and values of 64 positions are brought to f32 panels once and met with all rows of
// the item by the matrix kernels, as flash attention does with its tiles (Dao et al. 2022).
import { quarterOf } from "./attention";
import { KEYS } from "./attention-products";
import { F32, tile } from "./format";
import { soft_cap } from "./gating";
import { scale_row, softmax_row, softmax_start, STATE_BYTES } from "./softmax";

const PANEL_BYTES: usize = 64;

/**
 * As `attend`, for any number of query rows.
 * scratch: see ../scratch.ts, tilesScratch; 64-byte aligned.
 */
export function attend_tiles(
	type: i32, q: usize, qRowBytes: usize, group: i32, headDim: i32,
	positions: usize, start: i32, end: i32,
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	scale: f32, window: i32, softCap: f32, sinks: usize, out: usize, outRowBytes: usize, scratch: usize,
): void {
	const rows = (end - start) * group;
	const groups = (rows + 3) >> 2;
	const D = <usize>((headDim + 15) & ~15);
	const queries = scratch;
	const sums = queries + <usize>groups * 16 * D;
	const states = sums + <usize>groups * 16 * D;
	const lasts = states + <usize>groups * 4 * STATE_BYTES;
	const keys = (lasts + <usize>groups * 16 + 63) & ~63;
	const values = keys + <usize>KEYS * D * 4;
	const scores = values + <usize>KEYS * D * 4;
	const probabilities = scores + KEYS * 16;
	const product = probabilities + KEYS * 16;

	memory.fill(scratch, 0, <usize>groups * 32 * D);
	for (let r = 0; r < groups * 4; r++) {
		const valid = r < rows;
		const t = start + r / group;
		const position = valid ? load<i32>(positions + <usize>t * 4) : -1;
		softmax_start(states + <usize>r * STATE_BYTES, sinks, r % group);
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
			if (softCap !== 0) soft_cap(scores, (count + 15) / 16 * 64, softCap);
			const o = sums + at * D;
			for (let r: usize = 0; r < 4; r++) {
				const last = load<i32>(lasts + at + r * 4);
				const from = window > 0 ? last - window + 1 - chunk : 0;
				const state = states + (<usize>g * 4 + r) * STATE_BYTES;
				const shrink = softmax_row(scores + r * PANEL_BYTES, 4 * PANEL_BYTES, count, from, last + 1 - chunk, 1, state);
				if (shrink !== 1) scale_row(o + r * D * 4, D, shrink);
			}
			transpose(scores, count, probabilities);
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
		scale_row(from, D, <f32>1 / load<f32>(states + <usize>r * STATE_BYTES, 4));
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
	if ((count & 15) !== 0) memory.fill(keys, 0, <usize>KEYS * D * 4);
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

/** Tiles f32 [4 rows][16 keys] → f32 [keys][4 rows]. */
function transpose(tiles: usize, count: i32, to: usize): void {
	for (let j = 0; j < count; j += 4) {
		const at = tiles + <usize>(j >> 4) * 4 * PANEL_BYTES + <usize>(j & 15) * 4;
		const a = v128.load(at, 0);
		const b = v128.load(at, 64);
		const c = v128.load(at, 128);
		const d = v128.load(at, 192);
		const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
		const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
		const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
		const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
		const key = to + <usize>j * 16;
		v128.store(key, i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 0);
		v128.store(key, i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 16);
		v128.store(key, i8x16.shuffle(ab1, cd1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 32);
		v128.store(key, i8x16.shuffle(ab1, cd1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 48);
	}
}
