/**
 * Quantized linear layers and how each method stores them, by the slow formulas of its publication, value by value. Shares no code with the reader.
 */
import type { RandomSource } from "./random.ts";
import { writeRaw } from "./safetensors-writer.ts";

export interface RawTensor {
	readonly dtype: string;
	readonly shape: readonly number[];
	readonly bytes: Uint8Array;
}

export type Tensors = Readonly<Record<string, RawTensor>>;

/** value[o][i] = scales[o][g] · (codes[o][i] − zeros[o][g]) with g = groupOf[i]; codes and zeros are 0 … 2^bits − 1. */
export interface IntLayer {
	readonly bits: number;
	readonly codes: readonly (readonly number[])[];
	readonly scales: readonly (readonly number[])[];
	readonly zeros: readonly (readonly number[])[];
	readonly groupOf: readonly number[];
}

export interface LayerOptions {
	readonly outputs: number;
	readonly inputs: number;
	readonly bits: number;
	/** −1: one group. */
	readonly groupSize: number;
	readonly symmetric?: boolean;
	readonly actOrder?: boolean;
}

export function randomLayer(
	random: RandomSource,
	options: LayerOptions,
): IntLayer {
	const { outputs, inputs, bits, symmetric = false } = options;
	const size = options.groupSize === -1 ? inputs : options.groupSize;
	const numGroups = Math.ceil(inputs / size);
	const inOrder = Array.from({ length: inputs }, (_, i) =>
		Math.floor(i / size),
	);
	const line = (length: number, make: () => number): number[] =>
		Array.from({ length }, make);
	const table = (columns: number, make: () => number): number[][] =>
		Array.from({ length: outputs }, () => line(columns, make));
	return {
		bits,
		codes: table(inputs, () => random.below(2 ** bits)),
		scales: table(numGroups, () =>
			Math.f16round((0.1 + random.uniform()) * 10 ** (random.below(4) - 4)),
		),
		zeros: table(numGroups, () =>
			symmetric ? 2 ** (bits - 1) : random.below(2 ** bits),
		),
		groupOf: options.actOrder ? random.shuffled(inOrder) : inOrder,
	};
}

/** Nearest codes of a matrix, groups in order, zero points so that the least and the largest value of a group are met. */
export function quantizeLayer(
	matrix: Float32Array,
	options: LayerOptions,
): IntLayer {
	const { outputs, inputs, bits, symmetric = false } = options;
	const size = options.groupSize === -1 ? inputs : options.groupSize;
	const most = 2 ** bits - 1;
	const codes: number[][] = [];
	const scales: number[][] = [];
	const zeros: number[][] = [];
	for (let o = 0; o < outputs; o++) {
		const row = [...matrix.subarray(o * inputs, (o + 1) * inputs)];
		codes.push([]);
		scales.push([]);
		zeros.push([]);
		for (let start = 0; start < inputs; start += size) {
			const group = row.slice(start, start + size);
			const low = Math.min(0, ...group);
			const high = Math.max(0, ...group);
			const largest = Math.max(-low, high);
			const scale = Math.f16round(
				symmetric ? (2 * largest) / most : (high - low) / most,
			);
			const zero = symmetric ? 2 ** (bits - 1) : Math.round(-low / scale);
			scales[o].push(scale);
			zeros[o].push(zero);
			for (const value of group)
				codes[o].push(
					Math.min(most, Math.max(0, Math.round(value / scale) + zero)),
				);
		}
	}
	const groupOf = Array.from({ length: inputs }, (_, i) =>
		Math.floor(i / size),
	);
	return { bits, codes, scales, zeros, groupOf };
}

/** The f16 nearest to the f32 nearest to scale · (code − zero). */
export function valuesOf(layer: IntLayer): Float32Array {
	const { codes, scales, zeros, groupOf } = layer;
	return Float32Array.from(
		codes.flatMap((row, o) =>
			row.map((code, i) => {
				const g = groupOf[i];
				return Math.f16round(Math.fround(scales[o][g] * (code - zeros[o][g])));
			}),
		),
	);
}

/** qweight[p][o] holds inputs p · 32 / bits …, qzeros[g][p] outputs p · 32 / bits …; zero points less one but in v2. */
export function packGptq(
	name: string,
	layer: IntLayer,
	version: 1 | 2 = 1,
): Tensors {
	const { bits, codes, scales, zeros, groupOf } = layer;
	const [outputs, inputs, groups] = sizesOf(layer);
	const perWord = 32 / bits;
	const stored = (o: number, g: number): number =>
		version === 1 ? (zeros[o][g] + 2 ** bits - 1) % 2 ** bits : zeros[o][g];
	return {
		[`${name}.qweight`]: words([inputs / perWord, outputs], (p, o) =>
			word(bits, (k) => codes[o][p * perWord + k]),
		),
		[`${name}.qzeros`]: words([groups, outputs / perWord], (g, p) =>
			word(bits, (k) => stored(p * perWord + k, g)),
		),
		[`${name}.scales`]: halves([groups, outputs], (g, o) => scales[o][g]),
		[`${name}.g_idx`]: words([inputs, 1], (i) => groupOf[i], [inputs]),
	};
}

/** The k-th four bits of a word are output 8 p + order[k]. */
export function packAwq(name: string, layer: IntLayer): Tensors {
	const { codes, scales, zeros } = layer;
	const [outputs, inputs, groups] = sizesOf(layer);
	const order = [0, 2, 4, 6, 1, 3, 5, 7];
	return {
		[`${name}.qweight`]: words([inputs, outputs / 8], (i, p) =>
			word(4, (k) => codes[p * 8 + order[k]][i]),
		),
		[`${name}.qzeros`]: words([groups, outputs / 8], (g, p) =>
			word(4, (k) => zeros[p * 8 + order[k]][g]),
		),
		[`${name}.scales`]: halves([groups, outputs], (g, o) => scales[o][g]),
	};
}

