/**
 * A linear op for many tokens on any device: tiles of x and of the weight, as f32, lie in workgroup memory with K along their rows;
 * a thread multiplies some vec4 of tokens with some vec4 of weight rows into sums it keeps in registers. The next tiles come from
 * memory while these are multiplied. The vec4 of a row lie in an order that depends on k, so that neither the transposing
 * writes nor the reads meet in a bank.
 */
import { assert } from "../../../errors.ts";
import type { Kernel } from "../kernel.ts";
import { BLOCK, type Storage, stride } from "../layout.ts";
import { each, pack4, range, unpack4, vec4Type } from "../wgsl.ts";
import { finished, gatedFunction } from "./epilogue.ts";
import {
	expertOffset,
	type LinearShape,
	linearBindings,
	shapeLabel,
	tileExpert,
	tileInputs,
} from "./linear.ts";
import {
	fourFunctions,
	fourTypes,
	type LoraColumns,
	NUM_USED,
	slotColumns,
	smallStride,
	usedSlot,
} from "./lora-columns.ts";
import { WEIGHT4_TYPE, weight4 } from "./weight-format.ts";

/** A tile and the part of it that is one thread's. All are powers of two; a tile has at least 32 tokens and rows, at most 128. */
export interface TileOptions {
	readonly tokens: number;
	readonly rows: number;
	readonly threadTokens: number;
	readonly threadRows: number;
}

/** vec4 of a row of K in a tile. */
const FOURS = BLOCK / 4;

export const tileThreads = (tile: TileOptions): number =>
	(tile.tokens / tile.threadTokens) * (tile.rows / tile.threadRows);

/** Bytes of workgroup memory. */
export const tileMemory = ({ tokens, rows }: TileOptions): number =>
	4 * BLOCK * (tokens + rows);

/**
 * bindings: x (`storage` [T up to a multiple of 128][stride(K)]), (tileExperts, of an expert stack), weight, (scales), (bias), output,
 * (those of loraBindings). Grid: tilesGrid; of an expert stack x is the number of tiles at most: see `tileInputs`.
 */
export function linearTiles(shape: LinearShape, tile: TileOptions): Kernel {
	const { storage, format, epilogue, lora } = shape;
	const threads = tileThreads(tile);
	assert(
		(shape.split !== undefined) === (epilogue === "partial"),
		"partial sums, and they alone, have a split",
	);
	const operands = [
		operand("x", tile.tokens, threads, shape),
		operand("weight", tile.rows, threads, shape),
	];
	const all = (text: (o: Operand) => string) => operands.map(text).join("\n");
	const { first, last } = slabsOf(shape);
	return {
		label: `linear_tiles_${shapeLabel(shape)}_${tile.tokens}x${tile.rows}_${tile.threadTokens}x${tile.threadRows}`,
		bindings: linearBindings(
			shape,
			tileInputs(shape, `array<${vec4Type(storage)}>`),
			{ weight: WEIGHT4_TYPE[format], output: `array<${outputType(shape)}>` },
			lora && fourTypes(lora, storage),
		),
		code: `${weight4(format)}${gatedFunction(shape)}${lora ? loraFunctions(lora, storage) : ""}
fn x4(i: u32) -> vec4<f32> { return ${unpack4(storage, "x[i]")}; }
${all(({ name, rows }) => `var<workgroup> ${name}Tile: array<vec4<f32>, ${FOURS * rows}>;`)}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
${tileExpert(shape)}
  let threadRow = thread % ${tile.rows / tile.threadRows}u;
  let threadToken = thread / ${tile.rows / tile.threadRows}u;
${eachSum(tile, (name) => `  var ${name} = vec4<f32>();`)}
${all((o) => o.declare)}
  let lastSlab = ${last};
  var slab = ${first};
  if (slab < lastSlab) {
${all((o) => o.load)}
  }
  while (slab < lastSlab) {
    workgroupBarrier();
${all((o) => o.store)}
    workgroupBarrier();
    slab++;
    if (slab < lastSlab) {
${all((o) => o.load)}
    }
${products(tile)}
  }
${lora ? loraProducts(lora, shape, all, tile) : ""}
${writeOutput(shape, tile)}
}`,
	};
}

