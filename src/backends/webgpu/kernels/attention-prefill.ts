/**
 * Attention of a tile of consecutive query tokens of one sequence over everything before and among them, for any device: a plain
 * FlashAttention (Dao et al. 2022). One query head a workgroup; queries, and in turn keys and values of a tile of positions, lie
 * in workgroup memory. A thread has `perThread` rows: it scores them against every 16th key, and sums every 16th four elements
 * of their outputs.
 */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { stride8 } from "../layout.ts";
import { each, HALVES, range } from "../wgsl.ts";
import {
	ATTENTION_MAIN,
	type AttentionOptions,
	attentionLabel,
	cacheRow,
	dividedText,
	groupSize,
	headAccess,
	MASKED,
	NO_MAX,
	rowStrides,
	scoreText,
	sinkBinding,
	sinkFunction,
} from "./attention-text.ts";

export interface PrefillTuning {
	/** Query rows and keys of a tile, and rows of a thread. */
	readonly rows: number;
	readonly keys: 16 | 32;
	readonly perThread: 2 | 4;
}

/** Threads that share a row. */
const ACROSS = 16;

const TUNINGS: readonly PrefillTuning[] = [
	{ rows: 32, keys: 32, perThread: 4 },
	{ rows: 16, keys: 32, perThread: 2 },
	{ rows: 16, keys: 16, perThread: 2 },
	{ rows: 8, keys: 16, perThread: 2 },
];

function bytesOf(headDim: number, { rows, keys }: PrefillTuning): number {
	const fours = stride8(headDim) / 4;
	const queries = rows * (fours + 1) * 16;
	const tile = keys * (fours + 1) * 8;
	return queries + tile + 4 * rows * (keys + ACROSS);
}

/** The largest tile that workgroup memory has room for. */
export function prefillTuning(
	{ heads }: AttentionOptions,
	{ workgroupBytes }: Abilities,
): PrefillTuning {
	const fitting = TUNINGS.find(
		(tuning) => bytesOf(heads.headDim, tuning) <= workgroupBytes,
	);
	if (fitting === undefined)
		throw new Error(`attention_prefill: no room for heads of ${heads.headDim}`);
	return fitting;
}

/** Dispatch (numPrefillItems, numHeads, ⌈tileTokens / rows⌉). */
export const prefillGrid = (
	{ heads }: AttentionOptions,
	{ rows }: PrefillTuning,
	numPrefillItems: number,
	tileTokens: number,
): [number, number, number] => [
	numPrefillItems,
	heads.numHeads,
	Math.ceil(tileTokens / rows),
];

/**
 * For every token of attention-work.ts's prefillItems and query head h: the row output[token][h]. The cache holds the tokens
 * themselves already. Scores and sums in f32.
 * bindings: qkv: `storage`, keys, values, blockTables, prefillItems, output: `storage`, (sinks). Grid: `prefillGrid`. Leaves the row's padding as it is.
 */
export function attentionPrefill(
	options: AttentionOptions,
	abilities: Abilities,
	tuning: PrefillTuning = prefillTuning(options, abilities),
): Kernel {
	const { heads, storage } = options;
	const { rows, keys, perThread } = tuning;
	const qkv = headAccess("qkv", storage, heads.headDim);
	const output = headAccess("output", storage, heads.headDim);
	const down = rows / perThread;
	const fours = stride8(heads.headDim) / 4;
	const vec = `vec${perThread}<f32>`;
	return {
		label: `${attentionLabel("attention_prefill", options)}_${rows}x${keys}x${perThread}`,
		bindings: [
			["qkv", "read", qkv.type],
			["keys", "read", "array<vec2<u32>>"],
			["values", "read", "array<vec2<u32>>"],
			["blockTables", "read", "array<u32>"],
			["prefillItems", "read", "array<vec4<u32>>"],
			["output", "write", output.type],
			...sinkBinding(options),
		],
		code: `${HALVES}${qkv.load}${output.store}${cacheRow(options)}${sinkFunction(options)}
var<workgroup> queries: array<vec4<f32>, ${rows * (fours + 1)}>;
var<workgroup> tile: array<vec2<u32>, ${keys * (fours + 1)}>;
var<workgroup> weights: array<${vec}, ${keys * down}>;
var<workgroup> perThread: array<${vec}, ${down * ACROSS}>;
${ATTENTION_MAIN(down * ACROSS)}
${beginText(options, tuning)}
  for (var base = begin; base < end; base += ${keys}u) {
    workgroupBarrier();
${tileText(options, tuning, "keys")}
    workgroupBarrier();
${scoresText(options, tuning)}
    workgroupBarrier();
${tileText(options, tuning, "values")}
${weightsText(tuning)}
    workgroupBarrier();
${sumText(options, tuning)}
  }
${endText(options, tuning)}
}`,
	};
}

