// How gate and up become one number, by the numbers of ../kernels.ts's GATING; and the soft cap, which is tanh's other use.
import { exp4, madd } from "./simd";

const GELU_TANH = 1;
const CLAMPED_SWIGLU = 2;

/** In place: sixteen gates at `at`, their ups 256 bytes on. limit: of CLAMPED_SWIGLU */
export function gate_row(gating: i32, limit: f32, at: usize): void {
	if (gating === GELU_TANH) for (let i: usize = 0; i < 64; i += 16) gelu_mul(at + i);
	else if (gating === CLAMPED_SWIGLU) for (let i: usize = 0; i < 64; i += 16) clamped_swiglu(at + i, f32x4.splat(limit));
	else for (let i: usize = 0; i < 64; i += 16) silu_mul(at + i);
}

/** 1 / (1 + e^−x) */
// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
	return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
function silu_mul(at: usize): void {
	const gate = v128.load(at);
	v128.store(at, f32x4.mul(f32x4.mul(gate, sigmoid(gate)), v128.load(at, 256)));
}

/** x/2 · (1 + tanh u) is x · sigmoid(2u). */
// @ts-ignore: decorator
@inline
function gelu_mul(at: usize): void {
	const x = v128.load(at);
	const cubic = madd(f32x4.mul(f32x4.mul(x, x), x), f32x4.splat(0.044715), x);
	const twice = f32x4.mul(cubic, f32x4.splat(1.5957691216057308));
	v128.store(at, f32x4.mul(f32x4.mul(x, sigmoid(twice)), v128.load(at, 256)));
}

// @ts-ignore: decorator
@inline
function clamped_swiglu(at: usize, limit: v128): void {
	const gate = f32x4.min(v128.load(at), limit);
	const up = f32x4.max(f32x4.min(v128.load(at, 256), limit), f32x4.neg(limit));
	const swish = f32x4.mul(gate, sigmoid(f32x4.mul(gate, f32x4.splat(1.702))));
	v128.store(at, f32x4.mul(f32x4.add(up, f32x4.splat(1)), swish));
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
