// sample: one token id per row of logits, and the logprobs asked for. The stages, their order and the draw are those of the
// reference backend (../../reference/sample.ts); here filters are found by histograms of sortable keys instead of a sort, and
// the draw skips every token whose best possible score is below the best one seen.
import { exp4, max4 } from "./simd";

/** A row's parameters, as ../sampling.ts lays them out. */
@unmanaged
export class Row {
	logits: usize;
	vocab: i32;
	temperature: f32;
	topK: i32;
	topP: f32;
	minP: f32;
	presence: f32;
	frequency: f32;
	repetition: f32;
	seedHigh: i32;
	seedLow: i32;
	position: i32;
	history: usize;
	historyLength: i32;
	historyPrompt: i32;
	/** the row's token the host did not know; -1: none */
	carried: i32;
	biasTokens: usize;
	biasValues: usize;
	numBias: i32;
	/** 0: none */
	mask: usize;
	/** 0 none, 1 the chosen token's, 1 + k also the k best */
	entries: i32;
	/** the token to score instead of sampling; -1: sample */
	scored: i32;
	entryTokens: usize;
	entryLogprobs: usize;
	entryRanks: usize;
	/** written: the token; −1 the logits held NaN, −2 no token was allowed */
	result: i32;
}

const NAN_LOGITS = -1;
const ALL_FORBIDDEN = -2;
const BINS = 2048;

/** scratch: (3 · vocab + 4 · BINS + 16) f32, 16-byte aligned; its first vocab · 4 bytes are zero before and after. */
export function sample_row(at: usize, scratch: usize): void {
	const row = changetype<Row>(at);
	const vocab = row.vocab;
	const logits = row.logits;
	if (holdsNaN(logits, vocab)) {
		row.result = NAN_LOGITS;
		return;
	}
	const counts = scratch;
	const raw = scratch + <usize>vocab * 4;
	const work = raw + <usize>vocab * 4;
	if (row.entries > 0) memory.copy(raw, logits, <usize>vocab * 4);
	if (row.scored >= 0) row.result = row.scored;
	else {
		adjust(row, counts);
		row.result = choose(row, work);
	}
	if (row.entries > 0 && row.result >= 0) writeLogprobs(row, raw, work);
}

function holdsNaN(x: usize, n: i32): bool {
	let bad = i32x4.splat(0);
	const whole = <usize>(n & ~3) * 4;
	for (let i: usize = 0; i < whole; i += 16) {
		const v = v128.load(x + i);
		bad = v128.or(bad, f32x4.ne(v, v));
	}
	for (let i = whole; i < <usize>n * 4; i += 4) if (isNaN(load<f32>(x + i))) return true;
	return v128.any_true(bad);
}

/** Mask, bias, penalties. */
function adjust(row: Row, counts: usize): void {
	const logits = row.logits;
	const vocab = row.vocab;
	const history = row.history;
	const historyLength = row.historyLength;
	const carried = row.carried;
	if (row.mask !== 0)
		for (let i = 0; i < vocab; i++)
			if (((load<u32>(row.mask + <usize>(i >>> 5) * 4) >>> (i & 31)) & 1) === 0)
				store<f32>(logits + <usize>i * 4, -Infinity);
	for (let i: usize = 0; i < <usize>row.numBias; i++) {
		const token = logits + <usize>load<i32>(row.biasTokens + i * 4) * 4;
		store<f32>(token, load<f32>(token) + load<f32>(row.biasValues + i * 4));
	}
	if (historyLength === 0) return;
	// counts[token] = 1 + occurrences in the output, 0 where the token is in neither prompt nor output.
	for (let i = 0; i < historyLength; i++) {
		const count = counts + <usize>load<i32>(history + <usize>i * 4) * 4;
		store<i32>(count, max(1, load<i32>(count)) + (i >= row.historyPrompt ? 1 : 0));
	}
	if (carried >= 0) {
		const count = counts + <usize>carried * 4;
		store<i32>(count, max(1, load<i32>(count)) + 1);
	}
	for (let i = 0; i < historyLength; i++) penalise(row, load<i32>(history + <usize>i * 4), counts);
	if (carried >= 0) penalise(row, carried, counts);
}

