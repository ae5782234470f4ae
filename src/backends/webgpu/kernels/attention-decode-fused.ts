/**
 * The ops ropeAndCache and attention of one token in one dispatch: what the device waits for between dependent dispatches is time
 * nothing is read in. A workgroup has the cached tokens of a sequence, or a chunk of them, for one KV head: see attention-rows.ts for
 * how they are shared out. Each chunk turns the token's queries anew, which is little beside the rows it reads.
 *
 * The first rows are asked for before anything is known of the token, and each next round of keys and values as soon as the
 * registers of the last one are free. The token itself never comes from the cache, but is rounded as if it did.
 */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { stride8 } from "../layout.ts";
import { HALVES, pack4, unpack4 } from "../wgsl.ts";
import {
	blocksText,
	eachHead,
	eachPiece,
	headText,
	loadText,
	mergeRoom,
	mergeText,
	oneRowText,
	outputsText,
	type RowShape,
	type RowTuning,
	rowLabel,
	rowShape,
	rowsText,
	scoresText,
	sumsText,
} from "./attention-rows.ts";
import {
	ALONE,
	ATTENTION_MAIN,
	type AttentionOptions,
	attentionLabel,
	cacheRow,
	FUSED_WORDS,
	headAccess,
	itemOutputText,
	outputText,
	rowStrides,
	type SinkOptions,
	scoreText,
	sinkBinding,
	sinkFunction,
} from "./attention-text.ts";
import { subgroupLines } from "./reduce.ts";
import {
	type RopeOptions,
	ropeBindings,
	turnFunction,
	turnText,
	weightText,
} from "./rope-text.ts";

/** whole: few sequences, a large workgroup for each and KV head; chunks: many or long ones, cut as attention_decode's are. */
export type FusedKind = "whole" | "chunks";

export interface DecodeFusedOptions extends AttentionOptions, RopeOptions {
	readonly kind: FusedKind;
}

/** Whole: half of the registers of a multiprocessor are left to the rows in flight. */
const THREADS: Readonly<Record<FusedKind, number>> = {
	whole: 512,
	chunks: 128,
};

/** Storage buffers that the kernel binds. */
export function numFusedBuffers(
	options: RopeOptions & SinkOptions,
	kind: FusedKind,
): number {
	const others = ropeBindings(options).length + sinkBinding(options).length;
	return others + (kind === "chunks" ? 6 : 5);
}

/** null where workgroup memory has no room. */
export function fusedShape(
	heads: Heads,
	abilities: Abilities,
	kind: FusedKind,
	tuning: Partial<RowTuning> = {},
): RowShape | null {
	const fours = stride8(heads.headDim) / 4;
	const bytes = (together: number) => (together + 2) * fours * (16 + 16 + 4);
	const shape = rowShape(heads, abilities, THREADS[kind], bytes, tuning);
	return shape.bytes <= abilities.workgroupBytes ? shape : null;
}

/** Dispatch (numFusedItems, this). */
export const fusedGroupsPerItem = (
	{ heads }: AttentionOptions,
	{ headTiles }: RowShape,
): number => heads.numKvHeads * headTiles;

/**
 * For every fused item of attention-work.ts and query head h: the row output[token][h], or a partial of it where the token has other
 * items, with q and k normed and turned, and k and v written to the cache, as `ropeAndCache` does; qkv stays. Scores and sums in f32.
 * bindings: qkv: `storage`, (ropeTable), (qNorm), (kNorm), keys, values, blockTables, output: `storage`, (partials, of chunks), (sinks).
 * Leaves the row's padding as it is. Grid: (numFusedItems, `fusedGroupsPerItem`).
 */
