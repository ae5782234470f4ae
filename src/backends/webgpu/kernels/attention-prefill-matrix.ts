/**
 * Attention of a tile of query tokens with subgroup matrices (FlashAttention-2, Dao 2023). The rows of a tile are tokens × query
 * heads of one KV head, so that keys and values are loaded once for those heads. A subgroup has `blocks` blocks of 16 rows, each 16
 * tokens of one head: their queries and outputs stay in its registers as matrices.
 *
 * Matrices have no elements to get at, so scores pass through workgroup memory, where threads make weights of them in place. A
 * row's maximum is only raised once it has grown by GROWTH (after FlashAttention-4): weights are then up to 2^GROWTH, exact all the
 * same since their sum has the same factor, and outputs, which must pass through workgroup memory too to be rescaled, seldom are.
 */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { each, HALVES, range } from "../wgsl.ts";
import { epilogueText } from "./attention-matrix-epilogue.ts";
import {
	type MatrixPrefillTuning,
	type MatrixShape,
	matrixPrefillShape,
	tokenOfRow,
} from "./attention-matrix-shape.ts";
import {
	ATTENTION_MAIN,
	type AttentionOptions,
	attentionLabel,
	cacheRow,
	groupSize,
	MASKED,
	NO_MAX,
	rowStrides,
	scoreText,
	sinkBinding,
	sinkFunction,
} from "./attention-text.ts";

/** In powers of two; a weight must stay a finite half. */
const GROWTH = 12;

/**
 * As `attentionPrefill`, for f16 activations; weights are rounded to f16.
 * bindings: qkv, keys, values, blockTables, prefillItems, output, (sinks). Grid: (numPrefillItems, `groups` of the shape).
 */
export function attentionPrefillMatrix(
	options: AttentionOptions,
	abilities: Abilities,
	tileTokens: number,
	tuning: Partial<MatrixPrefillTuning> = {},
): Kernel {
	const shape = matrixPrefillShape(options, abilities, tileTokens, tuning);
	const label = attentionLabel("attention_prefill_matrix", options);
	if (shape === null) throw new Error(`${label}: no such tile on this device`);
	const { keys, blocks, prefetch, threads, subgroups } = shape;
	return {
		label: `${label}_tile${tileTokens}x${shape.heads}_keys${keys}_blocks${blocks}${prefetch ? "_prefetch" : ""}`,
		bindings: [
			["qkv", "read", "array<vec4<u32>>"],
			["keys", "read", "array<vec4<u32>>"],
			["values", "read", "array<vec4<u32>>"],
			["blockTables", "read", "array<u32>"],
			["prefillItems", "read", "array<vec4<u32>>"],
			["output", "write", "array<vec4<u32>>"],
			...sinkBinding(options),
		],
		code: `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
${HALVES}${cacheRow(options)}${sinkFunction(options)}
var<workgroup> tiles: array<vec4<u32>, ${shape.tileVectors}>;
var<workgroup> scores: array<vec4<u32>, ${subgroups * blocks * 16 * shape.scorePitch}>;
var<workgroup> growth: u32;
${ATTENTION_MAIN(threads)}
${beginText(options, shape)}
${queriesText(options, shape)}
${fetchBlocks(options, shape, "begin", "var ")}
${prefetch ? fetchTile(shape, "begin", "var ") : ""}
${prefetch ? fetchBlocks(options, shape, `begin + ${keys}u`, "") : ""}
  for (var base = begin; base < end; base += ${keys}u) {
${prefetch ? "" : fetchTile(shape, "base", "let ")}
    workgroupBarrier();
${storeTileText(shape)}
    workgroupBarrier();
${prefetch ? fetchTile(shape, `base + ${keys}u`, "") : ""}
${fetchBlocks(options, shape, `base + ${(prefetch ? 2 : 1) * keys}u`, "")}
${scoresText(shape)}
    workgroupBarrier();
${weightsText(options, shape)}
    if (workgroupUniformLoad(&growth) == base + 1u) {
${rescaleText(shape)}
    }
${outputsText(shape)}
  }
${epilogueText(options, shape)}
}`,
	};
}

const LEFT = "subgroup_matrix_left<f16, 16, 16>";
const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
const RESULT = "subgroup_matrix_result<f32, 16, 16>";

const multiply = (left: string, right: string, sum: string) =>
	`${sum} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum});`;

/** Where a thread's row is: block and token of the tile, and the share of the keys it looks at. */
function beginText(options: AttentionOptions, shape: MatrixShape): string {
	const { slidingWindow } = options;
	const { heads, blocks, lanesPerRow, dimMatrices } = shape;
	const group = groupSize(options.heads);
	const tiles = group / heads;
	const begin =
		slidingWindow === null
			? "0u"
			: `u32(max(0, i32(item.w) - ${slidingWindow - 1}))`;
	return `  let item = prefillItems[group.x];
  let kvHead = group.y / ${tiles}u;
  let firstHead = kvHead * ${group}u + group.y % ${tiles}u * ${heads}u;
  let begin = ${begin};
  let end = item.w + item.y;
  let subgroup = thread / 32u;
  let lane = thread % 32u;
  let part = lane % ${lanesPerRow}u;
  let row = subgroup * ${16 * blocks}u + lane / ${lanesPerRow}u;
  let position = item.w + ${tokenOfRow(shape, "row")};
  var maximum = ${NO_MAX};
  var sum = 0.0;
  if (thread == 0u) { growth = 0u; }
${each(blocks, (i) => each(dimMatrices, (d) => `  var o${i}_${d}: ${RESULT};`))}`;
}

