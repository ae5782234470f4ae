/**
 * What the sampling kernels share as text: where a row's logits, parameters and partial results lie, and how four logits are read.
 * A slice holds rows of one step; row r of it is row `slice.first` + r of the step. V vocabSize.
 */
import type { Abilities } from "../device.ts";
import { roundUp, stride } from "../layout.ts";

/** How a row is cut: a workgroup of the scan takes a chunk, a thread of it a group of `fours` · 4 tokens of the chunk. */
export interface SampleShape {
	readonly vocabSize: number;
	/** Of the scan: a power of two. */
	readonly scanThreads: number;
	/** Of the kernels that take a whole row each: a power of two. */
	readonly rowThreads: number;
	/** vec4 a thread of the scan reads. */
	readonly fours: number;
	/** Lanes that may shuffle. */
	readonly lanes: number;
}

/** What timing on the H100 may change. */
export type SampleTuning = Partial<Omit<SampleShape, "vocabSize" | "lanes">>;

export function sampleShape(
	vocabSize: number,
	{ maxInvocations, subgroupSize, workgroupBytes }: Abilities,
	tuning: SampleTuning = {},
): SampleShape {
	const least = Math.max(32, subgroupSize);
	const threadsFor = (work: number, most: number) =>
		Math.min(most, maxInvocations, Math.max(least, powerOfTwo(work)));
	const scanThreads = tuning.scanThreads ?? threadsFor(vocabSize / 4, 256);
	const fours =
		tuning.fours ?? Math.min(8, Math.ceil(vocabSize / (4 * scanThreads)));
	const shape = { vocabSize, scanThreads, fours, lanes: subgroupSize };
	// Kernels of whole rows take less than 32 bytes a thread.
	const most = 2 ** Math.floor(Math.log2(Math.min(1024, workgroupBytes / 32)));
	const rowThreads =
		tuning.rowThreads ??
		threadsFor(groupsOf({ ...shape, rowThreads: 0 }), most);
	return { ...shape, rowThreads };
}

/** No less than n. */
const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

/** Name of a kernel of that shape. */
export const sampleLabel = (
	op: string,
	{ vocabSize, scanThreads, rowThreads, fours, lanes }: SampleShape,
): string =>
	`${op}_${vocabSize}_${scanThreads}x${fours}_${rowThreads}_lanes${lanes}`;

export const chunksOf = ({ vocabSize, scanThreads, fours }: SampleShape) =>
	Math.ceil(vocabSize / (4 * scanThreads * fours));

export const groupsOf = (shape: SampleShape): number =>
	chunksOf(shape) * shape.scanThreads;

/** Ids of rows that could not be sampled. */
export const NAN_LOGITS = 0xffffffff;
export const ALL_FORBIDDEN = 0xfffffffe;
/** No token, no mask, no carried row. */
export const NONE = 0xffffffff;

/**
 * Infinities are finite here, so that no compiler may reason them away: ±LIMIT, half of the greatest f32, so that their difference
 * is one too. −LIMIT is forbidden; what lies behind the vocabulary is less still.
 */
export const LIMIT = 1.7e38;

/** Words of a row's parameters, in order: see `writeRow` of ../sampler-rows.ts. */
export const ROW_WORDS = 16;
/** Words of the slice uniform. */
export const SLICE_WORDS = 8;

/** Bits of Row.flags. */
export const DRAWS = 1;
export const FILTERS = 2;
/** Groups' sums of exponentials are wanted. */
export const SUMS = 4;
/** Logprobs are wanted, or the row scores: its raw logits are read. */
export const SCORES = 8;

export const ROW_TYPES = `
struct Row {
  temperature: f32,
  inverseTemperature: f32,
  flags: u32,
  topK: u32,
  topP: f32,
  logMinP: f32,
  seedHigh: u32,
  seedLow: u32,
  position: u32,
  mask: u32,
  scored: u32,
  numBest: u32,
  bestAt: u32,
  wholeRow: u32,
  padding0: u32,
  padding1: u32,
}
struct Slice {
  first: u32,
  firstEdit: u32,
  scoresAt: u32,
  bestsAt: u32,
  firstWhole: u32,
  padding0: u32,
  padding1: u32,
  padding2: u32,
}
const LIMIT = ${LIMIT}f;
const NONE = ${NONE}u;`;

/** Constants of the shape, and the kinds of logits by their bits. */
export function rowConstants(shape: SampleShape): string {
	const { vocabSize, scanThreads, fours } = shape;
	return `${ROW_TYPES}
const VOCAB = ${vocabSize}u;
const STRIDE4 = ${stride(vocabSize) / 4}u;
const CHUNKS = ${chunksOf(shape)}u;
const GROUPS = ${groupsOf(shape)}u;
const SCAN_THREADS = ${scanThreads}u;
const FOURS = ${fours}u;
/** Which vec4 of the row is the j-th of group g. */
fn fourOf(g: u32, j: u32) -> u32 {
  return (g / SCAN_THREADS * FOURS + j) * SCAN_THREADS + g % SCAN_THREADS;
}
fn bounded(value: vec4<f32>, logits: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(logits);
  let low = select(value, vec4<f32>(-LIMIT), bits == vec4<u32>(0xff800000u));
  return select(low, vec4<f32>(LIMIT), bits == vec4<u32>(0x7f800000u));
}
/** Behind the vocabulary, as the last vec4 may be. */
fn inside(value: vec4<f32>, token: u32) -> vec4<f32> {
  return select(vec4<f32>(-2.0 * LIMIT), value, vec4<u32>(token) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(VOCAB));
}`;
}

/** `valueOf(four, ...)`: four logits as they are drawn from: masked, over temperature. Wants bindings logits, words and `row`. */
export const PROCESSED = `
/** x / temperature, rounded as a division is. */
fn overTemperature(x: vec4<f32>, row: Row) -> vec4<f32> {
  let q = x * row.inverseTemperature;
  return fma(fma(-q, vec4<f32>(row.temperature), x), vec4<f32>(row.inverseTemperature), q);
}
fn allowed(value: vec4<f32>, token: u32, row: Row) -> vec4<f32> {
  if (row.mask == NONE) { return value; }
  let bits = (words[row.mask + token / 32u] >> (token % 32u)) & 15u;
  return select(vec4<f32>(-LIMIT), value, (vec4<u32>(bits) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u));
}
fn valueOf(four: u32, start: u32, row: Row) -> vec4<f32> {
  if (four >= STRIDE4) { return vec4<f32>(-2.0 * LIMIT); }
  let x = logits[start + four];
  let value = bounded(overTemperature(x, row), x);
  return inside(allowed(value, 4u * four, row), 4u * four);
}`;

/** As `PROCESSED`, of the raw logits. */
export const RAW = `
fn valueOf(four: u32, start: u32, row: Row) -> vec4<f32> {
  if (four >= STRIDE4) { return vec4<f32>(-2.0 * LIMIT); }
  let x = logits[start + four];
  return inside(bounded(x, x), 4u * four);
}`;

/** Smallest buffer sizes in elements, for a slice of `rows`. */
export const partialsBytes = (shape: SampleShape, rows: number): number =>
	roundUp(16 * chunksOf(shape) * rows, 16);
export const groupsBytes = (shape: SampleShape, rows: number): number =>
	8 * groupsOf(shape) * rows;
