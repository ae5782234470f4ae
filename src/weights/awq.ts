/**
 * Linear layers as AutoAWQ's "gemm" version writes them: X.qweight I32 [in, out / 8] and X.qzeros I32 [groups, out / 8], both packed along
 * outputs, X.scales [groups, out]. From its lowest bits on a word holds the outputs 0, 2, 4, 6, 1, 3, 5, 7.
 */
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { type BandCache, transposedTensor } from "./transposed-layer.ts";
import {
	checkDtype,
	matrixShape,
	type VirtualTensor,
	type VirtualTensors,
} from "./virtual-tensor.ts";

const BITS = 4;
/** Where in a word each of its 8 outputs begins. */
const shifts: readonly number[] = [0, 16, 4, 20, 8, 24, 12, 28];

export interface AwqOptions {
	readonly groupSize: number | null;
	/** Of a band at most; BAND_BYTES but in tests. */
	readonly bandBytes?: number;
}

export function awqTensors(
	raw: RawTensors,
	options: AwqOptions,
	cache: BandCache,
): VirtualTensors {
	const tensors = new Map<string, () => VirtualTensor>();
	for (const entry of raw.entries.values())
		if (entry.name.endsWith(".qweight")) {
			const layer = entry.name.slice(0, -".qweight".length);
			tensors.set(`${layer}.weight`, () =>
				awqTensor(raw, layer, entry, options, cache),
			);
		}
	return tensors;
}

function awqTensor(
	raw: RawTensors,
	layer: string,
	qweight: HeaderEntry,
	{ groupSize, bandBytes }: AwqOptions,
	cache: BandCache,
): VirtualTensor {
	checkDtype(qweight, ["I32"]);
	const [inputs, numWords] = matrixShape(qweight);
	return transposedTensor(
		raw,
		{
			layer,
			inputs,
			outputs: numWords * shifts.length,
			bits: BITS,
			groupSize,
			columnsPerWord: shifts.length,
			zeroShifts: shifts,
			zeroOffset: 0,
			groupIndex: "none",
			unpack,
		},
		cache,
		bandBytes,
	);
}

/** words: u32 [inputs, wordsPerRow] */
function unpack(
	words: Int32Array,
	wordsPerRow: number,
	start: number,
	end: number,
	out: Uint8Array,
): void {
	const inputs = words.length / wordsPerRow;
	for (let i = 0; i < inputs; i++)
		for (let column = start; column < end; column++) {
			const word = words[i * wordsPerRow + (column >>> 3)];
			out[(column - start) * inputs + i] = (word >>> shifts[column & 7]) & 15;
		}
}
