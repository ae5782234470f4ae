/**
 * A linear layer of integers stored transposed, [in, out], as GPTQ and AWQ do, read as rows [out, in]: value = scale · (code − zero).
 * A band of columns is read at once and kept until its last row was asked for, so that a layer is read once, not once for every few rows.
 */

import { readColumns } from "./columns.ts";
import { readGroupIndex } from "./group-index.ts";
import { createHalfTables, groupsInOrder } from "./half-tables.ts";
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { scaleDtypes, scaleValues } from "./scale-grid.ts";
import { allocateBytes } from "./source.ts";
import {
	checkShape,
	companion,
	optional,
	type VirtualTensor,
	wordsOf,
} from "./virtual-tensor.ts";

/** Bytes of a band at most, unless 8 columns are more. The largest matrix of a 70B model in 4 bits, 8192 × 28672, is one band. */
export const BAND_BYTES = 2 ** 27;

/** Rows unpacked at a time: a cache line of words. */
const TILE = 16;

export interface TransposedLayer {
	/** X of X.qweight. */
	readonly layer: string;
	readonly inputs: number;
	readonly outputs: number;
	readonly bits: number;
	readonly groupSize: number | null;
	/** Output columns that a word of qweight holds. */
	readonly columnsPerWord: number;
	/** Where in a word of qzeros the zero point of its k-th column begins. */
	readonly zeroShifts: readonly number[];
	/** Added to every stored zero point, modulo 2^bits. */
	readonly zeroOffset: number;
	/** Whether X.g_idx, the group of each input, is read: never, where there is one, or always. */
	readonly groupIndex: "none" | "optional" | "needed";
	/** Codes of columns start to end of the band → u8 [end − start, inputs]. */
	unpack(
		words: Int32Array,
		wordsPerRow: number,
		start: number,
		end: number,
		out: Uint8Array,
	): void;
}

/** Columns start to end of a layer. */
interface Band {
	readonly start: number;
	readonly end: number;
	readonly words: Int32Array;
	/** [groups, end − start] */
	readonly scales: Float32Array;
	readonly zeros: Float32Array;
	/** The group of each input. */
	readonly groups: Int32Array;
}

/** Holds one band of one layer, the last that was read. */
export interface BandCache {
	/** The band kept under `key`, or a new one in its place. */
	take(key: string, read: () => Promise<Band>): Promise<Band>;
	drop(): void;
}

export function createBandCache(): BandCache {
	let held: { readonly key: string; readonly band: Band } | null = null;
	return {
		async take(key, read) {
			if (held?.key === key) return held.band;
			// Let go first: there is room for one.
			held = null;
			const band = await read();
			held = { key, band };
			return band;
		},
		drop() {
			held = null;
		},
	};
}

interface Parts {
	readonly qweight: HeaderEntry;
	readonly qzeros: HeaderEntry;
	readonly scales: HeaderEntry;
	readonly index: HeaderEntry | undefined;
	readonly numGroups: number;
}

/**
 * f16 [outputs, inputs]. Beyond the rows asked for it takes a band, 16 rows of bytes, the tables of a row, and chunks of 4 MiB.
 * @throws missing_tensor, shape_mismatch, unsupported_dtype
 */
export function transposedTensor(
	raw: RawTensors,
	layer: TransposedLayer,
	cache: BandCache,
	bandBytes: number = BAND_BYTES,
): VirtualTensor {
	const { inputs, outputs } = layer;
	const name = `${layer.layer}.weight`;
	const parts = findParts(raw, layer);
	const bandColumns = columnsOfBand(layer, parts, bandBytes);
	return {
		info: { name, dtype: "f16", shape: [outputs, inputs] },
		parts: [parts.qweight, parts.qzeros, parts.scales, parts.index].flatMap(
			(entry) => (entry ? [entry.name] : []),
		),
		async read(rowStart, rowEnd, signal) {
			const out = allocateBytes(name, (rowEnd - rowStart) * inputs * 2);
			const halves = new Uint16Array(out.buffer);
			for (let row = rowStart; row < rowEnd; ) {
				const start = row - (row % bandColumns);
				const end = Math.min(outputs, start + bandColumns);
				const band = await cache.take(`${name} ${start}`, () =>
					readBand(raw, layer, parts, start, end, signal),
				);
				const last = Math.min(rowEnd, end);
				const to = halves.subarray(
					(row - rowStart) * inputs,
					(last - rowStart) * inputs,
				);
				fillRows(name, layer, band, row, last, to);
				row = last;
			}
			if (rowEnd === outputs) cache.drop();
			return out;
		},
	};
}

