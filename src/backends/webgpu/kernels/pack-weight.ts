/**
 * Rows of a checkpoint tensor into a matrix as kernels read it: converted or quantized, padded, gate and up interleaved. Rows that are
 * blocks of the matrix's own format already keep them bit for bit.
 * Blocks are quantized as ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref do (ggml-quants.c).
 */
import type { TensorDtype } from "../../backend.ts";
import type { Kernel } from "../kernel.ts";
import { BLOCK, type MatrixFormat, stride } from "../layout.ts";
import type { RowLayout } from "../row-layout.ts";
import { each, MAX_HALF } from "../wgsl.ts";

/** What rows may come in; blocks only for a matrix of the same format. */
export type RawDtype = TensorDtype | "q8_0" | "q4_0";

export interface PackOptions {
	readonly from: RawDtype;
	readonly format: MatrixFormat;
	/** K of the weight. */
	readonly columns: number;
	readonly layout: RowLayout;
}

/** u32 before the raw elements: first row, number of rows, first row of the slice, its rows; the weight's number; three unused. */
export const PACK_HEADER_WORDS = 8;
const THREADS = 64;

/** Workgroups for `numRows` raw rows. */
export function packGrid(columns: number, numRows: number): [number, number] {
	const blocks = (stride(columns) / BLOCK) * numRows;
	const groups = Math.ceil(blocks / THREADS);
	const x = Math.min(groups, 32_768);
	return [x, Math.ceil(groups / x)];
}

/** One thread a block of 32. bindings: raw, values, scales, overflow (the last weight with a number no half can hold, from 1) */
export function packWeight(options: PackOptions): Kernel {
	const { from, format, columns, layout } = options;
	const blocks = stride(columns) / BLOCK;
	const isCopied = from === "q8_0" || from === "q4_0";
	return {
		label: `pack_weight_${from}_to_${format}_${layoutLabel(layout)}x${columns}`,
		bindings: [
			["raw", "read", "array<u32>"],
			["values", "write", "array<u32>"],
			["scales", "write", "array<atomic<u32>>"],
			["overflow", "write", "array<atomic<u32>>"],
		],
		code: `
${isCopied ? HALFWORDS : ELEMENT[from]}
fn half(x: f32) -> u32 {
  if (abs(x) > ${MAX_HALF}.0) { atomicMax(&overflow[0], raw[4] + 1u); }
  return pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu;
}
fn setScale(block: u32, scale: f32) {
  atomicOr(&scales[block / 2u], half(scale) << (16u * (block % 2u)));
}
// Division need not be rounded correctly on a GPU; one step of Newton's method mends it, so that ties fall as they do in ggml.
fn reciprocal(x: f32) -> f32 {
  if (x == 0.0) { return 0.0; }
  let y = 1.0 / x;
  return fma(y, fma(-x, y, 1.0), y);
}
fn roundAway(x: f32) -> i32 {
  return i32(sign(x) * floor(abs(x) + 0.5));
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.y * groups.x * ${THREADS}u + id.x;
  let rawRow = index / ${blocks}u;
  if (rawRow >= raw[1]) { return; }
  let origin = raw[0] + rawRow;
${placeText(layout)}
  if (to < raw[2] || to >= raw[2] + raw[3]) { return; }
  let block = (to - raw[2]) * ${blocks}u + index % ${blocks}u;
${isCopied ? copy(from) : convert(format, columns, blocks)}
}`,
	};
}

/** `element(at)`: element `at` behind the header. */
const ELEMENT: Readonly<Record<TensorDtype, string>> = {
	f32: element(`bitcast<f32>(raw[${PACK_HEADER_WORDS}u + at])`),
	f16: element(
		`unpack2x16float(raw[${PACK_HEADER_WORDS}u + at / 2u])[at % 2u]`,
	),
	bf16: element(
		`bitcast<f32>((raw[${PACK_HEADER_WORDS}u + at / 2u] >> (16u * (at % 2u))) << 16u)`,
	),
};

function element(expression: string): string {
	return `fn element(at: u32) -> f32 {
  return ${expression};
}`;
}