export function attentionDecodeFused(
	options: DecodeFusedOptions,
	abilities: Abilities,
	tuning: Partial<RowTuning> = {},
): Kernel {
	const { heads, storage, ropeDims, qNormEps, kNormEps, kind } = options;
	const label = attentionLabel(`attention_decode_fused_${kind}`, options);
	const shape = fusedShape(heads, abilities, kind, tuning);
	if (shape === null) throw new Error(`${label}: no room on this device`);
	const { threads, step } = shape;
	const qkv = headAccess("qkv", storage, heads.headDim);
	const output = headAccess("output", storage, heads.headDim);
	const numFours = (shape.heads + 2) * shape.fours;
	return {
		label: `${label}_rope${ropeDims}_eps${qNormEps},${kNormEps}_${rowLabel(shape)}`,
		bindings: [
			["qkv", "read", qkv.type],
			...ropeBindings(options),
			["keys", "write", "array<vec4<u32>>"],
			["values", "write", "array<vec4<u32>>"],
			["blockTables", "read", "array<u32>"],
			["output", "write", output.type],
			...(kind === "chunks"
				? ([["partials", "write", "array<vec4<f32>>"]] as const)
				: []),
			...sinkBinding(options),
		],
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}${qkv.load}${output.store}${cacheRow(options)}${sinkFunction(options)}
var<workgroup> rows: array<vec4<f32>, ${numFours}>;
var<workgroup> squares: array<f32, ${numFours}>;
var<workgroup> turned: array<vec4<f32>, ${numFours}>;
${mergeRoom(shape)}
${turnFunction(ropeDims)}
${ATTENTION_MAIN(threads)}
${beginText(options, shape)}
${blocksText(options, shape, "first", "var ")}
${readTokenText(options, shape)}
${rowsText(shape, "first", "var ")}
${loadText(shape, "keys", "var ")}
${loadText(shape, "values", "var ")}
${blocksText(options, shape, `first + ${step}u`, "")}
  workgroupBarrier();
${turnTokenText(options, shape)}
  workgroupBarrier();
${cacheTokenText(options, shape)}
${queriesText(shape)}
${oneRowText(options, shape, "slot == 0u && isLast")}
  for (var base = first; base < end; base += ${step}u) {
    let next = base + ${step}u;
${scoresText(options, shape)}
    if (next < end) {
${rowsText(shape, "next", "")}
${loadText(shape, "keys", "")}
${blocksText(options, shape, `next + ${step}u`, "")}
    }
${sumsText(shape)}
    if (next < end) {
${loadText(shape, "values", "")}
    }
  }
${mergeText(shape)}
${outputsText(options, shape, kind === "chunks" ? itemOutputText(options) : `    ${outputText(options)}`)}
}`,
	};
}

/** A chunk may have no rows: one that is there is asked for all the same, and not looked at. */
function beginText(
	{ slidingWindow, kind }: DecodeFusedOptions,
	{ headTiles, heads, lanes }: RowShape,
): string {
	const from = kind === "whole" ? "0u" : `blockTables[at + 4u]`;
	const window = `max(${from}, u32(max(0, i32(item.z) - ${(slidingWindow ?? 1) - 1})))`;
	return `  let at = ${FUSED_WORDS}u * group.x;
  let item = vec4<u32>(blockTables[at], blockTables[at + 1u], blockTables[at + 2u], blockTables[at + 3u]);
  let token = item.x & ${ALONE - 1}u;
  let kvHead = group.y / ${headTiles}u;
  let groupHead = group.y % ${headTiles}u * ${heads}u;
  let lane = thread % ${lanes}u;
  let slot = thread / ${lanes}u;
  let first = ${slidingWindow === null ? from : window};
  let end = ${kind === "whole" ? "item.z" : `blockTables[at + 5u]`};
  let isLast = end == item.z;
  let last = max(end, 1u) - 1u;`;
}

/** Runs `text` for every four elements i of the token's heads: the tile's queries, then the key, then the value. */
const eachFour = ({ heads, fours, threads }: RowShape, text: string): string =>
	`  for (var i = thread; i < ${(heads + 2) * fours}u; i += ${threads}u) {
    let isQuery = i < ${heads * fours}u;
    let isKey = !isQuery && i < ${(heads + 1) * fours}u;
    let d = i % ${fours}u * 4u;
${text}
  }`;

function readTokenText(options: DecodeFusedOptions, shape: RowShape): string {
	const { numHeads, numKvHeads, headDim } = options.heads;
	const { fours } = shape;
	return eachFour(
		shape,
		`    let kv = select(${numHeads + numKvHeads}u, ${numHeads}u, isKey) + kvHead;
    let head = select(kv, ${headText(options.heads, `i / ${fours}`)}, isQuery);
    var x = load_qkv(token * ${rowStrides(options.heads).qkv}u + head * ${headDim}u, d);
    squares[i] = dot(x, x);
${weightText(options)}
    rows[i] = x;`,
	);
}

/** Rounded as the buffers round them that the ops pass them through. */
function turnTokenText(options: DecodeFusedOptions, shape: RowShape): string {
	const { heads, storage } = options;
	const { fours } = shape;
	const { factor } = scoreText(options);
	return eachFour(
		shape,
		`    let row = i - i % ${fours}u;
    var x = rows[i];
${turnText(options, heads.headDim, fours, "item.z")}
    if (isQuery) {
      turned[i] = ${unpack4(storage, pack4(storage, "x"))} * ${factor};
    } else {
      turned[i] = halves4(toHalves4(x));
    }`,
	);
}

/** Nobody reads the token's own row, so it may be written at any time; the first tile of heads does. */
function cacheTokenText(
	{ blockSize }: AttentionOptions,
	{ heads, fours, threads }: RowShape,
): string {
	const packed = (head: number) =>
		[0, 1]
			.map((half) => `toHalves4(turned[${head * fours + half}u + 2u * i])`)
			.join(", ");
	return `  if (groupHead == 0u && isLast) {
    let own = cacheRow(item.w / ${blockSize}u, kvHead, item.w);
    for (var i = thread; i < ${fours / 2}u; i += ${threads}u) {
      keys[own + i] = vec4<u32>(${packed(heads)});
      values[own + i] = vec4<u32>(${packed(heads + 1)});
    }
  }`;
}

/** The thread's part of the queries, and of the token's own row. */
function queriesText(shape: RowShape): string {
	const { heads, fours, lanes } = shape;
	const part = (name: string, head: number) =>
		eachPiece(shape, (p) => {
			const at = `${head * fours + 2 * p * lanes}u + 2u * lane`;
			return `  let ${name}_${p}a = turned[${at}];
  let ${name}_${p}b = turned[${at} + 1u];`;
		});
	return `${eachHead(shape, (g) => part(`q${g}`, g))}
${part("key", heads)}
${part("value", heads + 1)}`;
}