export function tilesGrid(
	{ rows, split }: LinearShape,
	tile: TileOptions,
	numTokens: number,
): [number, number, number] {
	return [
		Math.ceil(numTokens / tile.tokens),
		Math.ceil(rows / tile.rows),
		split?.splits ?? 1,
	];
}

/** The slabs of 32 along K a workgroup sums: all, or a split's share, which may be none. */
function slabsOf({ columns, split }: LinearShape) {
	const slabs = stride(columns) / BLOCK;
	if (!split) return { first: "0u", last: `${slabs}u` };
	const share = Math.ceil(slabs / split.splits);
	return {
		first: `group.z * ${share}u`,
		last: `min(group.z * ${share}u + ${share}u, ${slabs}u)`,
	};
}

/** How x or the weight comes into its tile: blocks of 4 rows × 4 columns, turned in registers. */
interface Operand {
	readonly name: "x" | "weight";
	readonly rows: number;
	readonly declare: string;
	/** The tile of `slab` into registers. */
	readonly load: string;
	/** The tile of slab `slab` of the u-th used adapter slot. */
	readonly loadLora: string;
	/** From there into workgroup memory. */
	readonly store: string;
}

function operand(
	name: Operand["name"],
	rows: number,
	threads: number,
	shape: LinearShape,
): Operand {
	const blocks = (rows / 4) * FOURS;
	const passes = Math.ceil(blocks / threads);
	const rowFours = stride(shape.columns) / 4;
	const origin =
		name === "x"
			? `group.x * ${rows}u`
			: `${expertOffset(shape)}group.y * ${rows}u`;
	const reg = (pass: number, i: number) => `${name}${pass}_${i}`;
	const mine = (text: string) =>
		blocks < threads ? `if (thread < ${blocks}u) {\n${text}\n}` : text;
	const eachPass = (text: (pass: number) => string) => each(passes, text);
	const column = (pass: number) => `slab * ${FOURS}u + ${name}K${pass}`;
	const row = (pass: number, i: number) =>
		`${origin} + 4u * ${name}Row${pass} + ${i}u`;
	const loadOf = (value: (pass: number, i: number) => string) =>
		mine(
			eachPass((pass) =>
				each(4, (i) => `    ${reg(pass, i)} = ${value(pass, i)};`),
			),
		);
	return {
		name,
		rows,
		declare: eachPass(
			(
				pass,
			) => `  let ${name}K${pass} = (thread + ${pass * threads}u) % ${FOURS}u;
  let ${name}Row${pass} = (thread + ${pass * threads}u) / ${FOURS}u;
  let ${name}From${pass} = (${origin} + 4u * ${name}Row${pass}) * ${rowFours}u + ${name}K${pass};
${each(4, (i) => `  var ${reg(pass, i)} = vec4<f32>();`)}`,
		),
		load: loadOf(
			(pass, i) =>
				`${name}4(${name}From${pass} + ${i * rowFours}u + slab * ${FOURS}u)`,
		),
		loadLora: loadOf(
			(pass, i) => `${name}Lora4(u, ${row(pass, i)}, ${column(pass)})`,
		),
		store: mine(
			eachPass((pass) =>
				each(4, (i) => {
					const turned = range(4).map((j) => `${reg(pass, j)}.${"xyzw"[i]}`);
					const at = `(4u * ${name}K${pass} + ${i}u) * ${rows / 4}u + (${name}Row${pass} ^ ${name}K${pass})`;
					return `    ${name}Tile[${at}] = vec4<f32>(${turned.join(", ")});`;
				}),
			),
		),
	};
}

/** `xLora4`, `weightLora4`: of a token, of a row, vec4 `four` of the u-th used slot's columns. A row has none of other targets. */
const loraFunctions = (lora: LoraColumns, storage: Storage): string =>
	`${fourFunctions(lora, storage)}
fn xLora4(u: u32, token: u32, four: u32) -> vec4<f32> {
  return small4(token * ${smallStride(lora) / 4}u + u * ${slotColumns(lora) / 4}u + four);
}
fn weightLora4(u: u32, row: u32, four: u32) -> vec4<f32> {
  let own = four - targetOf(row) * ${lora.rank / 4}u;
  if (own >= ${lora.rank / 4}u) { return vec4<f32>(); }
  return b4(${usedSlot("u")}, row, own);
}`;