/** Reads a block's elements into `x` and writes them in the matrix's format. */
function convert(
	format: MatrixFormat,
	columns: number,
	blocks: number,
): string {
	return `  let column = (index % ${blocks}u) * ${BLOCK}u;
  var x: array<f32, ${BLOCK}>;
  var amax = 0.0;
  var extreme = 0.0;
  for (var i = 0u; i < ${BLOCK}u; i++) {
    x[i] = 0.0;
    if (column + i < ${columns}u) { x[i] = element(rawRow * ${columns}u + column + i); }
    if (abs(x[i]) > amax) { amax = abs(x[i]); extreme = x[i]; }
  }
${WRITE[format]}`;
}

const layoutLabel = ({ count, rows, pitch, interleaved }: RowLayout) =>
	`${count === 1 ? "" : `${count}x`}${rows}${pitch === rows ? "" : `of${pitch}`}${interleaved ? "_interleaved" : ""}`;

/** `to`: where row `origin` of the weight goes. See placeOfRow. */
function placeText({ rows, pitch, interleaved }: RowLayout): string {
	const half = rows / 2;
	const placed = interleaved
		? `select(2u * i, 2u * (i - ${half}u) + 1u, i >= ${half}u)`
		: "i";
	return `  let i = origin % ${rows}u;
  let to = origin / ${rows}u * ${pitch}u + ${placed};`;
}

const BLOCK_BYTES = { q8_0: 34, q4_0: 18 } as const;

/** `halfword(at)`: two bytes behind the header; `word(at)`: four. `at` is even, as every part of a block is. */
const HALFWORDS = `fn halfword(at: u32) -> u32 {
  return (raw[${PACK_HEADER_WORDS}u + at / 4u] >> (8u * (at % 4u))) & 0xffffu;
}
fn word(at: u32) -> u32 {
  return halfword(at) | (halfword(at + 2u) << 16u);
}`;

/** A block of GGUF's is its scale, then the same words of quants as layout.ts has. */
function copy(from: "q8_0" | "q4_0"): string {
	const words = from === "q8_0" ? 8 : 4;
	return `  let at = index * ${BLOCK_BYTES[from]}u;
  atomicOr(&scales[block / 2u], halfword(at) << (16u * (block % 2u)));
${each(words, (w) => `  values[block * ${words}u + ${w}u] = word(at + ${2 + 4 * w}u);`)}`;
}

/** The block's elements `x` to where they belong. */
const WRITE: Readonly<Record<MatrixFormat, string>> = {
	f32: each(
		BLOCK,
		(i) => `  values[block * 32u + ${i}u] = bitcast<u32>(x[${i}]);`,
	),
	f16: each(
		BLOCK / 2,
		(i) =>
			`  values[block * 16u + ${i}u] = half(x[${2 * i}]) | (half(x[${2 * i + 1}]) << 16u);`,
	),
	q8_0: `  let quotient = amax * (1.0 / 127.0);
  let scale = fma(fma(-127.0, quotient, amax), 1.0 / 127.0, quotient);
  let inverse = reciprocal(scale);
  setScale(block, scale);
${each(BLOCK / 4, (w) => {
	const bytes = [0, 1, 2, 3].map(
		(i) => `((u32(roundAway(x[${4 * w + i}] * inverse)) & 0xffu) << ${8 * i}u)`,
	);
	return `  values[block * 8u + ${w}u] = ${bytes.join(" | ")};`;
})}`,
	q4_0: `  let scale = extreme * -0.125;
  let inverse = reciprocal(scale);
  setScale(block, scale);
${each(BLOCK / 8, (w) => {
	const nibble = (i: number) =>
		`u32(min(15.0, trunc(x[${i}] * inverse + 8.5)))`;
	const bytes = [0, 1, 2, 3].map(
		(i) =>
			`((${nibble(4 * w + i)} | (${nibble(16 + 4 * w + i)} << 4u)) << ${8 * i}u)`,
	);
	return `  values[block * 4u + ${w}u] = ${bytes.join(" | ")};`;
})}`,
};
