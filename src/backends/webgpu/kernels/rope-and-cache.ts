/**
 * The op ropeAndCache in one dispatch: a thread has four elements of a head; their squares and the elements they pair with come from
 * its neighbours through workgroup memory, behind one barrier.
 */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { type Storage, stride8 } from "../layout.ts";
import { HALVES } from "../wgsl.ts";
import {
	ATTENTION_MAIN,
	f32,
	headAccess,
	rowStrides,
} from "./attention-text.ts";

export interface RopeAndCacheOptions {
	readonly heads: Heads;
	/** Elements of a head that turn, the first ones: 2 · inverseFrequencies.length ≤ headDim. */
	readonly ropeDims: number;
	/** null: no norm, and no binding of that name. */
	readonly qNormEps: number | null;
	readonly kNormEps: number | null;
	readonly blockSize: number;
	/** Of qkv. */
	readonly storage: Storage;
}

const THREADS = 128;

function sizesOf({ heads }: RopeAndCacheOptions, most: number) {
	const fours = stride8(heads.headDim) / 4;
	const allHeads = heads.numHeads + 2 * heads.numKvHeads;
	const headsPerGroup = Math.max(
		1,
		Math.min(allHeads, Math.floor(Math.min(THREADS, most) / fours)),
	);
	return { fours, allHeads, headsPerGroup, threads: headsPerGroup * fours };
}

/**
 * For every token t and each of its q and k heads x: x / sqrt(mean(x²) + eps) · norm, then x[i], x[i + half] turned by the table's
 * angle of position tokens[t].y; q back into qkv, k and v as f16 (saturating) to slot tokens[t].z of the cache, padded with zeros.
 * bindings: qkv: `storage`, tokens, ropeTable, (qNorm), (kNorm), keys, values. Grid: `ropeAndCacheGrid`.
 */
export function ropeAndCache(
	options: RopeAndCacheOptions,
	{ maxInvocations }: Abilities,
): Kernel {
	const { heads, ropeDims, qNormEps, kNormEps, blockSize, storage } = options;
	const { numHeads, numKvHeads, headDim } = heads;
	const { fours, allHeads, headsPerGroup, threads } = sizesOf(
		options,
		maxInvocations,
	);
	const qkv = headAccess("qkv", storage, headDim);
	const wideTable = ropeDims % 8 === 0;
	const norm = (name: string, eps: number | null): Binding[] =>
		eps === null ? [] : [[name, "read", "array<vec4<f32>>"]];
	return {
		label: `rope_and_cache_${storage}_${numHeads}x${numKvHeads}x${headDim}_rope${ropeDims}_block${blockSize}_eps${qNormEps},${kNormEps}_${threads}`,
		bindings: [
			["qkv", "write", qkv.type],
			["tokens", "read", "array<vec4<u32>>"],
			["ropeTable", "read", `array<vec${wideTable ? 4 : 2}<f32>>`],
			...norm("qNorm", qNormEps),
			...norm("kNorm", kNormEps),
			["keys", "write", "array<vec2<u32>>"],
			["values", "write", "array<vec2<u32>>"],
		],
		code: `${HALVES}${qkv.load}${qkv.store}
var<workgroup> rows: array<vec4<f32>, ${threads}>;
var<workgroup> squares: array<f32, ${threads}>;
${wideTable ? turnFours(ropeDims) : turnOnes(ropeDims)}
${ATTENTION_MAIN(threads)}
  let token = group.x;
  let d = thread % ${fours}u * 4u;
  let row = thread - thread % ${fours}u;
  let head = group.y * ${headsPerGroup}u + thread / ${fours}u;
  let isQuery = head < ${numHeads}u;
  let isKey = !isQuery && head < ${numHeads + numKvHeads}u;
  let start = token * ${rowStrides(heads).qkv}u + head * ${headDim}u;
  let place = tokens[token];
  var x = vec4<f32>();
  if (head < ${allHeads}u) { x = load_qkv(start, d); }
  squares[thread] = dot(x, x);
${qNormEps === null ? "" : "  if (isQuery) { x *= qNorm[d / 4u]; }"}
${kNormEps === null ? "" : "  if (isKey) { x *= kNorm[d / 4u]; }"}
  rows[thread] = x;
  workgroupBarrier();
  if (head >= ${allHeads}u) { return; }
  var scale = 1.0;
${qNormEps === null ? "" : normScale("isQuery", fours, headDim, qNormEps)}
${kNormEps === null ? "" : normScale("isKey", fours, headDim, kNormEps)}
  if ((isQuery || isKey) && d < ${ropeDims}u) { x = turn(x, row, d, place.y); }
  x *= scale;
  if (isQuery) {
    store_qkv(start, d, x);
    return;
  }
  let kvHead = head - select(${numHeads + numKvHeads}u, ${numHeads}u, isKey);
  let block = place.z / ${blockSize}u;
  let at = ((block * ${numKvHeads}u + kvHead) * ${blockSize}u + place.z % ${blockSize}u) * ${fours}u + d / 4u;
  if (isKey) { keys[at] = toHalves4(x); } else { values[at] = toHalves4(x); }
}`,
	};
}

/** Norm and turning are both linear: what is turned may be scaled afterwards. */
const normScale = (
	which: string,
	fours: number,
	headDim: number,
	eps: number,
): string => `
  if (${which}) {
    var sum = 0.0;
    for (var i = 0u; i < ${fours}u; i++) { sum += squares[row + i]; }
    scale = 1.0 / sqrt(sum / ${headDim}.0 + ${f32(eps)});
  }`;

/** Halves of a multiple of four: the pairs of four elements are four elements too. */
function turnFours(ropeDims: number): string {
	const half = ropeDims / 2;
	return `
fn turn(x: vec4<f32>, row: u32, d: u32, position: u32) -> vec4<f32> {
  let isLow = d < ${half}u;
  let pair = select(d - ${half}u, d + ${half}u, isLow);
  let at = (position * ${half}u + min(d, pair)) / 2u;
  let a = ropeTable[at];
  let b = ropeTable[at + 1u];
  let sine = vec4<f32>(a.yw, b.yw) * select(1.0, -1.0, isLow);
  return x * vec4<f32>(a.xz, b.xz) + rows[row + pair / 4u] * sine;
}`;
}

function turnOnes(ropeDims: number): string {
	const half = ropeDims / 2;
	return `
fn turnOne(x: f32, row: u32, d: u32, position: u32) -> f32 {
  if (d >= ${ropeDims}u) { return x; }
  let isLow = d < ${half}u;
  let pair = select(d - ${half}u, d + ${half}u, isLow);
  let angle = ropeTable[position * ${half}u + min(d, pair)];
  return x * angle.x + rows[row + pair / 4u][pair % 4u] * angle.y * select(1.0, -1.0, isLow);
}
fn turn(x: vec4<f32>, row: u32, d: u32, position: u32) -> vec4<f32> {
  return vec4<f32>(turnOne(x.x, row, d, position), turnOne(x.y, row, d + 1u, position), turnOne(x.z, row, d + 2u, position), turnOne(x.w, row, d + 3u, position));
}`;
}

export function ropeAndCacheGrid(
	options: RopeAndCacheOptions,
	{ maxInvocations }: Abilities,
	numTokens: number,
): [number, number] {
	const { allHeads, headsPerGroup } = sizesOf(options, maxInvocations);
	return [numTokens, Math.ceil(allHeads / headsPerGroup)];
}
