/**
 * gpt-oss's experts in MXFP4: X_blocks U8 [E, R, C/32, 16] and X_scales U8 [E, R, C/32] → X bf16 [E, C, R], transposed as transformers keeps it.
 * A byte holds two floats of 4 bits (E2M1), the even element in its low half; 32 elements share a power of two (E8M0).
 * Format: OCP Microscaling Formats 1.0. Every value of a sane checkpoint is a bf16 exactly.
 */
import { float32ToBfloat16 } from "./convert.ts";
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { allocateBytes } from "./source.ts";
import {
	checkDtype,
	checkShape,
	companion,
	notFinite,
	type VirtualTensor,
	type VirtualTensors,
	wrongShape,
} from "./virtual-tensor.ts";

/** E2M1: 1 sign, 2 exponent (bias 1), 1 fraction bit. */
const float4Sizes = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
/** Elements that share a scale, and the bytes they take. */
const BLOCK = 32;
const BLOCK_BYTES = 16;
/** 6 · 2^125 is less than the largest bf16, 6 · 2^126 is not; 255 is NaN. */
const MAX_SCALE = 252;
/** Rows transposed at a time, so that a cache line is filled once. */
const TILE = 32;

export function mxfp4Tensors(raw: RawTensors): VirtualTensors {
	const tensors = new Map<string, () => VirtualTensor>();
	for (const entry of raw.entries.values())
		if (entry.name.endsWith("_blocks")) {
			const name = entry.name.slice(0, -"_blocks".length);
			tensors.set(name, () => mxfp4Tensor(raw, name, entry));
		}
	return tensors;
}

/** Beyond the experts asked for it takes the bytes of one packed expert, a quarter of what that becomes. */
function mxfp4Tensor(
	raw: RawTensors,
	name: string,
	blocks: HeaderEntry,
): VirtualTensor {
	checkDtype(blocks, ["U8"]);
	const [experts, rows, numBlocks] = blocks.shape;
	if (blocks.shape.length !== 4 || blocks.shape[3] !== BLOCK_BYTES)
		throw wrongShape(blocks, "[experts, rows, columns / 32, 16]");
	const scales = companion(raw, `${name}_scales`, blocks.name, [
		"U8",
		"F8_E8M0",
	]);
	checkShape(scales, [experts, rows, numBlocks], "a scale for 32 elements");
	const columns = numBlocks * BLOCK;
	return {
		info: { name, dtype: "bf16", shape: [experts, columns, rows] },
		parts: [blocks.name, scales.name],
		async read(rowStart, rowEnd, signal) {
			const size = rows * columns;
			const out = allocateBytes(name, (rowEnd - rowStart) * size * 2);
			for (let expert = rowStart; expert < rowEnd; expert++) {
				const codes = await raw.readRaw(
					blocks.name,
					expert,
					expert + 1,
					signal,
				);
				const exponents = await raw.readRaw(
					scales.name,
					expert,
					expert + 1,
					signal,
				);
				checkScales(scales.name, exponents);
				const values = new Uint16Array(
					out.buffer,
					(expert - rowStart) * size * 2,
					size,
				);
				unpackTransposed(codes, exponents, values, rows, numBlocks);
			}
			return out;
		},
	};
}

/** @throws nan_weights */
function checkScales(name: string, exponents: Uint8Array): void {
	const wrong = exponents.find((exponent) => exponent > MAX_SCALE);
	if (wrong === undefined) return;
	throw notFinite(
		name,
		`a scale is ${wrong === 255 ? "NaN" : `2^${wrong - 127}`}, weights of which are no finite numbers`,
	);
}

/** codes: u8 [rows, blocks, 16]; exponents: u8 [rows, blocks]; out: bf16 [blocks · 32, rows] */
function unpackTransposed(
	codes: Uint8Array,
	exponents: Uint8Array,
	out: Uint16Array,
	rows: number,
	numBlocks: number,
): void {
	for (let tile = 0; tile < rows; tile += TILE) {
		const end = Math.min(rows, tile + TILE);
		for (let block = 0; block < numBlocks; block++)
			for (let row = tile; row < end; row++) {
				const index = row * numBlocks + block;
				const values = exponents[index] * 16;
				let to = block * BLOCK * rows + row;
				for (let i = index * BLOCK_BYTES; i < (index + 1) * BLOCK_BYTES; i++) {
					out[to] = bfloat16Of[values + (codes[i] & 15)];
					out[to + rows] = bfloat16Of[values + (codes[i] >>> 4)];
					to += 2 * rows;
				}
			}
	}
}

/** [scale, code] → bf16 pattern, 8 KiB. */
const bfloat16Of: Uint16Array = /* @__PURE__ */ makeTable();

function makeTable(): Uint16Array {
	const values = Float32Array.from({ length: 256 * 16 }, (_, i) => {
		const size = float4Sizes[i % 8] * 2 ** (Math.floor(i / 16) - 127);
		return i % 16 < 8 ? size : -size;
	});
	return float32ToBfloat16(values);
}
