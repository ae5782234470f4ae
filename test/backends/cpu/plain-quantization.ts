/**
 * ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref (ggml-quants.c) by their formulas, number by number, in f32 arithmetic
 * written out. Shares no code with the kernels it is the measure of.
 */
import type {
	TensorDtype,
	WeightSource,
} from "../../../src/backends/backend.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";

export type QuantizedFormat = "q8_0" | "q4_0";

export const BLOCK = 32;

/** One row: per block a scale (an f16 value), per element a small integer and the value it stands for. */
export interface QuantizedRow {
	readonly scales: Float64Array;
	/** Of q4_0: the nibble, 0..15. */
	readonly quants: Int32Array;
	readonly values: Float32Array;
}

const f32 = Math.fround;

/** C's roundf to an integer: halves away from zero. Exact, since the sum is an f64; an integer has no −0. */
const roundf = (x: number) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5) + 0;

/** Rows are padded with zeros to whole blocks. */
export function quantizeRow(
	row: Float32Array,
	format: QuantizedFormat,
): QuantizedRow {
	const numBlocks = Math.ceil(row.length / BLOCK);
	const padded = new Float32Array(numBlocks * BLOCK);
	padded.set(row);
	const scales = new Float64Array(numBlocks);
	const quants = new Int32Array(padded.length);
	const values = new Float32Array(padded.length);
	for (let b = 0; b < numBlocks; b++) {
		const block = padded.subarray(b * BLOCK, (b + 1) * BLOCK);
		const { scale, integers } =
			format === "q8_0" ? quantizeQ8(block) : quantizeQ4(block);
		scales[b] = Math.f16round(scale);
		quants.set(integers, b * BLOCK);
		const zero = format === "q8_0" ? 0 : 8;
		for (let i = 0; i < BLOCK; i++)
			values[b * BLOCK + i] = f32((integers[i] - zero) * scales[b]);
	}
	return { scales, quants, values: values.subarray(0, row.length) };
}

function quantizeQ8(block: Float32Array) {
	let amax = 0;
	for (const x of block) amax = Math.max(amax, Math.abs(x));
	const scale = f32(amax / 127);
	const inverse = scale === 0 ? 0 : f32(1 / scale);
	return {
		scale,
		integers: Array.from(block, (x) => roundf(f32(x * inverse))),
	};
}

function quantizeQ4(block: Float32Array) {
	let amax = 0;
	let max = 0;
	for (const x of block) {
		if (amax >= Math.abs(x)) continue;
		amax = Math.abs(x);
		max = x;
	}
	const scale = f32(max / -8);
	const inverse = scale === 0 ? 0 : f32(1 / scale);
	const nibble = (x: number) =>
		Math.min(15, Math.trunc(f32(f32(x * inverse) + 8.5)));
	return { scale, integers: Array.from(block, nibble) };
}

/** The same checkpoint as the device would see it: every matrix quantized and dequantized, as f32; vectors, and what has no format, as they are. */
export function quantizedSource(
	source: WeightSource,
	formatOf: (tensor: string) => QuantizedFormat | null,
): WeightSource<TensorDtype> {
	const dtypeOf = (name: string) =>
		source.tensors.get(name)?.dtype as TensorDtype;
	return {
		tensors: new Map(
			Array.from(source.tensors, ([name, info]) => [
				name,
				{ ...info, dtype: "f32" as const },
			]),
		),
		async read(name, rowStart, rowEnd, signal) {
			const bytes = await source.read(name, rowStart, rowEnd, signal);
			const values = toFloat32(bytes, dtypeOf(name)).slice();
			const shape = source.tensors.get(name)?.shape ?? [];
			const columns = shape[shape.length - 1];
			const format = formatOf(name);
			if (shape.length > 1 && format !== null)
				for (let at = 0; at < values.length; at += columns) {
					const row = values.subarray(at, at + columns);
					row.set(quantizeRow(row, format).values);
				}
			return new Uint8Array(values.buffer);
		},
		close: () => source.close(),
	};
}
