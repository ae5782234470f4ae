/**
 * The op ropeAndCache in one dispatch: a thread has four elements of a head; their squares and the elements they pair with come from
 * its neighbours through workgroup memory, behind one barrier.
 */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { type Storage, stride8 } from "../layout.ts";
import { HALVES } from "../wgsl.ts";
import { ATTENTION_MAIN, headAccess, rowStrides } from "./attention-text.ts";
import {
	type RopeOptions,
	ropeBindings,
	turnFunction,
	turnText,
	weightText,
} from "./rope-text.ts";

export interface RopeAndCacheOptions extends RopeOptions {
	readonly heads: Heads;
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
	return {
		label: `rope_and_cache_${storage}_${numHeads}x${numKvHeads}x${headDim}_rope${ropeDims}_block${blockSize}_eps${qNormEps},${kNormEps}_${threads}`,
		bindings: [
			["qkv", "write", qkv.type],
			["tokens", "read", "array<vec4<u32>>"],
			...ropeBindings(options),
			["keys", "write", "array<vec2<u32>>"],
			["values", "write", "array<vec2<u32>>"],
		],
		code: `${HALVES}${qkv.load}${qkv.store}
var<workgroup> rows: array<vec4<f32>, ${threads}>;
var<workgroup> squares: array<f32, ${threads}>;
${turnFunction(ropeDims)}
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
${weightText(options)}
  rows[thread] = x;
  workgroupBarrier();
  if (head >= ${allHeads}u) { return; }
${turnText(options, headDim, fours, "place.y")}
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

export function ropeAndCacheGrid(
	options: RopeAndCacheOptions,
	{ maxInvocations }: Abilities,
	numTokens: number,
): [number, number] {
	const { allHeads, headsPerGroup } = sizesOf(options, maxInvocations);
	return [numTokens, Math.ceil(allHeads / headsPerGroup)];
}
