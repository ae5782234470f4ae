/** Random matrices and activations as GPU kernels read them, beside the f64 values they stand for. */
import assert from "node:assert/strict";
import {
	BLOCK,
	type MatrixFormat,
	paddedRows,
	roundUp,
	type Storage,
	stride,
} from "../../src/backends/webgpu/layout.ts";
import type { RandomSource } from "./random.ts";
import type { TestArray } from "./webgpu.ts";

export interface TestMatrix {
	readonly rows: number;
	readonly columns: number;
	/** [rows][columns] */
	readonly elements: Float64Array;
	readonly values: TestArray;
	/** One half a block of 32, for q8_0 and q4_0. */
	readonly scales: Uint16Array | null;
}

const bitsOfHalves = (x: Float16Array): Uint16Array =>
	new Uint16Array(x.buffer);

/** Normal weights of about 1/sqrt(columns), some ten times as large; quantized ones have random quants and scales. */
export function randomMatrix(
	random: RandomSource,
	format: MatrixFormat,
	rows: number,
	columns: number,
): TestMatrix {
	return format === "f16" || format === "f32"
		? floatMatrix(random, format, rows, columns)
		: quantizedMatrix(random, format, rows, columns);
}

function floatMatrix(
	random: RandomSource,
	format: "f16" | "f32",
	rows: number,
	columns: number,
): TestMatrix {
	const Floats = format === "f16" ? Float16Array : Float32Array;
	const padded = new Floats(paddedRows(rows) * stride(columns));
	const elements = new Float64Array(rows * columns);
	const raw = random.vector(rows * columns, 10);
	for (let n = 0; n < rows; n++)
		for (let k = 0; k < columns; k++) {
			const at = n * stride(columns) + k;
			padded[at] = raw[n * columns + k] / Math.sqrt(columns);
			elements[n * columns + k] = padded[at];
		}
	const values = padded instanceof Float32Array ? padded : bitsOfHalves(padded);
	return { rows, columns, elements, values, scales: null };
}

function quantizedMatrix(
	random: RandomSource,
	format: "q8_0" | "q4_0",
	rows: number,
	columns: number,
): TestMatrix {
	const blocks = stride(columns) / BLOCK;
	const scales = new Float16Array(roundUp(paddedRows(rows) * blocks, 2));
	const bits = format === "q8_0" ? 8 : 4;
	const values = new Uint8Array((paddedRows(rows) * blocks * BLOCK * bits) / 8);
	const elements = new Float64Array(rows * columns);
	const levels = 2 ** bits;
	for (let n = 0; n < rows; n++)
		for (let k = 0; k < stride(columns); k++) {
			const block = n * blocks + Math.floor(k / BLOCK);
			if (k % BLOCK === 0)
				scales[block] = random.normal() / levels / Math.sqrt(columns);
			const inside = k < columns;
			const q = inside ? random.below(levels) - levels / 2 : 0;
			if (inside) elements[n * columns + k] = q * scales[block];
			if (format === "q8_0") values[block * BLOCK + (k % BLOCK)] = q;
			else values[block * 16 + (k % 16)] |= (q + 8) << (k % BLOCK < 16 ? 0 : 4);
		}
	return { rows, columns, elements, values, scales: bitsOfHalves(scales) };
}

/** [padded rows][stride(width)]: normal numbers, some `outlier` times as large, zero beyond the width, NaN in rows past `rows`. */
export function randomActivation(
	random: RandomSource,
	storage: Storage,
	rows: number,
	width: number,
	outlier = 10,
): { readonly data: TestArray; readonly elements: Float64Array } {
	const Floats = storage === "f16" ? Float16Array : Float32Array;
	const s = stride(width);
	const data = new Floats(paddedRows(rows) * s).fill(NaN, rows * s);
	const elements = new Float64Array(rows * width);
	const raw = random.vector(rows * width, outlier);
	for (let r = 0; r < rows; r++)
		for (let i = 0; i < width; i++) {
			data[r * s + i] = raw[r * width + i];
			elements[r * width + i] = data[r * s + i];
		}
	return {
		data: data instanceof Float32Array ? data : bitsOfHalves(data),
		elements,
	};
}

/** A vector [stride(length)]. */
export function paddedVector(x: Float32Array): Float32Array {
	const padded = new Float32Array(stride(x.length));
	padded.set(x);
	return padded;
}

/** Elements as numbers. */
export const readFloats = (
	bytes: ArrayBuffer,
	storage: Storage,
): Float32Array =>
	storage === "f16"
		? Float32Array.from(new Float16Array(bytes))
		: new Float32Array(bytes);

/** Fails at the first element further from the wanted one than its bound. */
export function assertWithin(
	got: ArrayLike<number>,
	want: ArrayLike<number>,
	bound: (i: number) => number,
	what: string,
): void {
	for (let i = 0; i < want.length; i++) {
		const error = Math.abs(got[i] - want[i]);
		if (error <= bound(i)) continue;
		assert.fail(
			`${what}: element ${i} is ${got[i]}, wanted ${want[i]} ± ${bound(i)}`,
		);
	}
}
