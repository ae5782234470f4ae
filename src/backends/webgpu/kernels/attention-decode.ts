/**
 * Attention of one query token over a chunk of its sequence's cached tokens (split KV, after FlashDecoding, Dao et al. 2023). All
 * query heads of a group, or a tile of them, go together, so that keys and values are read once.
 *
 * A row of the cache lies over `lanes` neighbouring threads, eight elements (a vec4<u32>) at a time; a workgroup so has many rows
 * under way, and each group of lanes `unroll` more. Every group of lanes keeps its own maximum, sum and output (online softmax,
 * Milakov and Gimelshein 2018); at the end they are merged by shuffles within a subgroup and through workgroup memory beyond it.
 */
import type { Abilities } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { stride8 } from "../layout.ts";
import { each, HALVES, range } from "../wgsl.ts";
import {
	ALONE,
	ATTENTION_MAIN,
	type AttentionOptions,
	attentionLabel,
	cacheRow,
	groupSize,
	headAccess,
	MASKED,
	NO_MAX,
	partialFours,
	rowStrides,
	scoreText,
} from "./attention-text.ts";
import { subgroupLines } from "./reduce.ts";

export interface DecodeTuning {
	/** Threads of a workgroup, a power of two. */
	readonly threads: number;
	/** Cache rows a group of lanes has in flight. */
	readonly unroll: number;
	/** Query heads done together at most. */
	readonly heads: number;
}

interface Shape extends DecodeTuning {
	/** Threads that share a row, and vec4<u32> of it that each has. */
	readonly lanes: number;
	readonly pieces: number;
	/** Workgroups that share a KV head's query heads. */
	readonly headTiles: number;
	/** Rows under way at once, without unrolling. */
	readonly slots: number;
	readonly subgroups: number;
	/** vec4<f32> of a head. */
	readonly fours: number;
}

const MOST_LANES = 16;
/** f32 of queries and outputs a thread may hold. */
const MOST_REGISTERS = 128;

/** `tuning` where given; else what the prototype found best on an H100. */
export function decodeShape(
	{ heads }: AttentionOptions,
	{ subgroupSize, maxInvocations, workgroupBytes }: Abilities,
	tuning: Partial<DecodeTuning> = {},
): Shape {
	const rowPieces = stride8(heads.headDim) / 8;
	const most = Math.min(MOST_LANES, subgroupSize);
	let lanes = 1;
	while (lanes < most && rowPieces % (2 * lanes) === 0) lanes *= 2;
	const pieces = rowPieces / lanes;
	const group = groupSize(heads);
	const fitting = Math.max(1, Math.floor(MOST_REGISTERS / (16 * pieces)));
	const mostHeads = Math.min(group, tuning.heads ?? Math.min(8, fitting));
	const headTiles = Math.ceil(group / mostHeads);
	const together = Math.ceil(group / headTiles);
	// A vec4 of stats is counted as two f32 twice over.
	const bytes = (threads: number) =>
		(threads / subgroupSize) * together * (32 * rowPieces + 8);
	let threads = Math.min(tuning.threads ?? 128, maxInvocations);
	while (threads > subgroupSize && bytes(threads) > workgroupBytes)
		threads /= 2;
	const unroll = tuning.unroll ?? Math.max(1, Math.floor(4 / pieces));
	return {
		threads,
		unroll,
		heads: together,
		lanes,
		pieces,
		headTiles,
		slots: threads / lanes,
		subgroups: threads / subgroupSize,
		fours: 2 * rowPieces,
	};
}

/** Dispatch (numDecodeItems, this). */
export function decodeGroupsPerItem(
	options: AttentionOptions,
	shape: Shape,
): number {
	return options.heads.numKvHeads * shape.headTiles;
}

/**
 * For every item of attention-work.ts's decodeItems and query head h: the output over positions [first, end) as a partial, or the
 * row output[token][h] where the item is its token's only one. Scores and sums in f32.
 * bindings: qkv: `storage`, keys, values, blockTables, decodeItems, partials, output: `storage`, (tokens, with a sliding window).
 * Leaves the row's padding as it is. Grid: (numDecodeItems, `decodeGroupsPerItem`).
 */