const COMPONENTS = ["x", "y", "z", "w"];

/** Outputs of a thread: four elements each. */
const outputsOf = ({ heads }: AttentionOptions): number =>
	Math.ceil(stride8(heads.headDim) / 4 / ACROSS);

function beginText(options: AttentionOptions, tuning: PrefillTuning): string {
	const { heads, slidingWindow } = options;
	const { rows, perThread } = tuning;
	const fours = stride8(heads.headDim) / 4;
	const vec = `vec${perThread}<f32>`;
	const begin =
		slidingWindow === null
			? "0u"
			: `u32(max(0, i32(item.w + firstRow) - ${slidingWindow - 1}))`;
	const down = rows / perThread;
	return `  let item = prefillItems[group.x];
  let head = group.y;
  let kvHead = head / ${groupSize(heads)}u;
  let firstRow = group.z * ${rows}u;
  if (firstRow >= item.y) { return; }
  let begin = ${begin};
  let end = item.w + min(firstRow + ${rows}u, item.y);
  let across = thread % ${ACROSS}u;
  let row = thread / ${ACROSS}u * ${perThread}u;
  for (var i = thread; i < ${rows * fours}u; i += ${down * ACROSS}u) {
    let token = item.x + min(firstRow + i / ${fours}u, item.y - 1u);
    let start = token * ${rowStrides(heads).qkv}u + head * ${heads.headDim}u;
    queries[i / ${fours}u * ${fours + 1}u + i % ${fours}u] = load_qkv(start, i % ${fours}u * 4u) * ${scoreText(options).factor};
  }
  var maximum = ${vec}(${NO_MAX});
  var sum = ${vec}();
${each(perThread, (r) => each(outputsOf(options), (i) => `  var o${r}_${i} = vec4<f32>();`))}`;
}

/** Keys or values of the tile's positions; those past the end are the last one's again. */
function tileText(
	{ heads, blockSize }: AttentionOptions,
	{ rows, keys, perThread }: PrefillTuning,
	array: "keys" | "values",
): string {
	const fours = stride8(heads.headDim) / 4;
	return `    for (var i = thread; i < ${keys * fours}u; i += ${(rows / perThread) * ACROSS}u) {
      let at = min(base + i / ${fours}u, end - 1u);
      let place = cacheRow(blockTables[item.z + at / ${blockSize}u], kvHead, at) * 2u;
      tile[i / ${fours}u * ${fours + 1}u + i % ${fours}u] = ${array}[place + i % ${fours}u];
    }`;
}

