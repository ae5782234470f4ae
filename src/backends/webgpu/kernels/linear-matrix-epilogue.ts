/**
 * What a matrix kernel does with its sums. Where the output is f32 as it is, matrices are stored to it directly; else they
 * pass through workgroup memory, since WGSL shows no element of a matrix: the tile's own memory, once the last slab is used.
 */
import { stride } from "../layout.ts";
import { each, HALVES, range } from "../wgsl.ts";
import { finished, gatedFunction, isFinished } from "./epilogue.ts";
import { expertOffset, type LinearShape } from "./linear.ts";
import {
	columnsWritten,
	type MatrixTile,
	SIDE,
	splitsOf,
	type TileSizes,
} from "./linear-matrix-tile.ts";

/** Type of the output's elements: what one thread writes of eight staged sums, or a part of it. */
export const OUTPUT_TYPES = {
	store: "array<vec4<u32>>",
	gated: "array<vec2<u32>>",
	add: "array<vec4<f32>>",
	logits: "array<vec4<f32>>",
	partial: "array<vec4<f32>>",
} as const;

/** Whether matrices go to the output as they are. */
export function storesDirectly(shape: LinearShape, tile: MatrixTile): boolean {
	const staged = shape.epilogue === "store" || shape.epilogue === "gated";
	return (
		!staged && !shape.bias && !isFinished(shape) && tile.subgroups[2] === 1
	);
}

/** `if` around text where the last tile is wider than the output. */
function guarded(
	shape: LinearShape,
	rows: number,
	column: string,
	text: string,
) {
	const columns = columnsWritten(shape);
	return columns % rows === 0
		? text
		: `if (${column} < ${columns}u) {\n${text}\n}`;
}

/** Place of the subgroup's matrix i, j in an f32 output. */
function matrixPlace(shape: LinearShape, i: number, j: number): string {
	const pitch = shape.outputStride / 4;
	return `(token + ${i * SIDE}u) * ${pitch}u + (row + ${j * SIDE}u) / 4u, `;
}

/** First value of the sums of matrix i, j: what `add` adds to. */
export function initialSum(
	shape: LinearShape,
	{ rows }: TileSizes,
	i: number,
	j: number,
): string {
	const pitch = `${shape.outputStride / 4}u`;
	const load = `sum${i}_${j} = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&output, ${matrixPlace(shape, i, j)}${pitch});`;
	return guarded(shape, rows, `row + ${j * SIDE}u`, load);
}

/** `token` and `row`: where the subgroup's matrices begin in the output. */
export function directEpilogue(
	shape: LinearShape,
	{ matrices: [tokens, rows] }: MatrixTile,
	sizes: TileSizes,
): string {
	const store = (i: number, j: number) =>
		guarded(
			shape,
			sizes.rows,
			`row + ${j * SIDE}u`,
			`subgroupMatrixStore<row_major>(&output, ${matrixPlace(shape, i, j)}sum${i}_${j}, ${shape.outputStride / 4}u);`,
		);
	return each(tokens, (i) => each(rows, (j) => store(i, j)));
}

/**
 * Some rows of matrices of every subgroup at a time: stored side by side, then eight columns a thread, added up over the
 * subgroups along K, and written.
 */
export function stagedEpilogue(
	shape: LinearShape,
	tile: MatrixTile,
	sizes: TileSizes,
): string {
	const { stagedMatrices, stagePitch, stage, threads } = sizes;
	const [alongTokens, alongRows, alongK] = tile.subgroups;
	const [tokenMatrices, rowMatrices] = tile.matrices;
	const tiles = alongTokens * alongRows;
	const round = (first: number) => {
		const count = Math.min(stagedMatrices, tokenMatrices - first);
		const store = (i: number, j: number) =>
			`subgroupMatrixStore<row_major>(&tiles, subgroup * ${stage}u + ${i * SIDE * stagePitch + j * 4}u, sum${first + i}_${j}, ${stagePitch}u);`;
		const height = count * SIDE;
		const width = rowMatrices * 2;
		return `
workgroupBarrier();
${each(count, (i) => each(rowMatrices, (j) => store(i, j)))}
workgroupBarrier();
for (var item = thread; item < ${tiles * height * width}u; item += ${threads}u) {
  let tile = item / ${height * width}u;
  let line = item / ${width}u % ${height}u;
  let place = tile * ${stage}u + line * ${stagePitch}u + item % ${width}u * 2u;
  let t = firstToken + tile % ${alongTokens}u * ${tokenMatrices * SIDE}u + ${first * SIDE}u + line;
  let n = firstRow + tile / ${alongTokens}u * ${rowMatrices * SIDE}u + item % ${width}u * 8u;
  var low = bitcast<vec4<f32>>(tiles[place]);
  var high = bitcast<vec4<f32>>(tiles[place + 1u]);
  ${range(alongK - 1)
		.map((k) => `place + ${(k + 1) * tiles * stage}u`)
		.map(
			(at) =>
				`low += bitcast<vec4<f32>>(tiles[${at}]); high += bitcast<vec4<f32>>(tiles[${at} + 1u]);`,
		)
		.join("\n  ")}
  ${shape.bias ? addBias(shape) : ""}
  ${guarded(shape, sizes.rows, "n", writeEight(shape))}
}`;
	};
	return range(Math.ceil(tokenMatrices / stagedMatrices))
		.map((i) => round(i * stagedMatrices))
		.join("\n");
}

function addBias(shape: LinearShape): string {
	const n = shape.experts ? `(${expertOffset(shape)}n)` : "n";
	return `if (n < ${stride(shape.rows)}u) {
    low += bias[${n} / 4u];
    high += bias[${n} / 4u + 1u];
  }`;
}

/** `low` and `high`: columns n .. n + 7 of token t. */
function writeEight(shape: LinearShape): string {
	const { epilogue, outputStride } = shape;
	const at = `t * ${outputStride / 4}u + n / 4u`;
	switch (epilogue) {
		case "store":
			return `output[(t * ${outputStride}u + n) / 8u] = vec4<u32>(toHalves4(low), toHalves4(high));`;
		case "gated":
			return `let gate = vec4<f32>(low.xz, high.xz);
  let up = vec4<f32>(low.yw, high.yw);
  output[(t * ${outputStride}u + n / 2u) / 4u] = toHalves4(${shape.gating ? "gated(gate, up)" : "gate / (1.0 + exp(-gate)) * up"});`;
		case "add":
			return `output[${at}] += ${finished(shape, "low")};
  output[${at} + 1u] += ${finished(shape, "high")};`;
		case "logits":
			return `output[${at}] = ${finished(shape, "low")};
  output[${at} + 1u] = ${finished(shape, "high")};`;
		case "partial":
			return `output[${at}] = low;
  output[${at} + 1u] = high;`;
		default:
			return epilogue satisfies never;
	}
}

/** Where the workgroup's tokens begin in the output: each split has rows of its own. */
export function firstToken(shape: LinearShape, { tokens }: TileSizes): string {
	const split = shape.split;
	const own = `group.x * ${tokens}u`;
	return split && splitsOf(shape) > 1
		? `group.z * ${split.rows}u + ${own}`
		: own;
}

export const epilogueFunctions = (shape: LinearShape): string =>
	(shape.epilogue === "store" || shape.epilogue === "gated" ? HALVES : "") +
	(shape.gating ? gatedFunction(shape, "vec4<f32>") : "");
