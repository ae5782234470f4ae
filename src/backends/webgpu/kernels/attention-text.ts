/**
 * What the attention kernels share: their options, and the text that reads heads of activations and rows of the cache, whatever
 * the head size. Knows no kernel.
 */
import { assert } from "../../../errors.ts";
import type { Heads } from "../../program.ts";
import type { Binding } from "../kernel.ts";
import { type Storage, stride, stride8 } from "../layout.ts";
import { each, f32, pack4, unpack4, vec4Type } from "../wgsl.ts";

export interface AttentionOptions {
	readonly heads: Heads;
	readonly blockSize: number;
	/** Of q · k. */
	readonly scale: number;
	/** A token sees so many positions, its own counted in; null: all before it. */
	readonly slidingWindow: number | null;
	/** c: scores become c · tanh(score / c). null: they stay. */
	readonly softCap: number | null;
	/** Each head has one more score, whose value is zero: f32 sinks[head]. */
	readonly hasSinks: boolean;
	/** Of qkv and output. */
	readonly storage: Storage;
}

/** A running maximum before any score. Finite, since ∞ − ∞ is not a number. */
export const NO_MAX = "-1e30";
/** A score that is not to count: 2^(MASKED − NO_MAX) is 0. */
export const MASKED = "-3e38";
/** Bit of a decode item's token: no other item is of that token, so its output row is final. */
export const ALONE = 0x80000000;
/** u32 of a fused item: see attention-work.ts. */
export const FUSED_WORDS = 8;

export const ATTENTION_MAIN = (threads: number): string =>
	`@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {`;

/** Widths of the rows of qkv and output, in elements with their padding. */
export function rowStrides({ numHeads, numKvHeads, headDim }: Heads) {
	return {
		qkv: stride((numHeads + 2 * numKvHeads) * headDim),
		output: stride(numHeads * headDim),
	};
}

export const groupSize = ({ numHeads, numKvHeads }: Heads): number =>
	numHeads / numKvHeads;

export function attentionLabel(name: string, o: AttentionOptions): string {
	const { numHeads, numKvHeads, headDim } = o.heads;
	const window = o.slidingWindow === null ? "" : `_window${o.slidingWindow}`;
	const cap = o.softCap === null ? "" : `_cap${o.softCap}`;
	return `${name}_${o.storage}_${numHeads}x${numKvHeads}x${headDim}_block${o.blockSize}_scale${o.scale}${window}${cap}${o.hasSinks ? "_sinks" : ""}`;
}

/**
 * A head of an activation, four elements at a time, as an array of the largest type heads are aligned to.
 * Text: `load_NAME(start, d)` gives elements d .. d+3 of the head that begins at element `start`, zeros from headDim on;
 * `store_NAME(start, d, x)` writes those below headDim.  d: a multiple of 4. Needs HALVES.
 */
export function headAccess(name: string, storage: Storage, headDim: number) {
	if (headDim % 2 === 1) return oddHeadAccess(name, storage, headDim);
	const wide = headDim % 4 === 0;
	const narrowType = storage === "f16" ? "u32" : "vec2<f32>";
	const type = `array<${wide ? vec4Type(storage) : narrowType}>`;
	const inside = (offset: number) => `d + ${offset}u < ${headDim}u`;
	if (wide) {
		const guarded = stride8(headDim) !== headDim;
		const load = unpack4(storage, `${name}[(start + d) / 4u]`);
		return {
			type,
			load: `
fn load_${name}(start: u32, d: u32) -> vec4<f32> {
${guarded ? `  if (d >= ${headDim}u) { return vec4<f32>(); }` : ""}
  return ${load};
}`,
			store: `
fn store_${name}(start: u32, d: u32, x: vec4<f32>) {
${guarded ? `  if (d >= ${headDim}u) { return; }` : ""}
  ${name}[(start + d) / 4u] = ${pack4(storage, "x")};
}`,
		};
	}
	const unpack = (at: string) =>
		storage === "f16" ? `unpack2x16float(${name}[${at}])` : `${name}[${at}]`;
	const pack = (x: string) =>
		storage === "f16" ? `toHalves4(${x}).x` : `${x}.xy`;
	return {
		type,
		load: `
fn load_${name}(start: u32, d: u32) -> vec4<f32> {
  var x = vec4<f32>();
  if (${inside(0)}) { x = vec4<f32>(${unpack("(start + d) / 2u")}, 0.0, 0.0); }
  if (${inside(2)}) { x = vec4<f32>(x.xy, ${unpack("(start + d) / 2u + 1u")}); }
  return x;
}`,
		store: `
fn store_${name}(start: u32, d: u32, x: vec4<f32>) {
  if (${inside(0)}) { ${name}[(start + d) / 2u] = ${pack("x")}; }
  if (${inside(2)}) { ${name}[(start + d) / 2u + 1u] = ${pack("x.zwxy")}; }
}`,
	};
}

