// Small SIMD pieces every kernel uses. Compiled by AssemblyScript, not by tsc.

/** a · b + c, in one rounding where the build has relaxed SIMD. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
	if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
	return f32x4.add(f32x4.mul(a, b), c);
}

/** Four f16, sign-extended to i32 lanes → f32. Exact, subnormals included; infinities become numbers. */
// @ts-ignore: decorator
@inline
export function halfToFloat(x: v128): v128 {
	// The shift leaves sign and magnitude in place around three copies of the sign; 2^112 moves f16's bias to f32's.
	const bits = v128.and(i32x4.shl(x, 13), i32x4.splat(0x8fffe000));
	return f32x4.mul(bits, f32x4.splat(5192296858534828e18));
}

/** The f16 in the high halves of i32 lanes → f32. */
// @ts-ignore: decorator
@inline
export function upperHalfToFloat(x: v128): v128 {
	const bits = v128.and(i32x4.shr_s(x, 3), i32x4.splat(0x8fffe000));
	return f32x4.mul(bits, f32x4.splat(5192296858534828e18));
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

/** Half away from zero, as C's roundf. The fraction is exact, so the number just below ½ stays 0. */
// @ts-ignore: decorator
@inline
export function roundAway(x: v128): v128 {
	const whole = f32x4.trunc(x);
	const away = f32x4.ge(f32x4.abs(f32x4.sub(x, whole)), f32x4.splat(0.5));
	const one = v128.or(f32x4.splat(1), v128.and(x, i32x4.splat(0x80000000)));
	return f32x4.add(whole, v128.and(away, one));
}

/** f32 → f16 bits, to nearest even; beyond f16's range: infinity. */
export function floatToHalf(x: f32): u16 {
	const bits = reinterpret<u32>(x);
	const sign = (bits >> 16) & 0x8000;
	const magnitude = bits & 0x7fffffff;
	if (magnitude >= 0x47800000) return <u16>(sign | 0x7c00);
	if (magnitude < 0x38800000) {
		// Subnormal: adding 2^-1 at the right exponent lets the addition round.
		const rounded = reinterpret<f32>(magnitude) + <f32>0.5;
		return <u16>(sign | (reinterpret<u32>(rounded) - 0x3f000000));
	}
	const odd = (magnitude >> 13) & 1;
	return <u16>(sign | ((magnitude + 0xc8000fff + odd) >> 13));
}

/** f16 bits → f32 */
export function halfToFloat1(bits: u16): f32 {
	const magnitude = reinterpret<f32>(<u32>(bits & 0x7fff) << 13) * <f32>5192296858534828e18;
	return bits & 0x8000 ? -magnitude : magnitude;
}

/** sum + Σ of four products. a: signed; b: 0..127, or all eight bits as dotKind says */
// @ts-ignore: decorator
@inline
export function dot4(a: v128, b: v128, sum: v128): v128 {
	return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, sum) : unreachable();
}

/** What dot4 makes of the eighth bit of its second operand. The relaxed SIMD proposal leaves that to the engine, which must not change its mind. */
// @ts-ignore: decorator
@inline
export const UNSIGNED = 1;
// @ts-ignore: decorator
@inline
export const SIGNED = 2;
/** Pairs of products saturate (x86 without VNNI), or dot4 is not there: other kernels are better. */
// @ts-ignore: decorator
@inline
export const NEITHER = 0;
// Not constants, so that no compiler answers in the processor's place.
let probeA: i32 = -128;
let probeB: i32 = 255;
export const dotKind: i32 = probe();

function probe(): i32 {
	if (!ASC_FEATURE_RELAXED_SIMD) return NEITHER;
	const got = i32x4.extract_lane(dot4(i8x16.splat(<i8>probeA), i8x16.splat(<i8>probeB), i32x4.splat(1)), 0);
	if (got === 1 - 4 * 128 * 255) return UNSIGNED;
	return got === 1 + 4 * 128 ? SIGNED : NEITHER;
}
