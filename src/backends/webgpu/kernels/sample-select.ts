/**
 * Where a set of best values ends, as text. Values of a row weigh 1 each, or their probability; the set is the smallest of the best
 * values that weighs `target`. An interval of values [low, high) known to hold its end is cut in four again and again, by sums that
 * have an order of their own, so that the same row always gives the same bits; the last few values are weighed one by one.
 */
import { each } from "../wgsl.ts";

/** Values that are weighed one by one. */
export const LISTED = 256;
/** Cuts at even values; after those at even bits, which end even where all values but a few are equal. */
const EVEN_CUTS = 6;
const MOST_CUTS = 32;

/**
 * Runs `body`, which sees `x` (vec4<f32>) and may see `at` (its first token), over all values ≥ `low`, each vec4 by one thread;
 * some less come too. Where `ofGroups` holds the values are the greatest of every group, else those of every token.
 * Wants groups, groupsAt, valueOf, start, row, thread.
 */
export const eachValue = (
	threads: number,
	low: string,
	body: string,
	ofGroups = "false",
): string => `  for (var g = thread; g < GROUPS; g += ${threads}u) {
    let greatest = groups[groupsAt + g].x;
    if (greatest < ${low}) { continue; }
    for (var j = 0u; j < select(FOURS, 1u, ${ofGroups}); j++) {
      let at = 4u * fourOf(g, j);
      var x = vec4<f32>(greatest, vec3<f32>(-2.0 * LIMIT));
      if (!${ofGroups}) { x = valueOf(at / 4u, start, row); }
${body}
    }
  }`;

/** `sumOfAll(x, thread)`: Σ over threads of a vec4<f32>, the same for all. */
export const sumOfAll = (threads: number, lanes: number): string => `
var<workgroup> parts: array<vec4<f32>, ${threads / lanes}>;
fn sumOfAll(x: vec4<f32>, thread: u32) -> vec4<f32> {
  var sum = x;
${each(Math.log2(lanes), (i) => `  sum += subgroupShuffleXor(sum, ${2 ** i}u);`)}
  workgroupBarrier();
  if (thread % ${lanes}u == 0u) { parts[thread / ${lanes}u] = sum; }
  workgroupBarrier();
  for (var half = ${Math.floor(threads / lanes / 2)}u; half > 0u; half /= 2u) {
    if (thread < half) { parts[thread] += parts[thread + half]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&parts[0]);
}`;

/** What `endOf` works with. */
export const SELECT = `
struct Target {
  /** Values are the greatest of every group. */
  ofGroups: bool,
  /** No value below is looked at. */
  low: f32,
  /** Greatest value of the row. */
  peak: f32,
  /** Values weigh exp(value - peak), else 1. */
  byMass: bool,
  /** The set is to weigh this share … */
  share: f32,
  /** … of this; 0: of all values from low on. */
  total: f32,
}
struct End {
  /** The least value of the set. */
  value: f32,
  /** False where all values from low on weigh less than the set should. */
  reached: bool,
}
struct Interval { low: u32, high: u32, countAbove: f32, above: f32 }
/** Bits that order as the values do, and back. What a device may flush to zero is zero, and so is -0. */
fn orderOf(x: f32) -> u32 {
  var bits = bitcast<u32>(x);
  if ((bits & 0x7f800000u) == 0u) { bits = 0u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn valueAt(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}
var<workgroup> listed: array<f32, ${LISTED}>;
var<workgroup> weights: array<u32, ${LISTED}>;
var<workgroup> numListed: atomic<u32>;
var<workgroup> least: atomic<u32>;
var<workgroup> leastOfAll: u32;
fn ordersOf(x: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(orderOf(x.x), orderOf(x.y), orderOf(x.z), orderOf(x.w));
}
/** low and three borders behind it, rising and less than high. */
fn bordersOf(low: u32, high: u32, peak: f32, round: u32) -> vec4<u32> {
  let last = vec4<u32>(high - 1u);
  let v = valueAt(low);
  if (round == 0u && v < peak - 64.0) { return min(last, ordersOf(vec4<f32>(v, peak - 64.0, peak - 16.0, peak - 4.0))); }
  if (round < ${EVEN_CUTS}u) {
    let quarter = 0.25 * valueAt(high) - 0.25 * v;
    let even = max(vec4<u32>(low), ordersOf(vec4<f32>(v) + quarter * vec4<f32>(0.0, 1.0, 2.0, 3.0)));
    return min(last, vec4<u32>(low, even.yzw));
  }
  return min(last, vec4<u32>(low) + max(1u, (high - low) / 4u) * vec4<u32>(0u, 1u, 2u, 3u));
}
/** The part of the interval in which the weight of the values above first reaches the goal. */
fn narrowed(now: Interval, borders: vec4<u32>, counts: vec4<f32>, masses: vec4<f32>, goal: f32) -> Interval {
  if (masses.w >= goal) { return Interval(borders.w, now.high, now.countAbove, now.above); }
  if (masses.z >= goal) { return Interval(borders.z, borders.w, counts.w, masses.w); }
  if (masses.y >= goal) { return Interval(borders.y, borders.z, counts.z, masses.z); }
  return Interval(now.low, borders.y, counts.y, masses.y);
}`;