/** Of heads whose halves would share words with the next: see storageOf in backend.ts. */
function oddHeadAccess(name: string, storage: Storage, headDim: number) {
	assert(storage === "f32", `heads of ${headDim} elements are kept in f32`);
	const eachOne = (text: (i: number) => string) =>
		each(4, (i) => `  if (d + ${i}u < ${headDim}u) { ${text(i)} }`);
	return {
		type: "array<f32>",
		load: `
fn load_${name}(start: u32, d: u32) -> vec4<f32> {
  var x = vec4<f32>();
${eachOne((i) => `x[${i}] = ${name}[start + d + ${i}u];`)}
  return x;
}`,
		store: `
fn store_${name}(start: u32, d: u32, x: vec4<f32>) {
${eachOne((i) => `${name}[start + d + ${i}u] = x[${i}];`)}
}`,
	};
}

/**
 * `cacheRow(block, kvHead, position)`: where the row of keys or values of a position lies, in vec4<u32> (eight halves).
 * `block` is the id of the position's block.
 */
export function cacheRow({ heads, blockSize }: AttentionOptions): string {
	return `
fn cacheRow(block: u32, kvHead: u32, position: u32) -> u32 {
  return ((block * ${heads.numKvHeads}u + kvHead) * ${blockSize}u + position % ${blockSize}u) * ${stride8(heads.headDim) / 8}u;
}`;
}

/**
 * Scores are kept times log2(e), for exp2. Text of the factor that q (or q · k) is multiplied by, and of what is then still to
 * be done to each score.
 */
export function scoreText({ scale, softCap }: AttentionOptions) {
	if (softCap === null)
		return { factor: f32(scale * Math.LOG2E), score: (s: string) => s };
	// tanh of large numbers is NaN on some devices; from 10 on it is 1 in f32.
	return {
		factor: f32(scale / softCap),
		score: (s: string) =>
			`${f32(softCap * Math.LOG2E)} * tanh(clamp(${s}, -10.0, 10.0))`,
	};
}

/** Rows of a tile of queries: tokens × those heads of a group that are done together. */
const TILE_ROWS = 64;

/** Query heads of a KV head that share a prefill tile: as many as leave whole matrices of 16 tokens. */
export function tileHeads(heads: Heads): number {
	const group = groupSize(heads);
	return [4, 2, 1].find((n) => group % n === 0) as number;
}

/** Tokens of a prefill tile that suits these heads. */
export const tileTokensFor = (heads: Heads): number =>
	TILE_ROWS / tileHeads(heads);

export type SinkOptions = Pick<AttentionOptions, "hasSinks">;

/** The last binding of a kernel that writes rows. */
export const sinkBinding = ({ hasSinks }: SinkOptions): Binding[] =>
	hasSinks ? [["sinks", "read", "array<f32>"]] : [];

/** `withSink(most, sum, head)`: what the sum of a row's weights is over, once its sink is one of them, times 2^(most − new most). */
export const sinkFunction = ({ hasSinks }: SinkOptions): string =>
	hasSinks
		? `
fn withSink(most: f32, sum: f32, head: u32) -> f32 {
  let sink = sinks[head] * ${f32(Math.LOG2E)};
  let top = max(most, sink);
  let kept = exp2(most - top);
  return kept / (sum * kept + exp2(sink - top));
}`
		: "";

/** x divided by the sum of a row's weights, the sink's included. */
export const dividedText = (
	{ hasSinks }: SinkOptions,
	x: string,
	most: string,
	sum: string,
	head: string,
): string =>
	hasSinks ? `${x} * withSink(${most}, ${sum}, ${head})` : `${x} / ${sum}`;

/** Stores x / sum as four elements of the row output[token][head]; needs headAccess's store_output and sinkFunction. */
export const outputText = (
	options: Pick<AttentionOptions, "heads" | "hasSinks">,
): string => {
	const { heads } = options;
	const value = dividedText(options, "x", "most", "sum", "head");
	return `store_output(token * ${rowStrides(heads).output}u + head * ${heads.headDim}u, four * 4u, ${value});`;
};

/** That from an item that is alone (item.x), else a partial of item group.x: x, and with the first four elements most and sum. */
export function itemOutputText(options: AttentionOptions): string {
	const { heads } = options;
	const row = partialFours(heads);
	return `    if ((item.x & ${ALONE}u) != 0u) {
      ${outputText(options)}
      continue;
    }
    let partial = (group.x * ${heads.numHeads}u + head) * ${row}u;
    partials[partial + four] = x;
    if (four == 0u) { partials[partial + ${row - 1}u] = vec4<f32>(most, sum, 0.0, 0.0); }`;
}

/** vec4<f32> of a head's partial output; one more holds its maximum and sum. */
export const partialFours = ({ headDim }: Heads): number =>
	stride8(headDim) / 4 + 1;