/** The slabs of the adapters' columns, after those of the weight. */
function loraProducts(
	lora: LoraColumns,
	{ split }: LinearShape,
	all: (text: (o: Operand) => string) => string,
	tile: TileOptions,
): string {
	const numUsed = split ? `select(${NUM_USED}, 0u, group.z > 0u)` : NUM_USED;
	return `  for (var u = 0u; u < ${numUsed}; u++) {
  for (slab = 0u; slab < ${slotColumns(lora) / BLOCK}u; slab++) {
${all((o) => o.loadLora)}
    workgroupBarrier();
${all((o) => o.store)}
    workgroupBarrier();
${products(tile)}
  }
  }`;
}

/** Sums of token i of the thread's a-th vec4 of tokens and its b-th vec4 of rows. */
function eachSum(
	{ threadTokens, threadRows }: TileOptions,
	text: (name: string, a: number, i: number, b: number) => string,
): string {
	return each(threadTokens / 4, (a) =>
		each(4, (i) =>
			each(threadRows / 4, (b) => text(`sum${a}_${i}_${b}`, a, i, b)),
		),
	);
}

/** Tiles' product, four columns a turn. */
function products(tile: TileOptions): string {
	const { tokens, rows, threadTokens, threadRows } = tile;
	const column = (k: number) => `      {
${each(threadTokens / 4, (a) => `        let x${a} = xTile[(4u * k4 + ${k}u) * ${tokens / 4}u + ((threadToken + ${(a * tokens) / threadTokens}u) ^ k4)];`)}
${each(threadRows / 4, (b) => `        let w${b} = weightTile[(4u * k4 + ${k}u) * ${rows / 4}u + ((threadRow + ${(b * rows) / threadRows}u) ^ k4)];`)}
${eachSum(tile, (sum, a, i, b) => `        ${sum} = fma(vec4<f32>(x${a}.${"xyzw"[i]}), w${b}, ${sum});`)}
      }`;
	return `    for (var k4 = 0u; k4 < ${FOURS}u; k4++) {
${each(4, column)}
    }`;
}

/** What one vec4 of rows becomes. */
function outputType({ epilogue, storage }: LinearShape): string {
	if (epilogue === "store") return vec4Type(storage);
	if (epilogue !== "gated") return "vec4<f32>";
	return storage === "f16" ? "u32" : "vec2<f32>";
}

function writeOutput(shape: LinearShape, tile: TileOptions): string {
	const { epilogue, rows, outputStride, bias, split } = shape;
	const { tokens, threadTokens, threadRows } = tile;
	const gated = epilogue === "gated";
	const rowFours = outputStride / (gated ? 2 : 4);
	const limit = stride(rows) / 4;
	const overhangs = Math.ceil(rows / tile.rows) * (tile.rows / 4) > limit;
	const firstToken = split ? `group.z * ${split.rows}u + ` : "";
	const biasFour = (b: number) =>
		`vec4<f32>(${range(4).map((i) => `bias[${expertOffset(shape)}4u * row${b} + ${i}u]`)})`;
	const writes = (b: number) =>
		each(threadTokens / 4, (a) =>
			each(4, (i) => {
				const sum = `sum${a}_${i}_${b}`;
				const y = bias ? `${sum} + bias${b}` : sum;
				const token = `(token + ${(4 * a * tokens) / threadTokens + i}u)`;
				return `    { let y = ${y}; output[${token} * ${rowFours}u + row${b}] ${epilogue === "add" ? "+=" : "="} ${outputValue(shape)}; }`;
			}),
		);
	return `  let token = ${firstToken}group.x * ${tokens}u + 4u * threadToken;
${each(
	threadRows / 4,
	(
		b,
	) => `  let row${b} = group.y * ${tile.rows / 4}u + threadRow + ${(b * tile.rows) / threadRows}u;
  ${overhangs ? `if (row${b} < ${limit}u) ` : ""}{
${bias ? `    let bias${b} = ${biasFour(b)};` : ""}
${writes(b)}
  }`,
)}`;
}

/** Of four rows' `y`. */
function outputValue(shape: LinearShape): string {
	const { epilogue, storage } = shape;
	if (epilogue === "store") return pack4(storage, "y");
	if (epilogue !== "gated") return finished(shape, "y");
	const both = "vec2<f32>(gated(y.x, y.y), gated(y.z, y.w))";
	return storage === "f16" ? `toHalves4(vec4<f32>(${both}, 0.0, 0.0)).x` : both;
}
