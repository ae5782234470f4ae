// How gate and up become one number, by the numbers of ../kernels.ts's GATING; and the soft cap, which is tanh's other use.
import { exp4, madd } from "./simd";

const GELU_TANH = 1;
const CLAMPED_SWIGLU = 2;

/** In place: sixteen gates at `at`, their ups 256 bytes on. limit: of CLAMPED_SWIGLU */
export function gate_row(gating: i32, limit: f32, at: usize): void {
	for (let i: usize = 0; i < 64; i += 16)
		v128.store(at + i, gated(gating, limit, v128.load(at + i), v128.load(at + i, 256)));
}

/** out[t] = the gates of x[t], the first half of its 2 · width elements, with the ups behind them, for rows [start, end). */
export function gate_rows(gating: i32, x: usize, width: i32, start: i32, end: i32, out: usize): void {
	const bytes = <usize>width * 4;
	for (let t = start; t < end; t++) {
		const gate = x + <usize>t * 2 * bytes;
		const up = gate + bytes;
		const to = out + <usize>t * bytes;
		let i: usize = 0;
		for (; i + 16 <= bytes; i += 16) v128.store(to + i, gated(gating, 0, v128.load(gate + i), v128.load(up + i)));
		for (; i < bytes; i += 4) v128.store_lane<f32>(to + i, gated(gating, 0, v128.load32_splat(gate + i), v128.load32_splat(up + i)), 0);
	}
}

// @ts-ignore: decorator
@inline
function gated(gating: i32, limit: f32, gate: v128, up: v128): v128 {
	if (gating === GELU_TANH) return gelu_mul(gate, up);
	if (gating === CLAMPED_SWIGLU) return clamped_swiglu(gate, up, f32x4.splat(limit));
	return f32x4.mul(f32x4.mul(gate, sigmoid(gate)), up);
}

/** 1 / (1 + e^−x) */
// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
	return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/** x/2 · (1 + tanh u) is x · sigmoid(2u). */
// @ts-ignore: decorator
@inline
function gelu_mul(x: v128, up: v128): v128 {
	const cubic = madd(f32x4.mul(f32x4.mul(x, x), x), f32x4.splat(0.044715), x);
	const twice = f32x4.mul(cubic, f32x4.splat(1.5957691216057308));
	return f32x4.mul(f32x4.mul(x, sigmoid(twice)), up);
}

// @ts-ignore: decorator
@inline
function clamped_swiglu(unboundGate: v128, unboundUp: v128, limit: v128): v128 {
	const gate = f32x4.min(unboundGate, limit);
	const up = f32x4.max(f32x4.min(unboundUp, limit), f32x4.neg(limit));
	const swish = f32x4.mul(gate, sigmoid(f32x4.mul(gate, f32x4.splat(1.702))));
	return f32x4.mul(f32x4.add(up, f32x4.splat(1)), swish);
}

/** tanh to about 4 ulp: its series near 0, where the formula by e^2x has few digits left. */
// @ts-ignore: decorator
@inline
function tanh4(x: v128): v128 {
	const size = f32x4.abs(x);
	const e = exp4(f32x4.add(size, size));
	const far = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
	const square = f32x4.mul(x, x);
	let p = f32x4.splat(-8.8632355e-3);
	p = madd(p, square, f32x4.splat(2.1869488e-2));
	p = madd(p, square, f32x4.splat(-5.3968254e-2));
	p = madd(p, square, f32x4.splat(1.3333333e-1));
	p = madd(p, square, f32x4.splat(-3.3333333e-1));
	const near = madd(f32x4.mul(x, square), p, x);
	const signed = v128.or(far, v128.and(x, i32x4.splat(0x80000000)));
	return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(0.35)));
}

/** x[i] = cap · tanh(x[i] / cap) for n floats. */
export function soft_cap(x: usize, n: i32, cap: f32): void {
	const limit = f32x4.splat(cap);
	const end = x + <usize>n * 4;
	for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(limit, tanh4(f32x4.div(v128.load(x), limit))));
	for (; x < end; x += 4) store<f32>(x, f32x4.extract_lane(f32x4.mul(limit, tanh4(f32x4.div(v128.load32_splat(x), limit))), 0));
}
