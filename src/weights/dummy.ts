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
import { float32ToBfloat16, float32ToFloat16 } from "./convert.ts";
import { allocateBytes, throwIfAborted } from "./source.ts";

/** Values a tensor can take. Sixteen random bits choose one, so a table stays in the first-level cache (8 KiB). */
const numLevels = 4096;
const levelMask = numLevels - 1;

/**
 * Element e of a tensor = levels[half e mod 2 of hash(e div 2, seed, name)]: it does not depend on which rows are read, or when.
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
): WeightSource {
	const { seed, dtype } = options;
	const infos = new Map<string, TensorInfo>();
	for (const { name, shape } of tensors)
		infos.set(name, { name, dtype, shape });
	// A model has about five scales, but a backend may read a matrix in very many parts.
	const levels = new Map<string, Uint32Array>();
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
			const generate = dtype === "f32" ? generate32 : generate16;
			return generate(
				name,
				levelsFor(info, levels),
				keyOf(name, seed),
				start,
				end,
			);
		},
		async close() {},
	};
}

function levelsFor(
	{ name, shape, dtype }: TensorInfo,
	cache: Map<string, Uint32Array>,
): Uint32Array {
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

/** The values a tensor can take, as bit patterns of its dtype, low to high. */
function makeLevels(
	centre: number,
	spread: number,
	dtype: TensorDtype,
): Uint32Array {
	const values = Float32Array.from(
		{ length: numLevels },
		(_, i) => centre + spread * ((2 * i + 1) / numLevels - 1),
	);
	const rounded = float32ToBfloat16(values);
	if (dtype === "bf16") return Uint32Array.from(rounded);
	const bits = Uint32Array.from(rounded, (value) => value << 16);
	if (dtype === "f32") return bits;
	const { values: halves } = float32ToFloat16(new Float32Array(bits.buffer));
	return Uint32Array.from(halves);
}

/** Elements [start, end) of a 2-byte dtype, two at a time. */
function generate16(
	name: string,
	levels: Uint32Array,
	key: number,
	start: number,
	end: number,
): Uint8Array {
	const firstPair = Math.floor(start / 2);
	const numPairs = Math.ceil(end / 2) - firstPair;
	const out = allocateBytes(name, numPairs * 4);
	const pairs = new Uint32Array(out.buffer);
	const base = firstPair | 0;
	for (let i = 0; i < numPairs; i++) {
		const h = hash((base + i) | 0, key);
		pairs[i] = levels[h & levelMask] | (levels[(h >>> 16) & levelMask] << 16);
	}
	const skip = (start - firstPair * 2) * 2;
	const length = (end - start) * 2;
	return skip === 0 && length === out.length
		? out
		: out.slice(skip, skip + length);
}

/** Elements [start, end) of f32: the same values as in 2 bytes. */
function generate32(
	name: string,
	levels: Uint32Array,
	key: number,
	start: number,
	end: number,
): Uint8Array {
	const out = allocateBytes(name, (end - start) * 4);
	const values = new Uint32Array(out.buffer);
	for (let i = 0; i < values.length; i++) {
		const element = start + i;
		const h = hash(Math.floor(element / 2) | 0, key);
		values[i] = levels[(element % 2 === 0 ? h : h >>> 16) & levelMask];
	}
	return out;
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
