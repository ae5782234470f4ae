/**
 * The table of ggml's block types: what a block takes, and how it becomes f32. Knows no files.
 * Every number is the one ggml's dequantize_row_* gives, bit for bit: products of an f16 scale and a small integer are exact in f64,
 * and each formula rounds once, where it is stored as f32, as ggml's does with or without fused multiply-add.
 */
import type { BlockDtype, StoredDtype } from "../backends/backend.ts";
import { assert } from "../errors.ts";
import { bytesPerElement, toFloat32 } from "./convert.ts";
import {
	dequantizeIq4Nl,
	dequantizeMxfp4,
	dequantizeQ4_0,
	dequantizeQ4_1,
	dequantizeQ5_0,
	dequantizeQ5_1,
	dequantizeQ8_0,
} from "./ggml-small-blocks.ts";
import {
	dequantizeIq4Xs,
	dequantizeQ2K,
	dequantizeQ3K,
	dequantizeQ4K,
	dequantizeQ5K,
	dequantizeQ6K,
} from "./ggml-super-blocks.ts";

export interface BlockFormat {
	readonly name: BlockDtype;
	/** ggml's number of the type. */
	readonly id: number;
	readonly blockElements: number;
	readonly blockBytes: number;
	/** Where in a block its f16 numbers lie; where one is infinite or NaN, so is what the block holds. */
	readonly halves: readonly number[];
	/** bytes: whole blocks; out: their elements, overwritten. */
	dequantize(bytes: Uint8Array, out: Float32Array): void;
}

export const BLOCK_FORMATS: Readonly<Record<BlockDtype, BlockFormat>> = {
	q4_0: format("q4_0", 2, 32, 18, [0], dequantizeQ4_0),
	q4_1: format("q4_1", 3, 32, 20, [0, 2], dequantizeQ4_1),
	q5_0: format("q5_0", 6, 32, 22, [0], dequantizeQ5_0),
	q5_1: format("q5_1", 7, 32, 24, [0, 2], dequantizeQ5_1),
	q8_0: format("q8_0", 8, 32, 34, [0], dequantizeQ8_0),
	q2_k: format("q2_k", 10, 256, 84, [80, 82], dequantizeQ2K),
	q3_k: format("q3_k", 11, 256, 110, [108], dequantizeQ3K),
	q4_k: format("q4_k", 12, 256, 144, [0, 2], dequantizeQ4K),
	q5_k: format("q5_k", 13, 256, 176, [0, 2], dequantizeQ5K),
	q6_k: format("q6_k", 14, 256, 210, [208], dequantizeQ6K),
	iq4_nl: format("iq4_nl", 20, 32, 18, [0], dequantizeIq4Nl),
	iq4_xs: format("iq4_xs", 23, 256, 136, [0], dequantizeIq4Xs),
	mxfp4: format("mxfp4", 39, 32, 17, [], dequantizeMxfp4),
};

function format(
	name: BlockDtype,
	id: number,
	blockElements: number,
	blockBytes: number,
	halves: readonly number[],
	dequantize: BlockFormat["dequantize"],
): BlockFormat {
	return { name, id, blockElements, blockBytes, halves, dequantize };
}

export function isBlockDtype(dtype: StoredDtype): dtype is BlockDtype {
	return Object.hasOwn(BLOCK_FORMATS, dtype);
}

/** Bytes that `elements` take; of a block type, whole blocks. */
export function storedBytes(dtype: StoredDtype, elements: number): number {
	if (!isBlockDtype(dtype)) return bytesPerElement[dtype] * elements;
	const { blockElements, blockBytes } = BLOCK_FORMATS[dtype];
	assert(elements % blockElements === 0, `${elements} are whole ${dtype}s`);
	return (elements / blockElements) * blockBytes;
}

/** Raw bytes of any type → f32. Of plain types as `toFloat32`: aligned f32 come back as a view. */
export function decode(bytes: Uint8Array, dtype: StoredDtype): Float32Array {
	if (!isBlockDtype(dtype)) return toFloat32(bytes, dtype);
	const { blockElements, blockBytes, dequantize } = BLOCK_FORMATS[dtype];
	assert(bytes.length % blockBytes === 0, `${bytes.length} bytes of ${dtype}`);
	const out = new Float32Array((bytes.length / blockBytes) * blockElements);
	dequantize(bytes, out);
	return out;
}

/** Index of the first element of the first block with a scale that is infinite or NaN. */
export function findNonFiniteBlock(
	bytes: Uint8Array,
	dtype: BlockDtype,
): number | undefined {
	const { blockElements, blockBytes, halves } = BLOCK_FORMATS[dtype];
	for (const half of halves)
		for (let at = half; at < bytes.length; at += blockBytes)
			if ((bytes[at + 1] & 0x7c) === 0x7c)
				return Math.floor(at / blockBytes) * blockElements;
	return undefined;
}
