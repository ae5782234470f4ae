// RMSNorm of a row, and what is done with rows that are normalised after their matrix.
import { madd, sum4 } from "./simd";

/** target = x / sqrt(mean(x²) + eps) · weight, n elements; x and target may be the same. */
export function rms_norm(x: usize, weight: usize, n: i32, eps: f32, target: usize): void {
	let sums = f32x4.splat(0);
	const bytes = <usize>n * 4;
	const whole = bytes & ~15;
	for (let i: usize = 0; i < whole; i += 16) {
		const v = v128.load(x + i);
		sums = madd(v, v, sums);
	}
	let total = sum4(sums);
	for (let i = whole; i < bytes; i += 4) total += load<f32>(x + i) * load<f32>(x + i);
	const scale = <f32>1 / sqrt(total / <f32>n + eps);
	for (let i: usize = 0; i < whole; i += 16)
		v128.store(target + i, f32x4.mul(f32x4.mul(v128.load(x + i), f32x4.splat(scale)), v128.load(weight + i)));
	for (let i = whole; i < bytes; i += 4)
		store<f32>(target + i, load<f32>(x + i) * scale * load<f32>(weight + i));
}

/** y[tokens[i]] = norm(x[tokens[i]]) for i in [start, end), rows of `width` elements. */
export function norm_rows(x: usize, width: i32, tokens: usize, start: i32, end: i32, norm: usize, eps: f32, y: usize): void {
	const bytes = <usize>width * 4;
	for (let i = start; i < end; i++) {
		const at = <usize>load<u32>(tokens + <usize>i * 4) * bytes;
		rms_norm(x + at, norm, width, eps, y + at);
	}
}

/**
 * y[t] += scale · norm(x[t]) for rows [start, end) of `width` elements; norm 0: of x[t] as it is. x may be overwritten.
 */
export function add_rows(x: usize, width: i32, start: i32, end: i32, norm: usize, eps: f32, scale: f32, y: usize): void {
	const bytes = <usize>width * 4;
	for (let t = start; t < end; t++) {
		const from = x + <usize>t * bytes;
		const to = y + <usize>t * bytes;
		if (norm !== 0) rms_norm(from, norm, width, eps, from);
		let i: usize = 0;
		for (; i + 16 <= bytes; i += 16)
			v128.store(to + i, f32x4.add(v128.load(to + i), f32x4.mul(v128.load(from + i), f32x4.splat(scale))));
		for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(from + i) * scale);
	}
}
