/**
 * Rows of a checkpoint tensor into a matrix as kernels read it: converted or quantized, padded, gate and up interleaved. Rows that are
 * blocks of the matrix's own format already keep them bit for bit.
 */
import type { TensorDtype } from "../../backend.ts";
import type { Kernel } from "../kernel.ts";
import { BLOCK, type MatrixFormat, stride } from "../layout.ts";
import type { RowLayout } from "../row-layout.ts";
import { each } from "../wgsl.ts";
import { HALF_OF } from "./exact-number.ts";
import { quantizeBlock, quantizeFunctions } from "./quantize-block.ts";

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
${HALF_OF}
fn half(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x477fe000u && magnitude <= 0x7f800000u) { atomicMax(&overflow[0], raw[4] + 1u); }
  return halfOf(bits);
}
fn setScale(block: u32, bits: u32) {
  atomicOr(&scales[block / 2u], half(bits) << (16u * (block % 2u)));
}
${format === "q8_0" || format === "q4_0" ? quantizeFunctions(format) : ""}
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

/** `element(at)`: bits of element `at` behind the header as an f32. */
const ELEMENT: Readonly<Record<TensorDtype, string>> = {
	f32: element(`raw[${PACK_HEADER_WORDS}u + at]`),
	f16: element(
		`bitcast<u32>(unpack2x16float(raw[${PACK_HEADER_WORDS}u + at / 2u])[at % 2u])`,
	),
	bf16: element(
		`(raw[${PACK_HEADER_WORDS}u + at / 2u] >> (16u * (at % 2u))) << 16u`,
	),
};

function element(expression: string): string {
	return `fn element(at: u32) -> u32 {
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
  var x: array<u32, ${BLOCK}>;
  var extreme = 0u;
  for (var i = 0u; i < ${BLOCK}u; i++) {
    x[i] = 0u;
    if (column + i < ${columns}u) { x[i] = element(rawRow * ${columns}u + column + i); }
    if ((x[i] & 0x7fffffffu) > (extreme & 0x7fffffffu)) { extreme = x[i]; }
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
	f32: each(BLOCK, (i) => `  values[block * 32u + ${i}u] = x[${i}];`),
	f16: each(
		BLOCK / 2,
		(i) =>
			`  values[block * 16u + ${i}u] = half(x[${2 * i}]) | (half(x[${2 * i + 1}]) << 16u);`,
	),
	q8_0: quantizeBlock("q8_0"),
	q4_0: quantizeBlock("q4_0"),
};