export function attentionDecode(
	options: AttentionOptions,
	abilities: Abilities,
	tuning: Partial<DecodeTuning> = {},
): Kernel {
	const { heads, storage, slidingWindow } = options;
	const shape = decodeShape(options, abilities, tuning);
	const qkv = headAccess("qkv", storage, heads.headDim);
	const output = headAccess("output", storage, heads.headDim);
	return {
		label: `${attentionLabel("attention_decode", options)}_${shape.threads}x${shape.unroll}x${shape.heads}_lanes${shape.lanes}of${abilities.subgroupSize}`,
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
		],
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}${qkv.load}${output.store}${cacheRow(options)}
var<workgroup> stats: array<vec2<f32>, ${shape.subgroups * shape.heads}>;
var<workgroup> outputs: array<vec4<f32>, ${shape.subgroups * shape.heads * shape.fours}>;
${ATTENTION_MAIN(shape.threads)}
${beginText(options, shape)}
${chunkText(options, shape)}
${mergeText(abilities.subgroupSize, shape)}
${writeText(options, shape)}
}`,
	};
}

/** Runs `text` for every query head of the tile and every piece of a row the thread has. */
const eachHead = (shape: Shape, text: (g: number) => string) =>
	each(shape.heads, text);
const eachPiece = (shape: Shape, text: (p: number) => string) =>
	each(shape.pieces, text);

function beginText(options: AttentionOptions, shape: Shape): string {
	const { heads, blockSize, slidingWindow } = options;
	const group = groupSize(heads);
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
${eachHead(
	shape,
	(
		g,
	) => `  let head${g} = kvHead * ${group}u + min(groupHead + ${g}u, ${group - 1}u);
  let start${g} = token * ${rowStrides(heads).qkv}u + head${g} * ${heads.headDim}u;
  var max${g} = ${NO_MAX};
  var sum${g} = 0.0;
${eachPiece(shape, (p) => {
	const d = `(lane + ${p * shape.lanes}u) * 8u`;
	return `  let q${g}_${p}a = load_qkv(start${g}, ${d}) * ${factor};
  let q${g}_${p}b = load_qkv(start${g}, ${d} + 4u) * ${factor};
  var o${g}_${p}a = vec4<f32>();
  var o${g}_${p}b = vec4<f32>();`;
})}`,
)}
${each(shape.unroll, (j) => `  var block${j} = blockTables[item.y + min(first + slot + ${j * shape.slots}u, end - 1u) / ${blockSize}u];`)}`;
}

/** Keys and values are asked for first, then the block ids of the next round, then the arithmetic. */
function chunkText(options: AttentionOptions, shape: Shape): string {
	const { unroll, slots, lanes, pieces } = shape;
	const { score } = scoreText(options);
	const step = slots * unroll;
	const rows = (text: (j: number) => string) => each(unroll, text);
	const load = (array: string, j: number) =>
		eachPiece(
			shape,
			(p) =>
				`    let ${array[0]}${j}_${p} = ${array}[row${j} + ${p * lanes}u];`,
		);
	const halves = (j: number, name: string) =>
		eachPiece(
			shape,
			(p) => `    let ${name}${j}_${p}a = halves4(${name[0]}${j}_${p}.xy);
    let ${name}${j}_${p}b = halves4(${name[0]}${j}_${p}.zw);`,
		);
	const product = (j: number, g: number) =>
		range(pieces)
			.map(
				(p) =>
					`dot(kf${j}_${p}a, q${g}_${p}a) + dot(kf${j}_${p}b, q${g}_${p}b)`,
			)
			.join(" + ");
	const shuffles = range(Math.log2(lanes)).map((i) =>
		rows((j) =>
			eachHead(
				shape,
				(g) => `    s${j}_${g} += subgroupShuffleXor(s${j}_${g}, ${2 ** i}u);`,
			),
		),
	);
	const most = (g: number) =>
		range(unroll).reduce((all, j) => `max(${all}, s${j}_${g})`, `max${g}`);
	return `  for (var base = first; base < end; base += ${step}u) {
${rows(
	(j) => `    let at${j} = base + slot + ${j * slots}u;
    let row${j} = cacheRow(block${j}, kvHead, min(at${j}, end - 1u)) + lane;`,
)}
${rows((j) => load("keys", j))}
${rows((j) => load("values", j))}
${rows((j) => `    block${j} = blockTables[item.y + min(at${j} + ${step}u, end - 1u) / ${options.blockSize}u];`)}
${rows((j) => halves(j, "kf"))}
${rows((j) => eachHead(shape, (g) => `    var s${j}_${g} = ${product(j, g)};`))}
${shuffles.join("\n")}
${rows((j) => eachHead(shape, (g) => `    s${j}_${g} = select(${MASKED}, ${score(`s${j}_${g}`)}, at${j} < end);`))}
${eachHead(
	shape,
	(g) => `    let most${g} = ${most(g)};
    let kept${g} = exp2(max${g} - most${g});
    max${g} = most${g};
${rows((j) => `    let w${j}_${g} = exp2(s${j}_${g} - most${g});`)}
    sum${g} = sum${g} * kept${g} + ${range(unroll)
			.map((j) => `w${j}_${g}`)
			.join(" + ")};
${eachPiece(shape, (p) => `    o${g}_${p}a *= kept${g};\n    o${g}_${p}b *= kept${g};`)}`,
)}
${rows((j) => halves(j, "vf"))}
${rows((j) =>
	eachHead(shape, (g) =>
		eachPiece(shape, (p) =>
			["a", "b"]
				.map(
					(h) =>
						`    o${g}_${p}${h} = fma(vec4<f32>(w${j}_${g}), vf${j}_${p}${h}, o${g}_${p}${h});`,
				)
				.join("\n"),
		),
	),
)}
  }`;
}

