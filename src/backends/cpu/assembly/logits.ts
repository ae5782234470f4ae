// A row of logits with the greatest of every 64 of them: what cannot matter is passed over 64 at a time, and filters and draw
// read little more than the tokens that count. A value is logit / temperature; filters are thresholds of values.
import { max4 } from "./simd";

export const CHUNK = 64;

@unmanaged
export class Logits {
	/** f32 [size], and three more words that may be read */
	at: usize;
	size: i32;
	temperature: f32;
	/** f32 [⌈size / 64⌉], of logits, not of values */
	maxima: usize;
	/** scratch: f64 [BINS] */
	bins: usize;
	/** scratch: f32 or i32 [size] */
	list: usize;
}

/** Fills in the maxima. @returns whether a logit is NaN; then they mean nothing */
export function findMaxima(logits: Logits): bool {
	const at = logits.at;
	const size = logits.size;
	const maxima = logits.maxima;
	const whole = size & ~3;
	let bad = i32x4.splat(0);
	for (let first = 0; first < size; first += CHUNK) {
		const end = min(first + CHUNK, whole);
		let peaks = f32x4.splat(-Infinity);
		let i = first;
		for (; i + 16 <= end; i += 16) {
			const a = v128.load(at + <usize>i * 4);
			const b = v128.load(at + <usize>i * 4, 16);
			const c = v128.load(at + <usize>i * 4, 32);
			const d = v128.load(at + <usize>i * 4, 48);
			bad = v128.or(bad, v128.or(v128.or(f32x4.ne(a, a), f32x4.ne(b, b)), v128.or(f32x4.ne(c, c), f32x4.ne(d, d))));
			peaks = f32x4.pmax(peaks, f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
		}
		for (; i < end; i += 4) {
			const a = v128.load(at + <usize>i * 4);
			bad = v128.or(bad, f32x4.ne(a, a));
			peaks = f32x4.pmax(peaks, a);
		}
		let peak = max4(peaks);
		for (; i < min(first + CHUNK, size); i++) {
			const logit = load<f32>(at + <usize>i * 4);
			if (isNaN(logit)) return true;
			peak = max(peak, logit);
		}
		store<f32>(maxima + <usize>(first / CHUNK) * 4, peak);
	}
	return v128.any_true(bad);
}

export function numChunks(logits: Logits): i32 {
	return (logits.size + CHUNK - 1) / CHUNK;
}

export function greatest(logits: Logits): f32 {
	let peak: f32 = -Infinity;
	for (let i = 0; i < numChunks(logits); i++) peak = max(peak, load<f32>(logits.maxima + <usize>i * 4));
	return peak;
}

/** The greatest value of the chunk that begins at token `first`. */
// @ts-ignore: decorator
@inline
export function chunkMaximum(logits: Logits, first: i32): f32 {
	return load<f32>(logits.maxima + <usize>(first / CHUNK) * 4) / logits.temperature;
}

/** Values of tokens i .. i+3. */
// @ts-ignore: decorator
@inline
export function values4(logits: Logits, i: i32): v128 {
	return f32x4.div(v128.load(logits.at + <usize>i * 4), f32x4.splat(logits.temperature));
}

// @ts-ignore: decorator
@inline
export function valueOf(logits: Logits, token: i32): f32 {
	return load<f32>(logits.at + <usize>token * 4) / logits.temperature;
}

/** Of four lanes from token i on, those that stand for tokens. */
// @ts-ignore: decorator
@inline
export function lanesOf(logits: Logits, i: i32): i32 {
	return (1 << min(4, logits.size - i)) - 1;
}

/** The lowest token whose value is `value` or more; one must be. */
export function firstFrom(logits: Logits, value: f32): i32 {
	const size = logits.size;
	for (let first = 0; first < size; first += CHUNK) {
		if (chunkMaximum(logits, first) < value) continue;
		for (let i = first; i < min(first + CHUNK, size); i++) if (valueOf(logits, i) >= value) return i;
	}
	return 0;
}

/** Lists the values of `floor` or more. @returns how many */
export function listFrom(logits: Logits, floor: f32): i32 {
	const size = logits.size;
	let count = 0;
	for (let first = 0; first < size; first += CHUNK) {
		if (chunkMaximum(logits, first) < floor) continue;
		for (let i = first; i < min(first + CHUNK, size); i += 4) {
			const reach = f32x4.ge(values4(logits, i), f32x4.splat(floor));
			count = listLanes(logits, i, i32x4.bitmask(reach), count);
		}
	}
	return count;
}

/** Lists the values of tokens i + l for every lane l set. @returns the new count */
// @ts-ignore: decorator
@inline
export function listLanes(logits: Logits, i: i32, lanes: i32, count: i32): i32 {
	for (let left = lanes & lanesOf(logits, i); left !== 0; left &= left - 1)
		store<f32>(logits.list + <usize>(count++) * 4, valueOf(logits, i + ctz(left)));
	return count;
}

/** Adds four f32 to two sums in f64: many small terms beside a large one would vanish in f32. */
// @ts-ignore: decorator
@inline
export function addWide(sums: v128, terms: v128): v128 {
	const upper = i8x16.shuffle(terms, terms, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
	return f64x2.add(sums, f64x2.add(f64x2.promote_low_f32x4(terms), f64x2.promote_low_f32x4(upper)));
}