/** A block of every subgroup at a time passes through the tile's memory; rows past the last token are the last one's again. */
function queriesText(options: AttentionOptions, shape: MatrixShape): string {
	const { blocks, pieces, pitch, threads, dimMatrices, subgroups } = shape;
	const stride = rowStrides(options.heads).qkv;
	return each(
		blocks,
		(i) => `${i === 0 ? "" : "  workgroupBarrier();"}
  for (var n = thread; n < ${subgroups * 16 * pieces}u; n += ${threads}u) {
    let at = n / ${pieces}u;
    let block = at / 16u * ${blocks}u + ${i}u;
    let token = item.x + min(block / ${shape.heads}u * 16u + at % 16u, item.y - 1u);
    let start = token * ${stride}u + (firstHead + block % ${shape.heads}u) * ${options.heads.headDim}u;
    tiles[at * ${pitch}u + n % ${pieces}u] = qkv[start / 8u + n % ${pieces}u];
  }
  workgroupBarrier();
${each(dimMatrices, (d) => `  let q${i}_${d} = subgroupMatrixLoad<${LEFT}, row_major>(&tiles, subgroup * ${16 * pitch}u + ${2 * d}u, ${pitch}u);`)}`,
	);
}

/** Runs `text` for each vec4 of a tile of keys that is the thread's: row n / pieces, piece n % pieces. */
function eachVector(
	{ keys, pieces, threads }: MatrixShape,
	text: (i: number, n: string) => string,
): string {
	const total = keys * pieces;
	return each(Math.ceil(total / threads), (i) => {
		const n = `(thread + ${i * threads}u)`;
		const line = text(i, n);
		return (i + 1) * threads <= total
			? line
			: `if (${n} < ${total}u) { ${line} }`;
	});
}

const numVectors = ({ keys, pieces, threads }: MatrixShape) =>
	Math.ceil((keys * pieces) / threads);

/** Ids of the blocks that hold the tile at `from`, a tile ahead of their use. */
function fetchBlocks(
	{ blockSize }: AttentionOptions,
	shape: MatrixShape,
	from: string,
	keyword: "var " | "",
): string {
	return each(numVectors(shape), (i) => {
		const at = `min(${from} + (thread + ${i * shape.threads}u) / ${shape.pieces}u, end - 1u)`;
		return `    ${keyword}block${i} = blockTables[item.z + ${at} / ${blockSize}u];`;
	});
}

/** Positions past the end are the last one's again. */
function fetchTile(
	shape: MatrixShape,
	from: string,
	keyword: "var " | "let " | "",
): string {
	const { pieces, threads } = shape;
	const places = each(numVectors(shape), (i) => {
		const n = `(thread + ${i * threads}u)`;
		return `    let place${i} = cacheRow(block${i}, kvHead, min(${from} + ${n} / ${pieces}u, end - 1u)) + ${n} % ${pieces}u;`;
	});
	return `${places}
${each(numVectors(shape), (i) => `    ${keyword}key${i} = keys[place${i}];`)}
${each(numVectors(shape), (i) => `    ${keyword}value${i} = values[place${i}];`)}`;
}

function storeTileText(shape: MatrixShape): string {
	const { keys, pieces, pitch } = shape;
	const at = (n: string) => `${n} / ${pieces}u * ${pitch}u + ${n} % ${pieces}u`;
	return `${eachVector(shape, (i, n) => `    tiles[${at(n)}] = key${i};`)}
${eachVector(shape, (i, n) => `    tiles[${keys * pitch}u + ${at(n)}] = value${i};`)}`;
}

/** S = Q · Kᵀ */
function scoresText(shape: MatrixShape): string {
	const { blocks, keyMatrices, dimMatrices, pitch, scorePitch } = shape;
	const eachScore = (text: (i: number, n: number) => string) =>
		each(blocks, (i) => each(keyMatrices, (n) => text(i, n)));
	const products = each(dimMatrices, (d) =>
		each(
			keyMatrices,
			(
				n,
			) => `    let k${d}_${n} = subgroupMatrixLoad<${RIGHT}, col_major>(&tiles, ${n * 16 * pitch + 2 * d}u, ${pitch}u);
${each(blocks, (i) => `    ${multiply(`q${i}_${d}`, `k${d}_${n}`, `s${i}_${n}`)}`)}`,
		),
	);
	return `${eachScore((i, n) => `    var s${i}_${n} = ${RESULT}();`)}
${products}
${eachScore((i, n) => `    subgroupMatrixStore<row_major>(&scores, (subgroup * ${16 * blocks}u + ${16 * i}u) * ${scorePitch}u + ${4 * n}u, s${i}_${n}, ${scorePitch}u);`)}`;
}