/** Groups of lanes of a subgroup by shuffles, then one of each subgroup writes to workgroup memory. */
function mergeText(subgroupSize: number, shape: Shape): string {
	const { lanes, heads, fours } = shape;
	const masks = range(Math.log2(subgroupSize / lanes)).map(
		(i) => lanes * 2 ** i,
	);
	const outputsOf = (g: number) =>
		range(shape.pieces).flatMap((p) => [`o${g}_${p}a`, `o${g}_${p}b`]);
	const shuffled = masks.map((mask) =>
		eachHead(
			shape,
			(g) => `  {
    let other = subgroupShuffleXor(max${g}, ${mask}u);
    let most = max(max${g}, other);
    let mine = exp2(max${g} - most);
    let theirs = exp2(other - most);
    max${g} = most;
    sum${g} = sum${g} * mine + subgroupShuffleXor(sum${g}, ${mask}u) * theirs;
${outputsOf(g)
	.map(
		(o) =>
			`    ${o} = ${o} * mine + subgroupShuffleXor(${o}, ${mask}u) * theirs;`,
	)
	.join("\n")}
  }`,
		),
	);
	return `${shuffled.join("\n")}
  let subgroup = thread / ${subgroupSize}u;
  if (thread % ${subgroupSize}u < ${lanes}u) {
${eachHead(
	shape,
	(
		g,
	) => `    if (lane == 0u) { stats[subgroup * ${heads}u + ${g}u] = vec2<f32>(max${g}, sum${g}); }
${eachPiece(shape, (p) => {
	const at = `(subgroup * ${heads}u + ${g}u) * ${fours}u + (lane + ${p * lanes}u) * 2u`;
	return `    outputs[${at}] = o${g}_${p}a;\n    outputs[${at} + 1u] = o${g}_${p}b;`;
})}`,
)}
  }
  workgroupBarrier();`;
}

function writeText({ heads }: AttentionOptions, shape: Shape): string {
	const group = groupSize(heads);
	const row = partialFours(heads);
	const together = shape.heads;
	const { subgroups, fours } = shape;
	const isShort = group % together !== 0;
	return `  for (var i = thread; i < ${together * fours}u; i += ${shape.threads}u) {
    let g = i / ${fours}u;
    let four = i % ${fours}u;
${isShort ? `    if (groupHead + g >= ${group}u) { break; }` : ""}
    var most = ${NO_MAX};
    for (var s = 0u; s < ${subgroups}u; s++) { most = max(most, stats[s * ${together}u + g].x); }
    var sum = 0.0;
    var x = vec4<f32>();
    for (var s = 0u; s < ${subgroups}u; s++) {
      let stat = stats[s * ${together}u + g];
      let factor = exp2(stat.x - most);
      sum += stat.y * factor;
      x += outputs[(s * ${together}u + g) * ${fours}u + four] * factor;
    }
    let head = kvHead * ${group}u + groupHead + g;
    if ((item.x & ${ALONE}u) != 0u) {
      store_output(token * ${rowStrides(heads).output}u + head * ${heads.headDim}u, four * 4u, x / sum);
      continue;
    }
    let partial = (group.x * ${heads.numHeads}u + head) * ${row}u;
    partials[partial + four] = x;
    if (four == 0u) { partials[partial + ${fours}u] = vec4<f32>(most, sum, 0.0, 0.0); }
  }`;
}
