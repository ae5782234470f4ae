/**
 * Linear layers as AutoGPTQ and GPTQModel write them: X.qweight I32 [in · bits / 32, out] packed along inputs, X.qzeros I32 [groups, out · bits / 32]
 * packed along outputs, X.scales [groups, out], X.g_idx I32 [in]; the first element lies in the lowest bits of a word.
 */
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { type BandCache, transposedTensor } from "./transposed-layer.ts";
import {
	checkDtype,
	matrixShape,
	type VirtualTensor,
	type VirtualTensors,
	wrongShape,
} from "./virtual-tensor.ts";

export interface GptqOptions {
	readonly bits: number;
	readonly groupSize: number | null;
	/** Zero points are stored less one, and −1 as the largest code, but in gptq_v2. */
	readonly zeroOffset: number;
	/** Without an index of groups a layer cannot be read. */
	readonly actOrder: boolean;
	/** Of a band at most; BAND_BYTES but in tests. */
	readonly bandBytes?: number;
}

export function gptqTensors(
	raw: RawTensors,
	options: GptqOptions,
	cache: BandCache,
): VirtualTensors {
	const tensors = new Map<string, () => VirtualTensor>();
	for (const entry of raw.entries.values())
		if (entry.name.endsWith(".qweight")) {
			const layer = entry.name.slice(0, -".qweight".length);
			tensors.set(`${layer}.weight`, () =>
				gptqTensor(raw, layer, entry, options, cache),
			);
		}
	return tensors;
}

function gptqTensor(
	raw: RawTensors,
	layer: string,
	qweight: HeaderEntry,
	{ bits, groupSize, zeroOffset, actOrder, bandBytes }: GptqOptions,
	cache: BandCache,
): VirtualTensor {
	checkDtype(qweight, ["I32"]);
	const [numWords, outputs] = matrixShape(qweight);
	const perWord = 32 / bits;
	if (outputs % perWord !== 0)
		throw wrongShape(
			qweight,
			`a multiple of ${perWord} outputs, as many as a word of zero points holds`,
		);
	return transposedTensor(
		raw,
		{
			layer,
			inputs: numWords * perWord,
			outputs,
			bits,
			groupSize,
			columnsPerWord: 1,
			zeroShifts: Array.from({ length: perWord }, (_, k) => k * bits),
			zeroOffset,
			groupIndex: actOrder ? "needed" : "optional",
			unpack: (words, wordsPerRow, start, end, out) =>
				unpack(words, wordsPerRow, start, end, out, bits),
		},
		cache,
		bandBytes,
	);
}

/** words: u32 [inputs / perWord, wordsPerRow] */
function unpack(
	words: Int32Array,
	wordsPerRow: number,
	start: number,
	end: number,
	out: Uint8Array,
	bits: number,
): void {
	const perWord = 32 / bits;
	const mask = 2 ** bits - 1;
	const numWords = words.length / wordsPerRow;
	const inputs = numWords * perWord;
	for (let w = 0; w < numWords; w++)
		for (let column = start; column < end; column++) {
			let word = words[w * wordsPerRow + column];
			const to = (column - start) * inputs + w * perWord;
			for (let k = 0; k < perWord; k++) {
				out[to + k] = word & mask;
				word >>>= bits;
			}
		}
}
