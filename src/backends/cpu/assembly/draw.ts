// The draw: an exponential race keyed by (seed, output position, token id), as the reference's. A token is skipped where its
// best possible score, or that of its chunk, is below the best one seen.
import { CHUNK, chunkMaximum, Logits, lanesOf, valueOf, values4 } from "./logits";
import { Row } from "./sample-row";
import { exp4 } from "./simd";

/** First word of pcg4d(token, position, seedHigh, seedLow) for four tokens. */
// @ts-ignore: decorator
@inline
function hash4(tokens: v128, b: i32, c: i32, d: i32): v128 {
	const y0 = b * 1664525 + 1013904223;
	const z0 = c * 1664525 + 1013904223;
	const w0 = d * 1664525 + 1013904223;
	let x = i32x4.add(i32x4.mul(tokens, i32x4.splat(1664525)), i32x4.splat(1013904223 + y0 * w0));
	let y = i32x4.add(i32x4.splat(y0), i32x4.mul(i32x4.splat(z0), x));
	let z = i32x4.add(i32x4.splat(z0), i32x4.mul(x, y));
	let w = i32x4.add(i32x4.splat(w0), i32x4.mul(y, z));
	x = v128.xor(x, i32x4.shr_u(x, 16));
	y = v128.xor(y, i32x4.shr_u(y, 16));
	w = v128.xor(w, i32x4.shr_u(w, 16));
	return i32x4.add(x, i32x4.mul(y, w));
}

/** logit − log E with E = −log(1 − (bits + ½) / 2^32) exponential. */
function scoreOf(logit: f32, bits: u32): f64 {
	const exponential = -Math.log1p(-(<f64>bits + 0.5) / 4294967296.0);
	return <f64>logit - Math.log(exponential);
}

/** 2^-32 */
const UNIT: f32 = 2.3283064365386963e-10;

/** The winner among the values from row.threshold on. peak: the greatest, finite, and `best` the lowest token that has it */
export function draw(row: Row, logits: Logits, best: i32, peak: f32): i32 {
	const size = logits.size;
	const position = row.position;
	const seedHigh = row.seedHigh;
	const seedLow = row.seedLow;
	const threshold = row.threshold;
	let winner = best;
	let score = scoreOf(peak, i32x4.extract_lane(hash4(i32x4.splat(best), position, seedHigh, seedLow), 0));
	// Bounds are taken relative to the peak: far from zero, f32 has no digits left for them.
	let lead = <f32>(score - <f64>peak);
	for (let first = 0; first < size; first += CHUNK) {
		const maximum = chunkMaximum(logits, first);
		// E ≥ (bits + ½) / 2^32 ≥ 2^-33: no score is more than 23 above its value.
		if (maximum < threshold || maximum - peak <= lead - 23) continue;
		const limit = i32x4.trunc_sat_f32x4_u(f32x4.mul(greatestUniform(f32x4.splat(maximum - peak - lead)), f32x4.splat(4294967296)));
		for (let i = first; i < min(first + CHUNK, size); i += 4) {
			const bits = hash4(i32x4.add(i32x4.splat(i), i32x4(0, 1, 2, 3)), position, seedHigh, seedLow);
			if (!v128.any_true(i32x4.le_u(bits, limit))) continue;
			const values = values4(logits, i);
			const least = f32x4.mul(f32x4.convert_i32x4_u(bits), f32x4.splat(UNIT));
			const most = greatestUniform(f32x4.sub(f32x4.sub(values, f32x4.splat(peak)), f32x4.splat(lead)));
			const could = v128.and(f32x4.le(least, most), f32x4.ge(values, f32x4.splat(threshold)));
			for (let lanes = i32x4.bitmask(could) & lanesOf(logits, i); lanes !== 0; lanes &= lanes - 1) {
				const token = i + ctz(lanes);
				const value = valueOf(logits, token);
				if (value === -Infinity) continue;
				const candidate = scoreOf(value, laneOf(bits, ctz(lanes)));
				if (candidate < score || (candidate === score && token >= winner)) continue;
				score = candidate;
				lead = <f32>(score - <f64>peak);
				winner = token;
			}
		}
	}
	return winner;
}

/** The uniform numbers that can win where a value is x above the lead: E ≤ e^x, and a little slack for the rounding of the bound. */
// @ts-ignore: decorator
@inline
function greatestUniform(x: v128): v128 {
	return f32x4.add(f32x4.mul(exp4(x), f32x4.splat(1.0001)), f32x4.splat(UNIT));
}

// @ts-ignore: decorator
@inline
function laneOf(words: v128, lane: i32): u32 {
	if (lane === 0) return i32x4.extract_lane(words, 0);
	if (lane === 1) return i32x4.extract_lane(words, 1);
	if (lane === 2) return i32x4.extract_lane(words, 2);
	return i32x4.extract_lane(words, 3);
}
