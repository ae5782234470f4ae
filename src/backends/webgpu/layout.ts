/**
 * How arrays lie in GPU buffers: what every kernel may rely on. Knows no kernel.
 *
 * Activation   [rows][stride(width)]; `f16` (two halves a u32) or `f32`. Elements width .. stride − 1 are zero. Buffers have rows up
 *              to a multiple of 128, those past T hold anything. The residual and the logits are always f32.
 * Matrix       weight [paddedRows(N)][stride(K)], K contiguous, padding zero: f16 (two a u32) or f32; or q8_0, q4_0 as two buffers:
 *              quants (u32) and scales (f16, two a u32; one a block of 32 along K).
 *              q8_0: 4 int8 a u32, in order. q4_0: word w of a block's four has elements 4w .. 4w+3 in its low and 16+4w .. 19+4w in
 *              its high nibbles, as GGUF; w = scale · (q − 8).
 *              Gate and up projections are interleaved: row 2i is gate i, row 2i + 1 is up i. Experts lie one after another, each
 *              with paddedRows(N) rows.
 * Vector       f32 [stride(length)]: norms, biases. A bias is interleaved, and its experts padded, as its matrix is.
 * KV cache     per layer one buffer of keys and one of values, f16: [block][KV head][blockSize][stride8(headDim)].
 * Rope table   f32 [maxModelLen][headDim / 2][2]: cosine, sine.
 * Tokens       vec4<u32> [T]: id, position, slot, 0. Bit 31 of an id: the low bits are a row of the step before, whose sampled
 *              token it is.
 */
import type { Weight } from "../program.ts";

/** How activations are stored between ops. */
export type Storage = "f16" | "f32";

/** How a matrix is stored. bf16 checkpoints become f16. */
export type MatrixFormat = "f16" | "f32" | "q8_0" | "q4_0";

/** Elements of a quantized block. */
export const BLOCK = 32;
/** Rows of activation buffers and matrices are padded to whole tiles of the largest kernel. */
export const TILE_ROWS = 128;
/** Bit of a token id that is not known to the host. */
export const CARRIED = 0x80000000;

export const roundUp = (n: number, to: number): number =>
	Math.ceil(n / to) * to;

/** Elements from one row of an activation or matrix to the next. */
export const stride = (width: number): number => roundUp(width, BLOCK);

/** Elements of a head in the cache. */
export const stride8 = (headDim: number): number => roundUp(headDim, 8);

export const paddedRows = (rows: number): number => roundUp(rows, TILE_ROWS);

export const BYTES: Readonly<Record<Storage, number>> = { f16: 2, f32: 4 };

/** Bytes of quants and of scales for `elements` (a multiple of 32) of a matrix. */
export function matrixBytes(
	format: MatrixFormat,
	elements: number,
): { readonly values: number; readonly scales: number } {
	switch (format) {
		case "f32":
			return { values: 4 * elements, scales: 0 };
		case "f16":
			return { values: 2 * elements, scales: 0 };
		case "q8_0":
			return { values: elements, scales: elements / 16 };
		case "q4_0":
			return { values: elements / 2, scales: elements / 16 };
		default:
			return format satisfies never;
	}
}

/** Elements of a matrix with its padding. */
export function matrixElements({ shape: [rows, columns] }: Weight): number {
	return paddedRows(rows) * stride(columns);
}