/** `endOf(target, ...)`: where the set ends, the same for all threads. */
export function selectEnd(threads: number): string {
	const weigh = each(
		4,
		(i) => `      let order${i} = orderOf(x[${i}]);
      if (order${i} >= borders.x) {
        let isAbove = vec4<u32>(order${i}) >= borders;
        counts += select(vec4<f32>(), vec4<f32>(1.0), isAbove);
        if (byMass) { masses += select(vec4<f32>(), vec4<f32>(exp(x[${i}] - peak)), isAbove); }
      }`,
	);
	const list = each(
		4,
		(i) => `      let order${i} = orderOf(x[${i}]);
      if (order${i} >= now.low && order${i} < now.high) {
        let i${i} = atomicAdd(&numListed, 1u);
        listed[i${i}] = x[${i}];
        weights[i${i}] = select(1u, u32(exp(min(0.0, x[${i}] - top)) * 8388608.0), byMass);
      }`,
	);
	return `
fn endOf(wanted: Target, row: Row, start: u32, groupsAt: u32, thread: u32) -> End {
  let byMass = wanted.byMass;
  let peak = wanted.peak;
  var now = Interval(orderOf(wanted.low), orderOf(peak) + 1u, 0.0, 0.0);
  var goal = wanted.share * wanted.total;
  var reached = false;
  var inside = 0.0;
  for (var round = 0u; round < ${MOST_CUTS}u; round++) {
    let borders = bordersOf(now.low, now.high, peak, round);
    var counts = vec4<f32>();
    var masses = vec4<f32>();
${eachValue(threads, "valueAt(borders.x)", weigh, "wanted.ofGroups")}
    counts = sumOfAll(counts, thread);
    if (byMass) { masses = sumOfAll(masses, thread); } else { masses = counts; }
    if (round == 0u) {
      if (wanted.total == 0.0) { goal = wanted.share * masses.x; }
      reached = masses.x >= goal;
    }
    now = narrowed(now, borders, counts, masses, goal);
    inside = select(counts.x, select(counts.y, select(counts.z, counts.w, masses.w >= goal), masses.z >= goal), masses.y >= goal) - now.countAbove;
    if (inside <= ${LISTED}.0 || now.high - now.low <= 1u) { break; }
  }
  let low = valueAt(now.low);
  // All values left are equal.
  if (inside > ${LISTED}.0) { return End(low, reached); }

  if (thread == 0u) {
    atomicStore(&numListed, 0u);
    atomicStore(&least, now.high);
  }
  workgroupBarrier();
  let top = min(peak, valueAt(now.high));
${eachValue(threads, "low", list, "wanted.ofGroups")}
  workgroupBarrier();
  let count = atomicLoad(&numListed);
  let unit = select(1.0, exp(top - peak) / 8388608.0, byMass);
  for (var i = thread; i < count; i += ${threads}u) {
    let x = listed[i];
    var above = 0u;
    for (var k = 0u; k < count; k++) { above += select(0u, weights[k], listed[k] > x); }
    if (now.above + f32(above) * unit < goal) { atomicMin(&least, orderOf(x)); }
  }
  workgroupBarrier();
  if (thread == 0u) { leastOfAll = atomicLoad(&least); }
  return End(valueAt(workgroupUniformLoad(&leastOfAll)), reached);
}`;
}
