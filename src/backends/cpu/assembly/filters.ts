// min-p, top-k and top-p as one threshold: the least value they leave. Each needs the top of the distribution alone.
import {
	addWide,
	CHUNK,
	chunkMaximum,
	Logits,
	listFrom,
	listLanes,
	numChunks,
	values4,
} from "./logits";
import { Row } from "./sample-row";
import { BINS, ceilToFloat, heapify, kthLargest, sink } from "./select";
import { exp4 } from "./simd";

/** The least value that min-p, top-k and top-p leave, in this order. peak: the greatest value */
export function leastKept(row: Row, logits: Logits, peak: f32): f32 {
	let floor: f32 = -Infinity;
	if (row.minP > 0) floor = ceilToFloat(<f64>peak + Math.log(<f64>row.minP));
	if (row.topK > 0 && row.topK < logits.size) floor = kthValue(logits, row.topK, floor);
	if (row.topP < 1 && peak < Infinity) floor = nucleusEnd(logits, row.topP, peak, floor);
	return floor;
}

/** The k-th largest value, or `floor` where that is greater. */
export function kthValue(logits: Logits, k: i32, floor: f32): f32 {
	// k chunks reach the k-th largest maximum, so at least k values do, and seldom many more.
	const chunks = numChunks(logits);
	const bound: f32 = k > chunks ? -Infinity : kthLargest(logits.maxima, chunks, k, logits.bins) / logits.temperature;
	const count = listFrom(logits, max(floor, bound));
	return count < k ? floor : kthLargest(logits.list, count, k, logits.bins);
}

/** Bins of the nucleus reach down from the peak in steps of 1/64; the last holds all the rest. */
// @ts-ignore: decorator
@inline
function binsOf(values: v128, peak: f32): v128 {
	const steps = f32x4.mul(f32x4.sub(f32x4.splat(peak), values), f32x4.splat(64));
	return i32x4.trunc_sat_f32x4_u(f32x4.pmin(f32x4.splat(<f32>(BINS - 1)), steps));
}

// @ts-ignore: decorator
@inline
function addMass(bins: usize, bin: i32, mass: f32): void {
	const at = bins + <usize>bin * 8;
	store<f64>(at, load<f64>(at) + <f64>mass);
}

/** The smallest value of the smallest set of best tokens whose share of all from `floor` on reaches topP. */
function nucleusEnd(logits: Logits, topP: f32, peak: f32, floor: f32): f32 {
	const bins = logits.bins;
	const wanted = massByBin(logits, topP, peak, floor) * <f64>topP;
	let reached: f64 = 0;
	let bin = 0;
	while (bin < BINS - 1 && reached + load<f64>(bins + <usize>bin * 8) < wanted)
		reached += load<f64>(bins + <usize>(bin++) * 8);
	// The bin's values from the greatest on.
	const list = logits.list;
	const count = listBin(logits, bin, peak, floor);
	heapify(list, count);
	for (let size = count; size > 0; size--) {
		const value = load<f32>(list);
		reached += <f64>f32x4.extract_lane(exp4(f32x4.splat(value - peak)), 0);
		if (reached >= wanted) return value;
		store<f32>(list, load<f32>(list + <usize>(size - 1) * 4));
		sink(list, 0, size - 1);
	}
	return floor;
}

/** Σ exp(value − peak) of the values from `floor` on, by bins as far as the nucleus may reach. @returns the sum of all */
function massByBin(logits: Logits, topP: f32, peak: f32, floor: f32): f64 {
	const size = logits.size;
	const bins = logits.bins;
	memory.fill(bins, 0, BINS * 8);
	// All tokens below this together weigh less than 1 − topP, and the peak alone weighs 1.
	const cut = <f32>(<f64>peak - Math.log(<f64>size / (1 - <f64>topP)) - 1);
	// f32 sees nothing of a mass of e^-40 a token.
	const lowest = max(floor, peak - 40);
	let rest = f64x2.splat(0);
	for (let first = 0; first < size; first += CHUNK) {
		if (chunkMaximum(logits, first) < lowest) continue;
		for (let i = first; i < min(first + CHUNK, size); i += 4) {
			const values = values4(logits, i);
			const kept = f32x4.ge(values, f32x4.splat(floor));
			if (!v128.any_true(kept)) continue;
			let mass = v128.and(kept, exp4(f32x4.sub(values, f32x4.splat(peak))));
			if (size - i < 4) mass = v128.and(mass, i32x4.gt_s(i32x4.splat(size - i), i32x4(0, 1, 2, 3)));
			if (!v128.any_true(f32x4.ge(values, f32x4.splat(cut)))) {
				rest = addWide(rest, mass);
				continue;
			}
			const bin = binsOf(values, peak);
			addMass(bins, i32x4.extract_lane(bin, 0), f32x4.extract_lane(mass, 0));
			addMass(bins, i32x4.extract_lane(bin, 1), f32x4.extract_lane(mass, 1));
			addMass(bins, i32x4.extract_lane(bin, 2), f32x4.extract_lane(mass, 2));
			addMass(bins, i32x4.extract_lane(bin, 3), f32x4.extract_lane(mass, 3));
		}
	}
	let total = f64x2.extract_lane(rest, 0) + f64x2.extract_lane(rest, 1);
	for (let bin = 0; bin < BINS; bin++) total += load<f64>(bins + <usize>bin * 8);
	return total;
}

/** Lists the values of one bin from `floor` on. @returns how many */
function listBin(logits: Logits, bin: i32, peak: f32, floor: f32): i32 {
	const size = logits.size;
	let count = 0;
	for (let first = 0; first < size; first += CHUNK) {
		const maximum = chunkMaximum(logits, first);
		if (maximum < floor || i32x4.extract_lane(binsOf(f32x4.splat(maximum), peak), 0) > bin) continue;
		for (let i = first; i < min(first + CHUNK, size); i += 4) {
			const values = values4(logits, i);
			const here = i32x4.eq(binsOf(values, peak), i32x4.splat(bin));
			const kept = v128.and(here, f32x4.ge(values, f32x4.splat(floor)));
			count = listLanes(logits, i, i32x4.bitmask(kept), count);
		}
	}
	return count;
}
