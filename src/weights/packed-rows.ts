/**
 * compressed-tensors' pack-quantized layers: unsigned integers of 4 or 8 bits along a row, the first in the lowest bits of a word, stored
 * 2^(bits − 1) above the signed ones they stand for. Zero points, where there are any, are packed alike along columns.
 */
import type { Scheme } from "./compressed-tensors-config.ts";
import { readGroupIndex } from "./group-index.ts";
import { unsupportedConfig } from "./quantization-fields.ts";
import type { RawTensors } from "./safetensors.ts";
import { type HeaderEntry, show } from "./safetensors-header.ts";
import {
	fitGrid,
	gridOf,
	readBlocks,
	type ScaleGrid,
	type ScaleLayout,
	scaleDtypes,
} from "./scale-grid.ts";
import { type ScaledRows, scaledRowsTensor } from "./scaled-rows.ts";
import {
	checkDtype,
	checkShape,
	companion,
	matrixShape,
	optional,
	type VirtualTensor,
	wordsOf,
	wrongShape,
} from "./virtual-tensor.ts";

/** @throws missing_tensor, shape_mismatch, unsupported_dtype, unsupported_model */
export function packedTensor(
	raw: RawTensors,
	codes: HeaderEntry,
	schemes: readonly Scheme[],
): VirtualTensor {
	checkDtype(codes, ["I32"]);
	const name = codes.name.slice(0, -"_packed".length);
	const [rows, numWords] = matrixShape(codes);
	const scale = companion(raw, `${name}_scale`, codes.name, scaleDtypes);
	const { bits, symmetric, actOrder, scales } = fitScheme(
		codes,
		scale,
		schemes,
	);
	const perWord = 32 / bits;
	const columns = numWords * perWord;
	const layer = { raw, name, codes, rows, columns, bits, scales };
	const zeros = zerosOf(layer, symmetric);
	const index = optional(raw, `${name}_g_idx`, codes.name, ["I32"], actOrder);
	const shape = optional(raw, `${name}_shape`, codes.name, ["I64", "I32"]);
	if (shape) checkShape(shape, [2], "rows and columns");
	const tensor = scaledRowsTensor(raw, {
		name,
		rows,
		columns,
		codes,
		scales,
		readZeros: zeros?.read ?? null,
		readColumnGroups: index
			? (signal) =>
					readGroupIndex(raw, index, columns, scales.numColumns, signal)
			: null,
		others: [zeros?.entry, index, shape].flatMap((e) => (e ? [e.name] : [])),
		unpack: (bytes) => unpackRows(bytes, bits),
		numbers: Float32Array.from(
			{ length: 2 ** bits },
			(_, code) => code - 2 ** (bits - 1),
		),
	});
	if (shape === undefined) return tensor;
	return {
		...tensor,
		async read(rowStart, rowEnd, signal) {
			await checkStoredShape(raw, shape, [rows, columns], perWord, signal);
			return tensor.read(rowStart, rowEnd, signal);
		},
	};
}

interface PackedLayer {
	readonly raw: RawTensors;
	readonly name: string;
	readonly codes: HeaderEntry;
	readonly rows: number;
	readonly columns: number;
	readonly bits: number;
	readonly scales: ScaleGrid;
}

/** Groups of layers may differ in bits; the shape of the scales tells which group a layer is of. */
function fitScheme(
	codes: HeaderEntry,
	scale: HeaderEntry,
	schemes: readonly Scheme[],
) {
	const [rows, numWords] = matrixShape(codes);
	const fitting = schemes.flatMap((scheme) => {
		const columns = (numWords * 32) / scheme.bits;
		const scales = gridOf(scale, scheme.scales, rows, columns);
		return scales ? [{ ...scheme, scales }] : [];
	});
	const [first] = fitting;
	if (first === undefined)
		throw wrongShape(
			scale,
			`the scales of ${show(codes.name)} [${rows}, ${numWords}] in one of the forms that quantization_config names`,
		);
	if (fitting.some(({ bits }) => bits !== first.bits))
		throw unsupportedConfig(
			`config_groups: layers of 4 and of 8 bits can only be told apart by groups of scales, ${show(codes.name)} has none`,
		);
	return {
		bits: first.bits,
		scales: first.scales,
		// What only some of the fitting groups of layers want, this layer need not have.
		symmetric: fitting.some((scheme) => scheme.symmetric),
		actOrder: fitting.every((scheme) => scheme.actOrder),
	};
}

