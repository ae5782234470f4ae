/**
 * Attention of one query token over a chunk of its sequence's cached tokens (split KV, after FlashDecoding, Dao et al. 2023): see
 * attention-rows.ts for how the rows are shared out.
 */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { HALVES } from "../wgsl.ts";
import {
	blocksText,
	eachHead,
	eachPiece,
	headText,
	loadText,
	mergeRoom,
	mergeText,
	noRowsText,
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
	headAccess,
	itemOutputText,
	rowStrides,
	scoreText,
	sinkBinding,
	sinkFunction,
} from "./attention-text.ts";
import { subgroupLines } from "./reduce.ts";

const THREADS = 128;

/** `tuning` where given; else what the prototype found best on an H100. */
export const decodeShape = (
	{ heads }: AttentionOptions,
	abilities: Abilities,
	tuning: Partial<RowTuning> = {},
): RowShape => rowShape(heads, abilities, THREADS, () => 0, tuning);

/** Dispatch (numDecodeItems, this). */
export const decodeGroupsPerItem = (
	{ heads }: AttentionOptions,
	{ headTiles }: RowShape,
): number => heads.numKvHeads * headTiles;

/**
 * For every item of attention-work.ts's decodeItems and query head h: the output over positions [first, end) as a partial, or the
 * row output[token][h] where the item is its token's only one. Scores and sums in f32.
 * bindings: qkv: `storage`, keys, values, blockTables, decodeItems, partials, output: `storage`, (tokens, with a sliding window), (sinks).
 * Leaves the row's padding as it is. Grid: (numDecodeItems, `decodeGroupsPerItem`).
 */
export function attentionDecode(
	options: AttentionOptions,
	abilities: Abilities,
	tuning: Partial<RowTuning> = {},
): Kernel {
	const { heads, storage, slidingWindow } = options;
	const shape = decodeShape(options, abilities, tuning);
	const { threads, step } = shape;
	const qkv = headAccess("qkv", storage, heads.headDim);
	const output = headAccess("output", storage, heads.headDim);
	return {
		label: `${attentionLabel("attention_decode", options)}_${rowLabel(shape)}`,
		bindings: [
			["qkv", "read", qkv.type],
			["keys", "read", "array<vec4<u32>>"],
			["values", "read", "array<vec4<u32>>"],
			["blockTables", "read", "array<u32>"],
			["decodeItems", "read", "array<vec4<u32>>"],
			["partials", "write", "array<vec4<f32>>"],
			["output", "write", output.type],
			...(slidingWindow === null
				? []
				: ([["tokens", "read", "array<vec4<u32>>"]] as const)),
			...sinkBinding(options),
		],
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}${qkv.load}${output.store}${cacheRow(options)}${sinkFunction(options)}
${mergeRoom(shape)}
${ATTENTION_MAIN(threads)}
${beginText(options, shape)}
${noRowsText(shape)}
${blocksText(options, shape, "first", "var ")}
  for (var base = first; base < end; base += ${step}u) {
${rowsText(shape, "base", "let ")}
${loadText(shape, "keys", "let ")}
${loadText(shape, "values", "let ")}
${blocksText(options, shape, `base + ${step}u`, "")}
${scoresText(options, shape)}
${sumsText(shape)}
  }
${mergeText(shape)}
${outputsText(options, shape, itemOutputText(options))}
}`,
	};
}

function beginText(options: AttentionOptions, shape: RowShape): string {
	const { heads, slidingWindow } = options;
	const { factor } = scoreText(options);
	const window = `max(item.z, u32(max(0, i32(tokens[token].y) - ${(slidingWindow ?? 1) - 1})))`;
	return `  let item = decodeItems[group.x];
  let token = item.x & ${ALONE - 1}u;
  let kvHead = group.y / ${shape.headTiles}u;
  let groupHead = group.y % ${shape.headTiles}u * ${shape.heads}u;
  let lane = thread % ${shape.lanes}u;
  let slot = thread / ${shape.lanes}u;
  let first = ${slidingWindow === null ? "item.z" : window};
  let end = item.w;
  let last = end - 1u;
${eachHead(
	shape,
	(
		g,
	) => `  let start${g} = token * ${rowStrides(heads).qkv}u + (${headText(heads, g)}) * ${heads.headDim}u;
${eachPiece(shape, (p) => {
	const d = `(lane + ${p * shape.lanes}u) * 8u`;
	return `  let q${g}_${p}a = load_qkv(start${g}, ${d}) * ${factor};
  let q${g}_${p}b = load_qkv(start${g}, ${d} + 4u) * ${factor};`;
})}`,
)}`;
}