function scoresText(options: AttentionOptions, tuning: PrefillTuning): string {
	const { keys, perThread } = tuning;
	const { heads, slidingWindow } = options;
	const fours = stride8(heads.headDim) / 4;
	const vec = `vec${perThread}<f32>`;
	const mine = keys / ACROSS;
	const { score } = scoreText(options);
	const products = (k: number) =>
		range(perThread).map((r) => `dot(q${r}, k${k})`);
	const seen = (k: number, r: number) => {
		const at = `base + across + ${k * ACROSS}u`;
		const position = `item.w + firstRow + row + ${r}u`;
		const inWindow = ` && ${position} < ${at} + ${slidingWindow ?? 0}u`;
		return `${at} <= ${position}${slidingWindow === null ? "" : inWindow}`;
	};
	return `${each(mine, (k) => `    var s${k} = ${vec}();`)}
    for (var four = 0u; four < ${fours}u; four++) {
${each(perThread, (r) => `      let q${r} = queries[(row + ${r}u) * ${fours + 1}u + four];`)}
${each(mine, (k) => `      let k${k} = halves4(tile[(across + ${k * ACROSS}u) * ${fours + 1}u + four]);`)}
${each(mine, (k) => `      s${k} += ${vec}(${products(k).join(", ")});`)}
    }
${each(mine, (k) =>
	each(
		perThread,
		(r) =>
			`    s${k}.${COMPONENTS[r]} = select(${MASKED}, ${score(`s${k}.${COMPONENTS[r]}`)}, ${seen(k, r)});`,
	),
)}
    perThread[thread] = ${mine === 1 ? "s0" : "max(s0, s1)"};`;
}

function weightsText({ rows, keys, perThread }: PrefillTuning): string {
	const mine = keys / ACROSS;
	return `    let before = maximum;
    for (var i = 0u; i < ${ACROSS}u; i++) { maximum = max(maximum, perThread[thread - across + i]); }
    let kept = exp2(before - maximum);
    sum *= kept;
${each(
	mine,
	(k) => `    let w${k} = exp2(s${k} - maximum);
    sum += w${k};
    weights[(across + ${k * ACROSS}u) * ${rows / perThread}u + thread / ${ACROSS}u] = w${k};`,
)}`;
}

function sumText(
	options: AttentionOptions,
	{ rows, keys, perThread }: PrefillTuning,
): string {
	const fours = stride8(options.heads.headDim) / 4;
	const eachOutput = (text: (i: number) => string) =>
		each(outputsOf(options), text);
	const whole = fours % ACROSS === 0;
	const four = (i: number) => {
		const at = `across + ${i * ACROSS}u`;
		return whole ? at : `min(${at}, ${fours - 1}u)`;
	};
	return `${each(perThread, (r) => eachOutput((i) => `    o${r}_${i} *= kept.${COMPONENTS[r]};`))}
    for (var key = 0u; key < ${keys}u; key++) {
      let w = weights[key * ${rows / perThread}u + thread / ${ACROSS}u];
${eachOutput((i) => `      let v${i} = halves4(tile[key * ${fours + 1}u + ${four(i)}]);`)}
${each(perThread, (r) => eachOutput((i) => `      o${r}_${i} = fma(vec4<f32>(w.${COMPONENTS[r]}), v${i}, o${r}_${i});`))}
    }`;
}

function endText(
	options: AttentionOptions,
	{ perThread }: PrefillTuning,
): string {
	const { heads } = options;
	const fours = stride8(heads.headDim) / 4;
	const quotient = (r: number, i: number) => {
		const of = COMPONENTS[r];
		const [most, sum] = [`maximum.${of}`, `sum.${of}`];
		return dividedText(options, `o${r}_${i}`, most, sum, "head");
	};
	return `  workgroupBarrier();
  perThread[thread] = sum;
  workgroupBarrier();
  sum = vec${perThread}<f32>();
  for (var i = 0u; i < ${ACROSS}u; i++) { sum += perThread[thread - across + i]; }
${each(
	perThread,
	(r) => `  if (firstRow + row + ${r}u < item.y) {
    let start = (item.x + firstRow + row + ${r}u) * ${rowStrides(heads).output}u + head * ${heads.headDim}u;
${each(outputsOf(options), (i) => `    if (across + ${i * ACROSS}u < ${fours}u) { store_output(start, (across + ${i * ACROSS}u) * 4u, ${quotient(r, i)}); }`)}
  }`,
)}`;
}
