// mixtureOfExperts: which experts each token goes to, and the tokens in the order of their experts.
import { addWide } from "./logits";
import { exp4, max4 } from "./simd";

/**
 * The topK greatest of numExperts logits (of equal ones the first) for tokens [start, end), and how much each counts:
 * scale · softmax, over the chosen ones where `normalize`. logits: f32 [T][numExperts], overwritten;
 * ids: i32 [T][topK]; weights: f32 [T][topK].
 */
export function choose_experts(
	logits: usize, numExperts: i32, topK: i32, normalize: bool, scale: f32, start: i32, end: i32, ids: usize, weights: usize,
): void {
	for (let t = start; t < end; t++) {
		const row = logits + <usize>t * <usize>numExperts * 4;
		const chosen = ids + <usize>t * <usize>topK * 4;
		const shares = weights + <usize>t * <usize>topK * 4;
		const peak = greatest(row, numExperts);
		const total = sum_exp(row, numExperts, peak);
		let sum: f64 = 0;
		for (let j: usize = 0; j < <usize>topK; j++) {
			const expert = take_best(row, numExperts, shares + j * 4);
			store<i32>(chosen + j * 4, expert);
			const p = f32x4.extract_lane(exp4(f32x4.splat(load<f32>(shares + j * 4) - peak)), 0) / total;
			store<f32>(shares + j * 4, p);
			sum += p;
		}
		const factor = normalize ? scale / <f32>sum : scale;
		for (let j: usize = 0; j < <usize>topK; j++) store<f32>(shares + j * 4, load<f32>(shares + j * 4) * factor);
	}
}

/** NaN where one of them is. */
function greatest(x: usize, n: i32): f32 {
	let peaks = f32x4.splat(-Infinity);
	const end = x + <usize>n * 4;
	for (; x + 16 <= end; x += 16) peaks = f32x4.max(peaks, v128.load(x));
	let peak = max4(peaks);
	for (; x < end; x += 4) peak = max(peak, load<f32>(x));
	return peak;
}

/** Σ e^(x − peak) */
function sum_exp(x: usize, n: i32, peak: f32): f32 {
	let sums = f64x2.splat(0);
	const end = x + <usize>n * 4;
	for (; x + 16 <= end; x += 16) sums = addWide(sums, exp4(f32x4.sub(v128.load(x), f32x4.splat(peak))));
	let sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
	for (; x < end; x += 4) sum += f32x4.extract_lane(exp4(f32x4.splat(load<f32>(x) - peak)), 0);
	return <f32>sum;
}

/** Writes the greatest value to `value` and minus infinity in its place. Where nothing compares (NaN) some expert is taken still. */
function take_best(row: usize, n: i32, value: usize): i32 {
	let best = 0;
	let most = load<f32>(row);
	for (let e = 1; e < n; e++) {
		const logit = load<f32>(row + <usize>e * 4);
		if (logit > most) {
			best = e;
			most = logit;
		}
	}
	store<f32>(value, most);
	store<f32>(row + <usize>best * 4, -Infinity);
	return best;
}

/**
 * Sorts the numTokens · topK choices by expert, those of an expert by token: expert e has the choices starts[e] .. starts[e+1]-1.
 * tokens, factors: token and weight of each choice in the new order; slots: its place in groups of 4 rows, which experts do not share;
 * groupStarts[e]: the expert's first group. starts, groupStarts: i32 [numExperts + 1]; next: i32 [numExperts] of scratch.
 */
export function group_by_expert(
	ids: usize, weights: usize, numTokens: i32, topK: i32, numExperts: i32,
	starts: usize, groupStarts: usize, next: usize, tokens: usize, slots: usize, factors: usize,
): void {
	const total = <usize>(numTokens * topK);
	memory.fill(starts, 0, <usize>(numExperts + 1) * 4);
	for (let i: usize = 0; i < total; i++) {
		const count = starts + <usize>(load<i32>(ids + i * 4) + 1) * 4;
		store<i32>(count, load<i32>(count) + 1);
	}
	store<i32>(groupStarts, 0);
	for (let e: usize = 0; e < <usize>numExperts; e++) {
		const at = e * 4;
		const count = load<i32>(starts + at, 4);
		const first = load<i32>(starts + at);
		store<i32>(next + at, first);
		store<i32>(starts + at, first + count, 4);
		store<i32>(groupStarts + at, load<i32>(groupStarts + at) + ((count + 3) >> 2), 4);
	}
	for (let i: usize = 0; i < total; i++) {
		const expert = <usize>load<i32>(ids + i * 4) * 4;
		const place = load<i32>(next + expert);
		store<i32>(next + expert, place + 1);
		const at = <usize>place * 4;
		store<i32>(tokens + at, <i32>(i / <usize>topK));
		store<i32>(slots + at, load<i32>(groupStarts + expert) * 4 + place - load<i32>(starts + expert));
		store<f32>(factors + at, load<f32>(weights + i * 4));
	}
}
