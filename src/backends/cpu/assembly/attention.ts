// attention: paged, causal, one KV head of one sequence at a time for all query heads that share it, so that each key and
// value is read once. Online softmax over the blocks of the cache (Milakov and Gimelshein 2018), up to 4 query rows together.
//
// A layer's cache is [block][kv head][2][blockSize][D]: keys, then values; D is the head size rounded up to 16, the rest zero.
import { addValuesOf, dotKeysOf, first8, KEYS, last8 } from "./attention-products";
import { F16, F32 } from "./format";
import { soft_cap } from "./gating";
import { floatToHalf } from "./simd";
import { scale_row, softmax_row, softmax_start, STATE_BYTES } from "./softmax";

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

/**
 * Reads a word of each cache line of the keys (offset 0) or values of `count` tokens from `first` on, so that they are on their way
 * while other work is done: the processor's own look-ahead ends with each 4 KiB page, here with each block.
 */
function touch(
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize, rowBytes: usize, first: i32, count: i32, offset: usize, sink: usize,
): void {
	let a: i32 = 0, b: i32 = 0, c: i32 = 0, d: i32 = 0;
	for (let j = 0; j < count; ) {
		const key = first + j;
		const inBlock = min(blockSize - (key % blockSize), count - j);
		let at = cache + <usize>load<i32>(blocks + <usize>(key / blockSize) * 4) * blockBytes + <usize>(key % blockSize) * rowBytes + offset;
		const end = at + <usize>inBlock * rowBytes;
		for (; at + 256 <= end; at += 256) {
			a |= load<i32>(at, 0);
			b |= load<i32>(at, 64);
			c |= load<i32>(at, 128);
			d |= load<i32>(at, 192);
		}
		for (; at < end; at += 64) a |= load<i32>(at);
		j += inBlock;
	}
	// Only so that the reads are not left out.
	store<i32>(sink, a | b | c | d);
}

/**
 * Query tokens [start, end) of one sequence, the `group` query heads of one KV head.
 * q: first query head of the group in qkv's row 0; blocks: the sequence's block ids; cache: the KV head's place in block 0;
 * window, softCap: 0 for none; sinks: 0, or the group's; out: the group's first head in row 0. scratch: (8·D + 4·KEYS + 64) f32, 16-byte aligned.
 */
export function attend(
	type: i32, q: usize, qRowBytes: usize, group: i32, headDim: i32,
	positions: usize, start: i32, end: i32,
	blocks: usize, blockSize: i32, cache: usize, blockBytes: usize,
	scale: f32, window: i32, softCap: f32, sinks: usize, out: usize, outRowBytes: usize, scratch: usize,
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
			softmax_start(states + <usize>r * STATE_BYTES, sinks, head);
		}
		const oldest = load<i32>(positions + <usize>(start + first / group) * 4);
		const lastKey = load<i32>(positions + <usize>(start + (first + rows - 1) / group) * 4);
		const firstKey = window > 0 ? max(0, oldest - window + 1) : 0;
		for (let chunk = firstKey; chunk <= lastKey; chunk += KEYS) {
			const count = min(KEYS, lastKey + 1 - chunk);
			touch(blocks, blockSize, cache, blockBytes, rowBytes, chunk, count, valuesOffset, halves);
			for (let j = 0; j < count; ) {
				const key = chunk + j;
				const inBlock = min(blockSize - (key % blockSize), count - j);
				const at = cache + <usize>load<i32>(blocks + <usize>(key / blockSize) * 4) * blockBytes + <usize>(key % blockSize) * rowBytes;
				dotKeysOf(type, rows, queries, at, inBlock, D, scores + <usize>j * 4, halves);
				j += inBlock;
			}
			touch(blocks, blockSize, cache, blockBytes, rowBytes, chunk + KEYS, min(KEYS, lastKey + 1 - chunk - KEYS), 0, halves);
			for (let r = 0; r < rows; r++) {
				const position = load<i32>(positions + <usize>(start + (first + r) / group) * 4);
				const from = window > 0 ? position - window + 1 - chunk : 0;
				const row = scores + <usize>r * KEYS * 4;
				if (softCap !== 0) soft_cap(row, count, softCap);
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
