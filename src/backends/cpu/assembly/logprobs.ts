// The logprobs of a row: log-softmax of its raw logits for the chosen token and the k best.
import { kthValue } from "./filters";
import { addWide, CHUNK, chunkMaximum, greatest, Logits, lanesOf } from "./logits";
import { Row } from "./sample-row";
import { exp4 } from "./simd";

/** logits: raw, temperature 1 */
export function writeLogprobs(row: Row, logits: Logits): void {
	const result = row.result;
	const total = logSumExp(logits);
	const chosen = load<f32>(logits.at + <usize>result * 4);
	writeEntry(row, 0, result, <f32>(<f64>chosen - total), 1 + countAbove(logits, chosen));
	const k = min(row.entries - 1, logits.size);
	if (k === 0) return;
	const ids = logits.list;
	listBest(logits, k, kthValue(logits, k, -Infinity));
	sortByLogit(ids, logits.at, k);
	for (let i = 0; i < k; i++) {
		const token = load<i32>(ids + <usize>i * 4);
		writeEntry(row, 1 + i, token, <f32>(<f64>load<f32>(logits.at + <usize>token * 4) - total), 1 + i);
	}
}

/** How many logits are greater. */
function countAbove(logits: Logits, value: f32): i32 {
	const size = logits.size;
	let count = 0;
	for (let first = 0; first < size; first += CHUNK) {
		if (chunkMaximum(logits, first) <= value) continue;
		for (let i = first; i < min(first + CHUNK, size); i += 4) {
			const above = f32x4.gt(v128.load(logits.at + <usize>i * 4), f32x4.splat(value));
			count += popcnt(i32x4.bitmask(above) & lanesOf(logits, i));
		}
	}
	return count;
}

/** Lists the ids of everything above the k-th value, and as many of its equals as fit, lower ids first. */
function listBest(logits: Logits, k: i32, kth: f32): void {
	const size = logits.size;
	let equals = k - countAbove(logits, kth);
	let count = 0;
	for (let first = 0; first < size; first += CHUNK) {
		if (chunkMaximum(logits, first) < kth) continue;
		for (let i = first; i < min(first + CHUNK, size); i++) {
			const value = load<f32>(logits.at + <usize>i * 4);
			if (value < kth || (value === kth && equals-- <= 0)) continue;
			store<i32>(logits.list + <usize>(count++) * 4, i);
		}
	}
}

function writeEntry(row: Row, index: i32, token: i32, logprob: f32, rank: i32): void {
	const at = <usize>index * 4;
	store<i32>(row.entryTokens + at, token);
	store<f32>(row.entryLogprobs + at, logprob);
	store<i32>(row.entryRanks + at, rank);
}

/** Ids by falling logit, lower ids first among equals: shell sort, since k is 20 as a rule and the vocabulary at most. */
function sortByLogit(ids: usize, raw: usize, k: i32): void {
	let gap = 1;
	while (gap < k / 3) gap = 3 * gap + 1;
	for (; gap > 0; gap /= 3)
		for (let i = gap; i < k; i++) {
			const id = load<i32>(ids + <usize>i * 4);
			let at = i;
			while (at >= gap && comesBefore(id, load<i32>(ids + <usize>(at - gap) * 4), raw)) {
				store<i32>(ids + <usize>at * 4, load<i32>(ids + <usize>(at - gap) * 4));
				at -= gap;
			}
			store<i32>(ids + <usize>at * 4, id);
		}
}

// @ts-ignore: decorator
@inline
function comesBefore(a: i32, b: i32, raw: usize): bool {
	const x = load<f32>(raw + <usize>a * 4);
	const y = load<f32>(raw + <usize>b * 4);
	return x > y || (x === y && a < b);
}

/** log Σ e^logit */
function logSumExp(logits: Logits): f64 {
	const peak = greatest(logits);
	const whole = logits.size & ~3;
	let sums = f64x2.splat(0);
	for (let i = 0; i < whole; i += 4)
		sums = addWide(sums, exp4(f32x4.sub(v128.load(logits.at + <usize>i * 4), f32x4.splat(peak))));
	let total = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
	for (let i = whole; i < logits.size; i++)
		total += <f64>f32x4.extract_lane(exp4(f32x4.splat(load<f32>(logits.at + <usize>i * 4) - peak)), 0);
	return <f64>peak + Math.log(total);
}