/** @throws missing_tensor, shape_mismatch, unsupported_dtype */
function findParts(raw: RawTensors, layer: TransposedLayer): Parts {
	const { inputs, outputs, groupSize, zeroShifts, groupIndex } = layer;
	const owner = `${layer.layer}.qweight`;
	const part = (suffix: string, dtypes: readonly string[]) =>
		companion(raw, `${layer.layer}.${suffix}`, owner, dtypes);
	const numGroups = Math.ceil(inputs / (groupSize ?? Math.max(1, inputs)));
	const qweight = part("qweight", ["I32"]);
	const scales = part("scales", scaleDtypes);
	const groups = `${numGroups} groups of ${groupSize ?? "all"} inputs`;
	checkShape(scales, [numGroups, outputs], groups);
	const qzeros = part("qzeros", ["I32"]);
	const words = Math.ceil(outputs / zeroShifts.length);
	checkShape(qzeros, [numGroups, words], groups);
	const index =
		groupIndex === "none"
			? undefined
			: optional(
					raw,
					`${layer.layer}.g_idx`,
					owner,
					["I32"],
					groupIndex === "needed",
				);
	if (index) checkShape(index, [inputs], "one group for each input");
	return { qweight, qzeros, scales, index, numGroups };
}

/** As many whole words of zero points as fit. */
function columnsOfBand(
	{ inputs, bits, outputs, zeroShifts }: TransposedLayer,
	{ numGroups }: Parts,
	bandBytes: number,
): number {
	const unit = zeroShifts.length;
	const bytesPerColumn = (inputs * bits) / 8 + numGroups * 8;
	const fitting = Math.floor(bandBytes / Math.max(1, bytesPerColumn));
	const columns = Math.max(unit, fitting - (fitting % unit));
	return Math.min(columns, Math.max(unit, outputs));
}

async function readBand(
	raw: RawTensors,
	layer: TransposedLayer,
	parts: Parts,
	start: number,
	end: number,
	signal: AbortSignal | undefined,
): Promise<Band> {
	const { qweight, qzeros, scales, index, numGroups } = parts;
	const { inputs, columnsPerWord, zeroShifts } = layer;
	const columnsOf = (entry: HeaderEntry, perWord: number) =>
		readColumns(raw, entry, start / perWord, Math.ceil(end / perWord), signal);
	const words = wordsOf(await columnsOf(qweight, columnsPerWord));
	const factors = scaleValues(scales, await columnsOf(scales, 1));
	const packedZeros = wordsOf(await columnsOf(qzeros, zeroShifts.length));
	const zeros = unpackZeros(packedZeros, layer, numGroups, end - start);
	const indexed = index
		? await readGroupIndex(raw, index, inputs, numGroups, signal)
		: null;
	const size = layer.groupSize ?? Math.max(1, inputs);
	const groups = indexed ?? groupsInOrder(inputs, size);
	return { start, end, words, scales: factors, zeros, groups };
}

/** u32 [groups, ⌈columns / perWord⌉] → f32 [groups, columns] */
function unpackZeros(
	words: Int32Array,
	{ bits, zeroShifts, zeroOffset }: TransposedLayer,
	numGroups: number,
	columns: number,
): Float32Array {
	const perWord = zeroShifts.length;
	const wordsPerRow = Math.ceil(columns / perWord);
	const mask = 2 ** bits - 1;
	const zeros = new Float32Array(numGroups * columns);
	for (let g = 0; g < numGroups; g++)
		for (let c = 0; c < columns; c++) {
			const word = words[g * wordsPerRow + Math.floor(c / perWord)];
			const stored = word >>> zeroShifts[c % perWord];
			zeros[g * columns + c] = (stored + zeroOffset) & mask;
		}
	return zeros;
}

/** Rows of the virtual tensor, which are columns of the band. */
function fillRows(
	name: string,
	layer: TransposedLayer,
	{ start, end, words, scales, zeros, groups }: Band,
	rowStart: number,
	rowEnd: number,
	out: Uint16Array,
): void {
	const { inputs, columnsPerWord, bits } = layer;
	const width = end - start;
	const wordsPerRow = Math.ceil(width / columnsPerWord);
	const numbers = Float32Array.from({ length: 2 ** bits }, (_, code) => code);
	const tables = createHalfTables(name, numbers, scales.length / width);
	const codes = new Uint8Array(Math.min(TILE, rowEnd - rowStart) * inputs);
	for (let row = rowStart; row < rowEnd; row += TILE) {
		const last = Math.min(rowEnd, row + TILE);
		layer.unpack(words, wordsPerRow, row - start, last - start, codes);
		for (let r = row; r < last; r++) {
			tables.fill(scales, zeros, r - start, width);
			const [from, to] = [(r - row) * inputs, (r - rowStart) * inputs];
			tables.lookUp(
				codes.subarray(from, from + inputs),
				groups,
				out.subarray(to, to + inputs),
			);
		}
	}
}
