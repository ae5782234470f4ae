// Small SIMD pieces every kernel uses. Compiled by AssemblyScript, not by tsc.

/** a · b + c, in one rounding where the build has relaxed SIMD. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
	if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
	return f32x4.add(f32x4.mul(a, b), c);
}

/** Four f16 in the low halves of i32 lanes, sign-extended → f32. Exact, subnormals included. */
// @ts-ignore: decorator
@inline
export function halfToFloat(x: v128): v128 {
	const magnitude = v128.and(i32x4.shl(x, 13), i32x4.splat(0x0fffe000));
	const sign = v128.and(x, i32x4.splat(0x80000000));
	// 2^112 moves the exponent from f16's bias to f32's.
	return v128.or(f32x4.mul(magnitude, f32x4.splat(5192296858534828e18)), sign);
}

// @ts-ignore: decorator
@inline
export function halfLow(x: v128): v128 {
	return halfToFloat(i32x4.extend_low_i16x8_s(x));
}

// @ts-ignore: decorator
@inline
export function halfHigh(x: v128): v128 {
	return halfToFloat(i32x4.extend_high_i16x8_s(x));
}

/** The first four of eight bf16 → f32. */
// @ts-ignore: decorator
@inline
export function bfloatLow(x: v128): v128 {
	return i32x4.shl(i32x4.extend_low_i16x8_u(x), 16);
}

// @ts-ignore: decorator
@inline
export function bfloatHigh(x: v128): v128 {
	return i32x4.shl(i32x4.extend_high_i16x8_u(x), 16);
}

/** Σ of the four lanes. */
// @ts-ignore: decorator
@inline
export function sum4(x: v128): f32 {
	const pairs = f32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
	return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

// @ts-ignore: decorator
@inline
export function max4(x: v128): f32 {
	const pairs = f32x4.max(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
	return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** e^x to about 2 ulp: 2^n · 2^r with |r| ≤ 1/2 and a polynomial for 2^r; 0 below −87.3, f32's largest power above 88. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
	const bounded = f32x4.min(f32x4.max(x, f32x4.splat(-104)), f32x4.splat(88.7));
	const t = f32x4.mul(bounded, f32x4.splat(1.44269504088896341));
	const n = f32x4.nearest(t);
	// r = x − n·ln 2, in two parts so that no digits are lost.
	let r = madd(n, f32x4.splat(-0.693359375), bounded);
	r = madd(n, f32x4.splat(2.12194440e-4), r);
	let p = f32x4.splat(1.9875691500e-4);
	p = madd(p, r, f32x4.splat(1.3981999507e-3));
	p = madd(p, r, f32x4.splat(8.3334519073e-3));
	p = madd(p, r, f32x4.splat(4.1665795894e-2));
	p = madd(p, r, f32x4.splat(1.6666665459e-1));
	p = madd(p, r, f32x4.splat(5.0000001201e-1));
	p = madd(f32x4.mul(p, r), r, f32x4.add(r, f32x4.splat(1)));
	// Two factors of 2^(n/2), so that neither leaves the range of exponents.
	const i = i32x4.trunc_sat_f32x4_s(n);
	const half = i32x4.shr_s(i, 1);
	const low = i32x4.shl(i32x4.add(half, i32x4.splat(127)), 23);
	const high = i32x4.shl(i32x4.add(i32x4.sub(i, half), i32x4.splat(127)), 23);
	return f32x4.mul(f32x4.mul(p, low), high);
}