export interface CompressedOptions {
	/** Of zero points; "none" for a symmetric layer. */
	readonly zeros: "none" | "packed" | "plain";
	readonly hasIndex?: boolean;
}

/** Signed integers q − 2^(bits − 1), stored as q; padding, where a row ends inside a word, is zeros. */
export function packCompressed(
	name: string,
	layer: IntLayer,
	options: CompressedOptions,
): Tensors {
	const { bits, codes, scales, zeros, groupOf } = layer;
	const [outputs, inputs, groups] = sizesOf(layer);
	const perWord = 32 / bits;
	const tensors: Record<string, RawTensor> = {
		[`${name}.weight_packed`]: words(
			[outputs, Math.ceil(inputs / perWord)],
			(o, p) => word(bits, (k) => codes[o][p * perWord + k] ?? 0),
		),
		[`${name}.weight_scale`]: halves([outputs, groups], (o, g) => scales[o][g]),
		[`${name}.weight_shape`]: longs([outputs, inputs]),
	};
	const zeroName = `${name}.weight_zero_point`;
	if (options.zeros === "packed")
		tensors[zeroName] = words([Math.ceil(outputs / perWord), groups], (p, g) =>
			word(bits, (k) => zeros[p * perWord + k]?.[g] ?? 0),
		);
	if (options.zeros === "plain")
		tensors[zeroName] = bytesOf(
			"I8",
			[outputs, groups],
			(o, g) => zeros[o][g] - 2 ** (bits - 1),
		);
	if (options.hasIndex)
		tensors[`${name}.weight_g_idx`] = words([inputs, 1], (i) => groupOf[i], [
			inputs,
		]);
	return tensors;
}

/** An 8-bit layer as int-quantized keeps it: the signed integers themselves, a scale a row. */
export function packInt8(
	name: string,
	layer: IntLayer,
	hasZeros: boolean,
): Tensors {
	const { codes, scales, zeros } = layer;
	const [outputs, inputs, groups] = sizesOf(layer);
	const tensors: Record<string, RawTensor> = {
		[`${name}.weight`]: bytesOf(
			"I8",
			[outputs, inputs],
			(o, i) => codes[o][i] - 128,
		),
		[`${name}.weight_scale`]: halves([outputs, groups], (o, g) => scales[o][g]),
	};
	if (hasZeros)
		tensors[`${name}.weight_zero_point`] = bytesOf(
			"I8",
			[outputs, groups],
			(o, g) => zeros[o][g] - 128,
		);
	return tensors;
}

function sizesOf({ codes, scales }: IntLayer): [number, number, number] {
	return [codes.length, codes[0].length, scales[0].length];
}

/** Σ value(k) · 2^(bits · k) */
function word(bits: number, value: (k: number) => number): number {
	let sum = 0;
	for (let k = 0; k < 32 / bits; k++) sum += value(k) * 2 ** (bits * k);
	return sum;
}

type At = (row: number, column: number) => number;

export function words(
	[rows, columns]: readonly number[],
	at: At,
	shape: readonly number[] = [rows, columns],
): RawTensor {
	return tensor("I32", 4, rows, columns, shape, (view, offset, r, c) =>
		view.setUint32(offset, at(r, c), true),
	);
}

export function halves([rows, columns]: readonly number[], at: At): RawTensor {
	return tensor("F16", 2, rows, columns, [rows, columns], (view, o, r, c) =>
		view.setFloat16(o, at(r, c), true),
	);
}

export function floats(
	[rows, columns]: readonly number[],
	at: At,
	shape: readonly number[] = [rows, columns],
): RawTensor {
	return tensor("F32", 4, rows, columns, shape, (view, offset, r, c) =>
		view.setFloat32(offset, at(r, c), true),
	);
}

export function longs(values: readonly number[]): RawTensor {
	const shape = [values.length];
	return tensor("I64", 8, values.length, 1, shape, (view, offset, r) =>
		view.setBigInt64(offset, BigInt(values[r]), true),
	);
}

export function bytesOf(
	dtype: string,
	[rows, columns]: readonly number[],
	at: At,
	shape: readonly number[] = [rows, columns],
): RawTensor {
	return tensor(dtype, 1, rows, columns, shape, (view, offset, r, c) =>
		view.setUint8(offset, at(r, c) & 255),
	);
}

function tensor(
	dtype: string,
	size: number,
	rows: number,
	columns: number,
	shape: readonly number[],
	put: (view: DataView, offset: number, r: number, c: number) => void,
): RawTensor {
	const view = new DataView(new ArrayBuffer(rows * columns * size));
	for (let r = 0; r < rows; r++)
		for (let c = 0; c < columns; c++) put(view, (r * columns + c) * size, r, c);
	return { dtype, shape, bytes: new Uint8Array(view.buffer) };
}

/** A safetensors file of tensors of any dtype. */
export function writeTensors(tensors: Tensors): Uint8Array<ArrayBuffer> {
	const header: Record<string, unknown> = {};
	let begin = 0;
	for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
		const end = begin + bytes.length;
		header[name] = { dtype, shape, data_offsets: [begin, end] };
		begin = end;
	}
	const parts = Object.values(tensors).map(({ bytes }) => bytes);
	return writeRaw(JSON.stringify(header), Buffer.concat(parts));
}