/** Scores of the thread's row and keys become weights, two u32 where four f32 were. */
function weightsText(options: AttentionOptions, shape: MatrixShape): string {
	const { softCap, slidingWindow } = options;
	const { keysPerLane, lanesPerRow, scorePitch } = shape;
	const { factor, score } = scoreText(options);
	const isPlain = softCap === null;
	const own = `row * ${scorePitch}u + part * ${keysPerLane / 4}u`;
	const seen = (k: number) => {
		const inWindow = ` && ${k} > last - ${slidingWindow ?? 0}`;
		return `${k} <= last${slidingWindow === null ? "" : inWindow}`;
	};
	const raw = (k: number) => `f${k >> 2}.${"xyzw"[k % 4]}`;
	const scored = (k: number) =>
		isPlain ? raw(k) : score(`${raw(k)} * ${factor}`);
	const weight = (k: number) =>
		isPlain ? `fma(x${k}, ${factor}, -maximum)` : `x${k} - maximum`;
	const all = range(keysPerLane);
	const shared = (combine: (other: string) => string, value: string) =>
		lanesPerRow === 1 ? value : combine(`subgroupShuffleXor(${value}, 1u)`);
	const most = all.map((k) => `x${k}`).reduce((a, b) => `max(${a}, ${b})`);
	return `    let own = ${own};
    let last = i32(position) - i32(base + part * ${keysPerLane}u);
${each(keysPerLane / 4, (v) => `    let f${v} = bitcast<vec4<f32>>(scores[own + ${v}u]);`)}
${each(keysPerLane, (k) => `    let x${k} = select(${MASKED}, ${scored(k)}, ${seen(k)});`)}
    let mine = ${most};
    let most = ${shared((other) => `max(mine, ${other})`, "mine")}${isPlain ? ` * ${factor}` : ""};
    let isFirst = sum == 0.0;
    let grows = most > maximum + select(${GROWTH}.0, 0.0, isFirst);
    let raised = select(maximum, most, grows);
    let kept = exp2(maximum - raised);
    maximum = raised;
    if (grows && !isFirst) { growth = base + 1u; }
${each(keysPerLane, (k) => `    let w${k} = exp2(${weight(k)});`)}
    let added = ${all.map((k) => `w${k}`).join(" + ")};
    sum = sum * kept + ${shared((other) => `(added + ${other})`, "added")};
${each(keysPerLane / 8, (v) => {
	const pair = (k: number) => `pack2x16float(vec2<f32>(w${k}, w${k + 1}))`;
	const pairs = range(4).map((i) => pair(8 * v + 2 * i));
	return `    scores[own + ${v}u] = vec4<u32>(${pairs.join(", ")});`;
})}`;
}

/** Each output matrix goes through the memory of the keys, whose products are done; its rows times what their maxima grew by. */
function rescaleText(shape: MatrixShape): string {
	const { blocks, dimMatrices, lanesPerRow, rescaleVectors } = shape;
	const perLane = 4 / lanesPerRow;
	const scaled = each(
		perLane,
		(v) =>
			`        tiles[at + ${v}u] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(tiles[at + ${v}u]) * kept);`,
	);
	return `      let stage = subgroup * ${rescaleVectors}u;
      let at = stage + row % 16u * 4u + part * ${perLane}u;
${each(blocks, (i) =>
	each(
		dimMatrices,
		(d) => `      subgroupMatrixStore<row_major>(&tiles, stage, o${i}_${d}, 4u);
      workgroupBarrier();
      if (lane / ${16 * lanesPerRow}u == ${i}u) {
${scaled}
      }
      workgroupBarrier();
      o${i}_${d} = subgroupMatrixLoad<${RESULT}, row_major>(&tiles, stage, 4u);
      workgroupBarrier();`,
	),
)}`;
}

/** O += P · V */
function outputsText(shape: MatrixShape): string {
	const { blocks, keys, keyMatrices, dimMatrices, keysPerLane } = shape;
	const { pitch, scorePitch } = shape;
	const perPart = keysPerLane / 16;
	/** The weights of 16 keys lie where the first half of their lane's scores began. */
	const weightsAt = (n: number) =>
		Math.floor(n / perPart) * (keysPerLane / 4) + (n % perPart) * 2;
	return each(
		keyMatrices,
		(
			n,
		) => `${each(blocks, (i) => `    let p${i}_${n} = subgroupMatrixLoad<${LEFT}, row_major>(&scores, (subgroup * ${16 * blocks}u + ${16 * i}u) * ${scorePitch}u + ${weightsAt(n)}u, ${scorePitch}u);`)}
${each(
	dimMatrices,
	(
		d,
	) => `    let v${d}_${n} = subgroupMatrixLoad<${RIGHT}, row_major>(&tiles, ${(keys + n * 16) * pitch + 2 * d}u, ${pitch}u);
${each(blocks, (i) => `    ${multiply(`p${i}_${n}`, `v${d}_${n}`, `o${i}_${d}`)}`)}`,
)}`,
	);
}
