/**
 * Seeded random weights, made as they are read, so that a real model's speed can be measured from its config.json alone.
 * Knows nothing of architectures: a tensor's name and shape decide its scale. The idea is vLLM's `--load-format dummy`.
 */
import type {
	TensorDtype,
	TensorInfo,
	WeightSource,
} from "../backends/backend.ts";
import { assert } from "../errors.ts";
import {
	bfloat16ToFloat32,
	bytesPerElement,
	float32ToBfloat16,
	float32ToFloat16,
} from "./convert.ts";
import { allocateBytes, throwIfAborted } from "./source.ts";

/** Values a tensor can take: 12 bits choose one, and the table (8 KiB) stays in the first-level cache. */
const numLevels = 4096;

/**
 * Element e of a tensor = levels[12 bits of hash(e div 2, seed, name)], the low bits for even e, the high ones for odd:
 * whatever rows are read, in whatever order, it is the same.
 * The levels are bf16 values evenly spread over [centre - spread, centre + spread]:
 * - matrices and experts: 0 ± √3/√in, so that the standard deviation is 1/√in, `in` being the last dimension;
 * - *norm.weight: 1 ± 0.1;
 * - other vectors (biases): 0 ± 0.02.
 * One seed gives the same values in f32 and bf16, and in f16 those values rounded.
 */
export function dummyWeights(
	tensors: Iterable<{
		readonly name: string;
		readonly shape: readonly number[];
	}>,
	options: { readonly seed: number; readonly dtype: TensorDtype },
): WeightSource<TensorDtype> {
	const { seed, dtype } = options;
	const infos = new Map<string, TensorInfo<TensorDtype>>();
	for (const { name, shape } of tensors)
		infos.set(name, { name, dtype, shape });
	// A model has about five scales, but a backend may read a matrix in very many parts.
	const levels = new Map<string, Uint16Array>();
	return {
		tensors: infos,
		async read(name, rowStart, rowEnd, signal) {
			throwIfAborted(signal, name);
			const info = infos.get(name);
			assert(info, `no dummy tensor ${name}`);
			const numRows = info.shape[0] ?? 1;
			assert(
				0 <= rowStart && rowStart <= rowEnd && rowEnd <= numRows,
				`rows ${rowStart} to ${rowEnd} of ${name}, which has ${numRows}`,
			);
			const rowLength = info.shape.slice(1).reduce((a, b) => a * b, 1);
			const [start, end] = [rowStart * rowLength, rowEnd * rowLength];
			// Values are made in pairs; what an odd start or end has too much is cut off.
			const firstPair = Math.floor(start / 2);
			const numPairs = Math.ceil(end / 2) - firstPair;
			const size = bytesPerElement[dtype];
			const out = allocateBytes(name, numPairs * 2 * size);
			const values = new Int32Array(out.buffer);
			const fill = dtype === "f32" ? fillWords : fillHalves;
			fill(values, firstPair | 0, levelsFor(info, levels), keyOf(name, seed));
			const skip = (start - firstPair * 2) * size;
			const length = (end - start) * size;
			return length === out.length ? out : out.slice(skip, skip + length);
		},
		async close() {},
	};
}

function levelsFor(
	{ name, shape, dtype }: TensorInfo<TensorDtype>,
	cache: Map<string, Uint16Array>,
): Uint16Array {
	const isNorm = shape.length <= 1 && name.endsWith("norm.weight");
	const centre = isNorm ? 1 : 0;
	const spread =
		shape.length > 1
			? Math.sqrt(3 / Math.max(1, shape[shape.length - 1]))
			: isNorm
				? 0.1
				: 0.02;
	const key = `${centre} ${spread}`;
	const levels = cache.get(key) ?? makeLevels(centre, spread, dtype);
	cache.set(key, levels);
	return levels;
}

/** The values a tensor can take, low to high: f16 patterns for f16, else bf16 patterns. */
function makeLevels(
	centre: number,
	spread: number,
	dtype: TensorDtype,
): Uint16Array {
	const exact = Float32Array.from(
		{ length: numLevels },
		(_, i) => centre + spread * ((2 * i + 1) / numLevels - 1),
	);
	const rounded = float32ToBfloat16(exact);
	if (dtype !== "f16") return rounded;
	return float32ToFloat16(bfloat16ToFloat32(rounded)).values;
}

/** 2-byte elements: one word is a pair. */
function fillHalves(
	out: Int32Array,
	firstPair: number,
	levels: Uint16Array,
	key: number,
): void {
	for (let i = 0; i < out.length; i++) {
		const h = hash((firstPair + i) | 0, key);
		out[i] = levels[h & 0xfff] | (levels[h >>> 20] << 16);
	}
}

/** f32 elements: a bf16 pattern is the upper half of a word. */
function fillWords(
	out: Int32Array,
	firstPair: number,
	levels: Uint16Array,
	key: number,
): void {
	for (let i = 0; i < out.length; i += 2) {
		const h = hash((firstPair + i / 2) | 0, key);
		out[i] = levels[h & 0xfff] << 16;
		out[i + 1] = levels[h >>> 20] << 16;
	}
}

/**
 * 32 bits → 32 well mixed bits. The mixing is MurmurHash3's finalizer; the key enters on both sides of the first product,
 * so that two tensors' streams are not shifts of each other.
 */
function hash(counter: number, key: number): number {
	let h = (counter + key) | 0;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) ^ key;
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return h ^ (h >>> 16);
}

/** FNV-1a of the name, mixed with the seed. */
function keyOf(name: string, seed: number): number {
	let h = 0x811c9dc5;
	for (let i = 0; i < name.length; i++)
		h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
	return hash(h, Math.imul(seed | 0, 0x9e3779b1));
}
