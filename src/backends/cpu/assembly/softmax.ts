// One query row's scores of a chunk of keys → probabilities, under the online softmax (Milakov and Gimelshein 2018).
import { exp4, max4, sum4 } from "./simd";

/** A row's state: f32 peak, f32 weight (Σ e^(score − peak) so far). */
export const STATE_BYTES: usize = 8;

/** sinks: 0, or f32 by head: a sink is a score met before all others, whose value is zero. */
export function softmax_start(state: usize, sinks: usize, head: i32): void {
	// Low enough for every score, and a number, so that a row that sees no key of a chunk makes no NaN.
	store<f32>(state, sinks === 0 ? <f32>-1e30 : load<f32>(sinks + <usize>head * 4));
	store<f32>(state, sinks === 0 ? 0 : 1, 4);
}

/**
 * In place: scores[j] → scale · e^(scores[j] − peak) for keys j in [from, to), 0 for the others up to `count` rounded up to 8.
 * Sixteen keys lie together, the next sixteen `stride` bytes on.
 * @returns what sums made under the old peak must be multiplied by
 */
export function softmax_row(scores: usize, stride: usize, count: i32, from: i32, to: i32, scale: f32, state: usize): f32 {
	const before = load<f32>(state);
	let peak0 = f32x4.splat(before);
	let peak1 = peak0;
	for (let j = 0; j < count; j += 8) {
		const at = scores + <usize>(j >> 4) * stride + <usize>(j & 15) * 4;
		if (j < from || j + 8 > to) hide(at, from - j, to - j);
		peak0 = f32x4.max(peak0, v128.load(at, 0));
		peak1 = f32x4.max(peak1, v128.load(at, 16));
	}
	const after = max4(f32x4.max(peak0, peak1));
	const peak = f32x4.splat(after);
	const factor = f32x4.splat(scale);
	let total0 = f32x4.splat(0);
	let total1 = total0;
	for (let j = 0; j < count; j += 8) {
		const at = scores + <usize>(j >> 4) * stride + <usize>(j & 15) * 4;
		const p0 = exp4(f32x4.sub(v128.load(at, 0), peak));
		const p1 = exp4(f32x4.sub(v128.load(at, 16), peak));
		total0 = f32x4.add(total0, p0);
		total1 = f32x4.add(total1, p1);
		v128.store(at, f32x4.mul(p0, factor), 0);
		v128.store(at, f32x4.mul(p1, factor), 16);
	}
	const shrink: f32 = after > before ? f32x4.extract_lane(exp4(f32x4.splat(before - after)), 0) : 1;
	store<f32>(state, after);
	store<f32>(state, load<f32>(state, 4) * shrink + sum4(f32x4.add(total0, total1)), 4);
	return shrink;
}

/** Sets those of eight scores outside [from, to) to minus infinity. */
function hide(at: usize, from: i32, to: i32): void {
	for (let i = 0; i < 8; i++) if (i < from || i >= to) store<f32>(at + <usize>i * 4, -Infinity);
}

/** x[i] *= factor for n floats, a multiple of 16. */
export function scale_row(x: usize, n: usize, factor: f32): void {
	const f = f32x4.splat(factor);
	for (let i: usize = 0; i < n * 4; i += 32) {
		const low = f32x4.mul(v128.load(x + i, 0), f);
		const high = f32x4.mul(v128.load(x + i, 16), f);
		v128.store(x + i, low, 0);
		v128.store(x + i, high, 16);
	}
}
