/**
 * One query token against rows of the cache, as text: what attention_decode and attention_decode_fused share. All query heads of a
 * group, or a tile of them, go together, so that keys and values are read once.
 *
 * A row of the cache lies over `lanes` neighbouring threads, eight elements (a vec4<u32>) at a time; a workgroup so has many rows
 * under way, and each group of lanes `unroll` more. Every group of lanes keeps its own maximum, sum and output (online softmax,
 * Milakov and Gimelshein 2018); at the end they are merged by shuffles within a subgroup and through workgroup memory beyond it.
 *
 * The texts read: item.y (block-table start), kvHead, groupHead (the tile's first head in its group), thread, lane, slot,
 * last (position of a row that may be read in place of those beyond), end (position that the rows end before).
 * Per head g of the tile and piece p of a row: q{g}_{p}a, q{g}_{p}b (four elements each), o{g}_{p}a, o{g}_{p}b, max{g}, sum{g}.
 */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import { stride8 } from "../layout.ts";
import { each, range } from "../wgsl.ts";
import {
	type AttentionOptions,
	groupSize,
	MASKED,
	NO_MAX,
	scoreText,
} from "./attention-text.ts";

export interface RowTuning {
	/** Threads of a workgroup, a power of two. */
	readonly threads: number;
	/** Cache rows a group of lanes has in flight. */
	readonly unroll: number;
	/** Query heads done together at most. */
	readonly heads: number;
}

export interface RowShape extends RowTuning {
	/** Threads that share a row, and vec4<u32> of it that each has. */
	readonly lanes: number;
	readonly pieces: number;
	/** Workgroups that share a KV head's query heads. */
	readonly headTiles: number;
	/** Rows under way at once, without unrolling, and with it. */
	readonly slots: number;
	readonly step: number;
	readonly subgroupSize: number;
	readonly subgroups: number;
	/** vec4<f32> of a head. */
	readonly fours: number;
	/** Of workgroup memory, with what the caller needs. */
	readonly bytes: number;
}

const MOST_LANES = 16;
/** f32 of queries and outputs a thread may hold: half the registers of an NVIDIA multiprocessor that is its share, and no more than */
const MOST_REGISTERS = 128;
const REGISTERS = 65536;

/**
 * @param mostThreads where `tuning` has none
 * @param moreBytes workgroup memory the caller needs itself, for so many heads
 */
export function rowShape(
	heads: Heads,
	{ subgroupSize, maxInvocations, workgroupBytes }: Abilities,
	mostThreads: number,
	moreBytes: (heads: number) => number,
	tuning: Partial<RowTuning>,
): RowShape {
	const rowPieces = stride8(heads.headDim) / 8;
	const most = Math.min(MOST_LANES, subgroupSize);
	let lanes = 1;
	while (lanes < most && rowPieces % (2 * lanes) === 0) lanes *= 2;
	const pieces = rowPieces / lanes;
	let threads = Math.min(tuning.threads ?? mostThreads, maxInvocations);
	const registers = Math.min(MOST_REGISTERS, REGISTERS / threads / 2);
	const fitting = Math.max(1, Math.floor(registers / (16 * pieces)));
	const group = groupSize(heads);
	const mostHeads = Math.min(group, tuning.heads ?? Math.min(8, fitting));
	const headTiles = Math.ceil(group / mostHeads);
	const together = Math.ceil(group / headTiles);
	// A vec4 of stats is counted as two f32 twice over.
	const bytes = () =>
		moreBytes(together) +
		(threads / subgroupSize) * together * (32 * rowPieces + 8);
	while (threads > subgroupSize && bytes() > workgroupBytes) threads /= 2;
	const unroll = tuning.unroll ?? Math.max(1, Math.floor(4 / pieces));
	const slots = threads / lanes;
	return {
		threads,
		unroll,
		heads: together,
		lanes,
		pieces,
		headTiles,
		slots,
		step: slots * unroll,
		subgroupSize,
		subgroups: threads / subgroupSize,
		fours: 2 * rowPieces,
		bytes: bytes(),
	};
}

/** For labels. */
export const rowLabel = (s: RowShape): string =>
	`${s.threads}x${s.unroll}x${s.heads}_lanes${s.lanes}of${s.subgroupSize}`;

/** Workgroup memory that `mergeText` and `outputsText` use. */
export const mergeRoom = ({ subgroups, heads, fours }: RowShape): string => `
var<workgroup> stats: array<vec2<f32>, ${subgroups * heads}>;
var<workgroup> outputs: array<vec4<f32>, ${subgroups * heads * fours}>;`;

/** Runs `text` for every query head of the tile and every piece of a row the thread has. */
export const eachHead = (shape: RowShape, text: (g: number) => string) =>
	each(shape.heads, text);
export const eachPiece = (shape: RowShape, text: (p: number) => string) =>
	each(shape.pieces, text);

/** head: the number of the tile's head g among all. */
export const headText = (heads: Heads, g: number | string): string =>
	`kvHead * ${groupSize(heads)}u + min(groupHead + ${g}u, ${groupSize(heads) - 1}u)`;

type Declare = "let " | "var " | "";

/** block{j}: ids of the blocks that the rows from `base` on lie in. */
export const blocksText = (
	{ blockSize }: AttentionOptions,
	{ unroll, slots }: RowShape,
	base: string,
	declare: Declare,
): string =>
	each(
		unroll,
		(j) =>
			`  ${declare}block${j} = blockTables[item.y + min(${base} + slot + ${j * slots}u, last) / ${blockSize}u];`,
	);