/** Once per token: its count is taken away. */
function penalise(row: Row, token: i32, counts: usize): void {
	const count = load<i32>(counts + <usize>token * 4);
	if (count === 0) return;
	store<i32>(counts + <usize>token * 4, 0);
	const at = row.logits + <usize>token * 4;
	let logit = load<f32>(at);
	logit = logit > 0 ? logit / row.repetition : logit * row.repetition;
	if (count > 1) logit = <f32>(<f64>logit - (<f64>row.frequency * <f64>(count - 1) + <f64>row.presence));
	store<f32>(at, logit);
}

function choose(row: Row, work: usize): i32 {
	const logits = row.logits;
	const vocab = row.vocab;
	const best = argmax(logits, vocab);
	const peak = load<f32>(logits + <usize>best * 4);
	if (peak === -Infinity) return ALL_FORBIDDEN;
	if (row.temperature === 0) return best;
	const temperature = f32x4.splat(row.temperature);
	let i: usize = 0;
	for (; i < <usize>(vocab & ~3) * 4; i += 16)
		v128.store(logits + i, f32x4.div(v128.load(logits + i), temperature));
	for (; i < <usize>vocab * 4; i += 4) store<f32>(logits + i, load<f32>(logits + i) / row.temperature);
	const hottest = load<f32>(logits + <usize>best * 4);
	if (row.minP > 0) keepFrom(logits, vocab, ceilToFloat(<f64>hottest + Math.log(<f64>row.minP)));
	if (row.topK > 0 && row.topK < vocab) keepFrom(logits, vocab, kthLargest(logits, vocab, row.topK, work));
	if (row.topP < 1) keepFrom(logits, vocab, nucleusEnd(logits, vocab, row.topP, hottest, work));
	return draw(row, best);
}

/** Lowest index of the greatest value. */
function argmax(x: usize, n: i32): i32 {
	let peaks = f32x4.splat(-Infinity);
	const whole = n & ~3;
	for (let i = 0; i < whole; i += 4) peaks = f32x4.max(peaks, v128.load(x + <usize>i * 4));
	let peak = max4(peaks);
	for (let i = whole; i < n; i++) peak = max(peak, load<f32>(x + <usize>i * 4));
	for (let i = 0; i < n; i++) if (load<f32>(x + <usize>i * 4) === peak) return i;
	return 0;
}

function keepFrom(x: usize, n: i32, threshold: f32): void {
	const lowest = f32x4.splat(threshold);
	let i: usize = 0;
	for (; i < <usize>(n & ~3) * 4; i += 16) {
		const v = v128.load(x + i);
		v128.store(x + i, v128.bitselect(f32x4.splat(-Infinity), v, f32x4.lt(v, lowest)));
	}
	for (; i < <usize>n * 4; i += 4) if (load<f32>(x + i) < threshold) store<f32>(x + i, -Infinity);
}