/** u32 [n, words] → u8 [n, words · 32 / bits] */
function unpackRows(bytes: Uint8Array, bits: number): Uint8Array {
	// A byte is a code, or two with the first in its low half: words need not be seen.
	if (bits === 8) return bytes;
	const codes = new Uint8Array(bytes.length * 2);
	for (let i = 0; i < bytes.length; i++) {
		codes[2 * i] = bytes[i] & 15;
		codes[2 * i + 1] = bytes[i] >>> 4;
	}
	return codes;
}

interface Zeros {
	readonly entry: HeaderEntry;
	readonly read: NonNullable<ScaledRows["readZeros"]>;
}

/** null: all are 0. I32 zero points are packed, I8 ones, of older versions, are not. */
function zerosOf(layer: PackedLayer, symmetric: boolean): Zeros | null {
	const { raw, codes } = layer;
	const name = `${layer.name}_zero_point`;
	const dtypes = ["I32", "I8"];
	const entry = optional(raw, name, codes.name, dtypes, !symmetric);
	if (entry === undefined) return null;
	return entry.dtype === "I8"
		? plainZeros(layer, entry)
		: packedZeros(layer, entry);
}

function plainZeros(
	{ raw, rows, columns, scales }: PackedLayer,
	entry: HeaderEntry,
): Zeros {
	const layout: ScaleLayout =
		scales.blockRows === 1
			? { kind: "group", size: scales.blockColumns }
			: { kind: "block", rows: scales.blockRows, columns: scales.blockColumns };
	const grid = fitGrid(entry, [layout], rows, columns);
	return {
		entry,
		async read(start, end, signal) {
			const bytes = await readBlocks(raw, grid, start, end, signal);
			return Float32Array.from(bytes, (byte) => (byte << 24) >> 24);
		},
	};
}

function packedZeros(layer: PackedLayer, entry: HeaderEntry): Zeros {
	const { raw, rows, bits, scales } = layer;
	if (scales.blockRows !== 1)
		throw unsupportedConfig(
			`${show(entry.name)}: packed zero points are supported for strategies group and channel`,
		);
	const perWord = 32 / bits;
	const shape = [Math.ceil(rows / perWord), scales.numColumns];
	checkShape(entry, shape, `${perWord} zero points a word`);
	return {
		entry,
		async read(start, end, signal) {
			const first = Math.floor(start / perWord);
			const last = Math.ceil(end / perWord);
			const bytes = await raw.readRaw(entry.name, first, last, signal);
			return unpackZeros(wordsOf(bytes), layer, start, end);
		},
	};
}

/** words: of rows ⌊start / perWord⌋ …, along columns. */
function unpackZeros(
	words: Int32Array,
	{ bits, scales: { numColumns } }: PackedLayer,
	start: number,
	end: number,
): Float32Array {
	const perWord = 32 / bits;
	const zeros = new Float32Array((end - start) * numColumns);
	const first = Math.floor(start / perWord);
	for (let row = start; row < end; row++) {
		const line = (Math.floor(row / perWord) - first) * numColumns;
		const shift = bits * (row % perWord);
		for (let g = 0; g < numColumns; g++)
			zeros[(row - start) * numColumns + g] =
				((words[line + g] >>> shift) & (2 ** bits - 1)) - 2 ** (bits - 1);
	}
	return zeros;
}

/** What the file says of the matrix's size. A row that ends inside a word is no size a kernel wants. @throws shape_mismatch */
async function checkStoredShape(
	raw: RawTensors,
	entry: HeaderEntry,
	wanted: readonly number[],
	perWord: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	const bytes = await raw.readRaw(entry.name, 0, 2, signal);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const stored =
		entry.dtype === "I64"
			? [Number(view.getBigInt64(0, true)), Number(view.getBigInt64(8, true))]
			: [view.getInt32(0, true), view.getInt32(4, true)];
	if (stored.join() === wanted.join()) return;
	throw wrongShape(
		{ ...entry, shape: stored },
		`the size [${wanted.join(", ")}] that weight_packed has, whole words of ${perWord} elements`,
	);
}