/** row{j}: where those rows lie. */
export const rowsText = (
	{ unroll, slots }: RowShape,
	base: string,
	declare: Declare,
): string =>
	each(
		unroll,
		(j) =>
			`  ${declare}row${j} = cacheRow(block${j}, kvHead, min(${base} + slot + ${j * slots}u, last)) + lane;`,
	);

/** k{j}_{p} or v{j}_{p}: asks for the rows. */
export const loadText = (
	shape: RowShape,
	array: "keys" | "values",
	declare: Declare,
): string =>
	each(shape.unroll, (j) =>
		eachPiece(
			shape,
			(p) =>
				`  ${declare}${array[0]}${j}_${p} = ${array}[row${j} + ${p * shape.lanes}u];`,
		),
	);

const halves = (shape: RowShape, name: "k" | "v") =>
	each(shape.unroll, (j) =>
		eachPiece(
			shape,
			(p) => `    let ${name}f${j}_${p}a = halves4(${name}${j}_${p}.xy);
    let ${name}f${j}_${p}b = halves4(${name}${j}_${p}.zw);`,
		),
	);

/** NAME{g} += those of the lanes that share a row. */
const laneSumsText = (shape: RowShape, name: (g: number) => string): string =>
	each(Math.log2(shape.lanes), (i) =>
		eachHead(
			shape,
			(g) => `    ${name(g)} += subgroupShuffleXor(${name(g)}, ${2 ** i}u);`,
		),
	);

const productText = ({ pieces }: RowShape, key: string, g: number): string =>
	range(pieces)
		.map(
			(p) => `dot(${key}_${p}a, q${g}_${p}a) + dot(${key}_${p}b, q${g}_${p}b)`,
		)
		.join(" + ");

/** s{j}_{g} of the rows from `base` on, out of k{j}_{p}. */
export function scoresText(options: AttentionOptions, shape: RowShape): string {
	const { unroll, slots } = shape;
	const { score } = scoreText(options);
	const rows = (text: (j: number) => string) => each(unroll, text);
	return `${halves(shape, "k")}
${rows((j) => eachHead(shape, (g) => `    var s${j}_${g} = ${productText(shape, `kf${j}`, g)};`))}
${rows((j) => laneSumsText(shape, (g) => `s${j}_${g}`))}
${rows((j) => eachHead(shape, (g) => `    s${j}_${g} = select(${MASKED}, ${score(`s${j}_${g}`)}, base + slot + ${j * slots}u < end);`))}`;
}

/** Takes s{j}_{g} and v{j}_{p} into maxima, sums and outputs. */
export function sumsText(shape: RowShape): string {
	const { unroll } = shape;
	const rows = (text: (j: number) => string) => each(unroll, text);
	const most = (g: number) =>
		range(unroll).reduce((all, j) => `max(${all}, s${j}_${g})`, `max${g}`);
	const weights = (g: number) => range(unroll).map((j) => `w${j}_${g}`);
	return `${eachHead(
		shape,
		(g) => `    let most${g} = ${most(g)};
    let kept${g} = exp2(max${g} - most${g});
    max${g} = most${g};
${rows((j) => `    let w${j}_${g} = exp2(s${j}_${g} - most${g});`)}
    sum${g} = sum${g} * kept${g} + ${weights(g).join(" + ")};
${eachPiece(shape, (p) => `    o${g}_${p}a *= kept${g};\n    o${g}_${p}b *= kept${g};`)}`,
	)}
${halves(shape, "v")}
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
)}`;
}

/** Maxima, sums and outputs of no rows. */
export const noRowsText = (shape: RowShape): string =>
	eachHead(
		shape,
		(g) => `  var max${g} = ${NO_MAX};
  var sum${g} = 0.0;
${eachPiece(shape, (p) => `  var o${g}_${p}a = vec4<f32>();\n  var o${g}_${p}b = vec4<f32>();`)}`,
	);

/** As `noRowsText`, but those lanes where `isMine` have taken in one row: key_{p}a, key_{p}b, value_{p}a, value_{p}b. */
export function oneRowText(
	options: AttentionOptions,
	shape: RowShape,
	isMine: string,
): string {
	const { score } = scoreText(options);
	const output = (g: number, part: string) =>
		`  var o${g}_${part} = select(vec4<f32>(), value_${part}, ${isMine});`;
	return `${eachHead(shape, (g) => `  var own${g} = ${productText(shape, "key", g)};`)}
${laneSumsText(shape, (g) => `own${g}`)}
${eachHead(
	shape,
	(g) => `  var max${g} = select(${NO_MAX}, ${score(`own${g}`)}, ${isMine});
  var sum${g} = select(0.0, 1.0, ${isMine});
${eachPiece(shape, (p) => `${output(g, `${p}a`)}\n${output(g, `${p}b`)}`)}`,
)}`;
}

/** Groups of lanes of a subgroup by shuffles, then one of each subgroup writes to workgroup memory. */
export function mergeText(shape: RowShape): string {
	const { subgroupSize, lanes, heads, fours } = shape;
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

/** Runs `write` for every `four` of every `head`, where `x / sum` is its output and `most` its maximum. */
export function outputsText(
	{ heads }: AttentionOptions,
	shape: RowShape,
	write: string,
): string {
	const group = groupSize(heads);
	const { heads: together, subgroups, fours, threads } = shape;
	const isShort = group % together !== 0;
	return `  for (var i = thread; i < ${together * fours}u; i += ${threads}u) {
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
${write}
  }`;
}