/** Greater floats have greater keys. */
// @ts-ignore: decorator
@inline
function keyOf(x: f32): u32 {
	// +0 and −0 are one value.
	const bits = reinterpret<u32>(x + <f32>0);
	return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

// @ts-ignore: decorator
@inline
function valueOf(key: u32): f32 {
	return reinterpret<f32>(key & 0x80000000 ? key & 0x7fffffff : ~key);
}

/** The least f32 that is not below x: a comparison with it is one with x. */
function ceilToFloat(x: f64): f32 {
	const near = <f32>x;
	return <f64>near < x ? valueOf(keyOf(near) + 1) : near;
}

/** The k-th largest value, by three histograms over 11, 11 and 10 bits of the keys. */
function kthLargest(x: usize, n: i32, k: i32, bins: usize): f32 {
	let prefix: u32 = 0;
	let decided: u32 = 0;
	let wanted = k;
	for (let pass = 0; pass < 3; pass++) {
		const shift: u32 = pass === 0 ? 21 : pass === 1 ? 10 : 0;
		const width: u32 = pass === 2 ? 1023 : 2047;
		memory.fill(bins, 0, BINS * 4);
		for (let i: usize = 0; i < <usize>n * 4; i += 4) {
			const key = keyOf(load<f32>(x + i));
			if ((key & decided) !== prefix) continue;
			const bin = bins + <usize>((key >> shift) & width) * 4;
			store<i32>(bin, load<i32>(bin) + 1);
		}
		let bin = width;
		while (load<i32>(bins + <usize>bin * 4) < wanted) {
			wanted -= load<i32>(bins + <usize>bin * 4);
			bin--;
		}
		prefix |= bin << shift;
		decided |= width << shift;
	}
	return valueOf(prefix);
}

/** The smallest value of the smallest set of best tokens whose probability reaches topP. */
function nucleusEnd(x: usize, n: i32, topP: f32, peak: f32, work: usize): f32 {
	// Mass of every value, by the top 11 bits of its key; then the values of the one bin where the mass is reached, sorted.
	const mass = work;
	const list = work + BINS * 8;
	memory.fill(mass, 0, BINS * 8);
	let total: f64 = 0;
	for (let i: usize = 0; i < <usize>n * 4; i += 4) {
		const value = load<f32>(x + i);
		if (value === -Infinity) continue;
		const p = <f64>f32x4.extract_lane(exp4(f32x4.splat(value - peak)), 0);
		const bin = mass + <usize>(keyOf(value) >> 21) * 8;
		store<f64>(bin, load<f64>(bin) + p);
		total += p;
	}
	const wanted = total * <f64>topP;
	let reached: f64 = 0;
	let bin = BINS - 1;
	while (bin > 0 && reached + load<f64>(mass + <usize>bin * 8) < wanted) {
		reached += load<f64>(mass + <usize>bin * 8);
		bin--;
	}
	let count = 0;
	for (let i: usize = 0; i < <usize>n * 4; i += 4) {
		const value = load<f32>(x + i);
		if (value === -Infinity || <i32>(keyOf(value) >> 21) !== bin) continue;
		store<f32>(list + <usize>count * 4, value);
		count++;
	}
	if (count === 0) return -Infinity;
	heapify(list, count);
	for (let size = count; size > 1; size--) {
		const value = load<f32>(list);
		reached += <f64>f32x4.extract_lane(exp4(f32x4.splat(value - peak)), 0);
		if (reached >= wanted) return value;
		store<f32>(list, load<f32>(list + <usize>(size - 1) * 4));
		sink(list, 0, size - 1);
	}
	return load<f32>(list);
}

/** Makes list[0] the greatest: a binary heap. */
function heapify(list: usize, n: i32): void {
	for (let i = (n >> 1) - 1; i >= 0; i--) sink(list, i, n);
}

function sink(list: usize, from: i32, n: i32): void {
	const value = load<f32>(list + <usize>from * 4);
	let at = from;
	for (;;) {
		let child = 2 * at + 1;
		if (child >= n) break;
		if (child + 1 < n && load<f32>(list + <usize>(child + 1) * 4) > load<f32>(list + <usize>child * 4)) child++;
		const greater = load<f32>(list + <usize>child * 4);
		if (greater <= value) break;
		store<f32>(list + <usize>at * 4, greater);
		at = child;
	}
	store<f32>(list + <usize>at * 4, value);
}

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

function draw(row: Row, best: i32): i32 {
	const logits = row.logits;
	const vocab = row.vocab;
	const position = row.position;
	const seedLow = row.seedLow;
	const seedHigh = row.seedHigh;
	const first = hash4(i32x4.splat(best), position, seedHigh, seedLow);
	// Bounds are taken relative to the greatest logit: far from zero, f32 has no digits left for them.
	const peak = load<f32>(logits + <usize>best * 4);
	let winner = best;
	let score = scoreOf(peak, i32x4.extract_lane(first, 0));
	let lead = <f32>(score - <f64>peak);
	let tokens = i32x4(0, 1, 2, 3);
	const unit = f32x4.splat(2.3283064365386963e-10);
	for (let i = 0; i < vocab; i += 4) {
		const left = vocab - i;
		const values = f32x4.sub(v128.load(logits + <usize>i * 4), f32x4.splat(peak));
		// E ≥ (bits + ½) / 2^32 ≥ 2^-33: no score is more than 23 above its logit.
		if (v128.any_true(f32x4.gt(values, f32x4.splat(lead - 23)))) {
			const bits = hash4(tokens, position, seedHigh, seedLow);
			const least = f32x4.mul(f32x4.convert_i32x4_u(bits), unit);
			const most = exp4(f32x4.sub(values, f32x4.splat(lead)));
			// A little slack for the rounding of the bound.
			const could = i32x4.bitmask(f32x4.le(least, f32x4.add(f32x4.mul(most, f32x4.splat(1.0001)), unit)));
			for (let lane = 0; lane < min(4, left); lane++) {
				if (((could >> lane) & 1) === 0) continue;
				const value = load<f32>(logits + <usize>(i + lane) * 4);
				if (value === -Infinity) continue;
				let word: u32;
				if (lane === 0) word = i32x4.extract_lane(bits, 0);
				else if (lane === 1) word = i32x4.extract_lane(bits, 1);
				else if (lane === 2) word = i32x4.extract_lane(bits, 2);
				else word = i32x4.extract_lane(bits, 3);
				const candidate = scoreOf(value, word);
				if (candidate > score || (candidate === score && i + lane < winner)) {
					score = candidate;
					lead = <f32>(score - <f64>peak);
					winner = i + lane;
				}
			}
		}
		tokens = i32x4.add(tokens, i32x4.splat(4));
	}
	return winner;
}

function writeLogprobs(row: Row, raw: usize, work: usize): void {
	const vocab = row.vocab;
	const result = row.result;
	const total = logSumExp(raw, vocab);
	const chosen = load<f32>(raw + <usize>result * 4);
	let rank = 1;
	for (let i: usize = 0; i < <usize>vocab * 4; i += 4) if (load<f32>(raw + i) > chosen) rank++;
	writeEntry(row, 0, result, <f32>(<f64>chosen - total), rank);
	const k = min(row.entries - 1, vocab);
	if (k === 0) return;
	// Everything above the k-th value, then as many of its equals as fit, lower ids first; then sorted by selection.
	const threshold = kthLargest(raw, vocab, k, work);
	let above = 0;
	for (let i: usize = 0; i < <usize>vocab * 4; i += 4) if (load<f32>(raw + i) > threshold) above++;
	let equals = k - above;
	let count = 0;
	for (let i = 0; i < vocab; i++) {
		const value = load<f32>(raw + <usize>i * 4);
		if (value < threshold) continue;
		if (value === threshold) {
			if (equals === 0) continue;
			equals--;
		}
		store<i32>(work + <usize>count * 4, i);
		count++;
	}
	sortByLogit(work, raw, k);
	for (let i = 0; i < k; i++) {
		const token = load<i32>(work + <usize>i * 4);
		writeEntry(row, 1 + i, token, <f32>(<f64>load<f32>(raw + <usize>token * 4) - total), 1 + i);
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

function logSumExp(x: usize, n: i32): f64 {
	let peaks = f32x4.splat(-Infinity);
	const whole = <usize>(n & ~3) * 4;
	for (let i: usize = 0; i < whole; i += 16) peaks = f32x4.max(peaks, v128.load(x + i));
	let peak = max4(peaks);
	for (let i = whole; i < <usize>n * 4; i += 4) peak = max(peak, load<f32>(x + i));
	let total: f64 = 0;
	for (let i: usize = 0; i < whole; ) {
		// f32 sums of 64 terms at a time, f64 over those.
		const end = min(whole, i + 1024);
		let sums = f32x4.splat(0);
		for (; i < end; i += 16) sums = f32x4.add(sums, exp4(f32x4.sub(v128.load(x + i), f32x4.splat(peak))));
		total +=
			<f64>f32x4.extract_lane(sums, 0) + <f64>f32x4.extract_lane(sums, 1) +
			<f64>f32x4.extract_lane(sums, 2) + <f64>f32x4.extract_lane(sums, 3);
	}
	for (let i = whole; i < <usize>n * 4; i += 4)
		total += <f64>f32x4.extract_lane(exp4(f32x4.splat(load<f32>(x + i) - peak)), 0);
	return <f64>peak + Math.log(total);
}
