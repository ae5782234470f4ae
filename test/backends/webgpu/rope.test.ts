/** rope_and_cache against f64 loops: norms, turning, the cache's slots and padding, heads of any size. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Rope } from "../../../src/backends/program.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import {
	type RopeAndCacheOptions,
	ropeAndCache,
	ropeAndCacheGrid,
} from "../../../src/backends/webgpu/kernels/rope-and-cache.ts";
import { ropeTable } from "../../../src/backends/webgpu/kernels/rope-table.ts";
import { stride, stride8 } from "../../../src/backends/webgpu/layout.ts";
import { randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import {
	assertWithin,
	paddedVector,
	randomActivation,
	readFloats,
} from "../../support/webgpu-matrices.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const MAX_MODEL_LEN = 300;
/** Heads of an odd size are never in halves. */
const FLOATS = ["f16", "f32"] as const;
const MAX_HALF = 65504;

// biome-ignore format: a table
const CASES: readonly (readonly [numHeads: number, numKvHeads: number, headDim: number, blockSize: number, tokens: number, ropeDims?: number])[] = [
	[1, 1, 2, 1, 1], [2, 1, 6, 3, 5], [8, 2, 10, 16, 3], [5, 1, 20, 1, 2], [6, 1, 24, 16, 3], [7, 1, 4, 3, 7],
	[12, 4, 16, 3, 33], [2, 2, 64, 16, 3], [3, 1, 80, 16, 2], [4, 2, 96, 32, 2], [16, 8, 128, 16, 3], [2, 1, 256, 16, 2],
	[4, 2, 64, 16, 3, 16], [4, 2, 10, 3, 3, 4], [4, 2, 80, 16, 3, 32], [3, 1, 12, 3, 5, 0], [2, 1, 7, 3, 4, 2],
];

/** What the op makes of one head, and how large its terms are (which bounds the rounding of a sum). */
function plainHead(
	x: Float64Array,
	weight: Float32Array | null,
	eps: number,
	position: number,
	{ inverseFrequencies, scale: ropeScale }: Rope,
) {
	const square = x.reduce((sum, v) => sum + v * v, 0) / x.length;
	const scale = weight === null ? 1 : 1 / Math.sqrt(square + eps);
	const y = x.map((v, i) => (weight === null ? v : v * scale * weight[i]));
	const sizes = y.map(Math.abs);
	const half = inverseFrequencies.length;
	for (let i = 0; i < half; i++) {
		const angle = Math.fround(position * inverseFrequencies[i]);
		const [a, b] = [y[i], y[half + i]];
		y[i] = ropeScale * (a * Math.cos(angle) - b * Math.sin(angle));
		y[half + i] = ropeScale * (b * Math.cos(angle) + a * Math.sin(angle));
		sizes[i] = sizes[half + i] = Math.abs(a) + Math.abs(b);
	}
	return { y, sizes };
}

for (const [numHeads, numKvHeads, headDim, blockSize, T, turned] of CASES)
	for (const storage of headDim % 2 === 0 ? FLOATS : (["f32"] as const))
		for (const normed of [false, true]) {
			const heads = { numHeads, numKvHeads, headDim };
			const ropeDims = turned ?? headDim;
			const options: RopeAndCacheOptions = {
				heads,
				ropeDims,
				qNormEps: normed ? 1e-6 : null,
				kNormEps: normed ? 1e-5 : null,
				blockSize,
				storage,
			};
			const kernelOf = () => ropeAndCache(options, gpu.abilities);
			const name = `rope_and_cache_${storage}_${numHeads}x${numKvHeads}x${headDim}_rope${ropeDims}_block${blockSize}${normed ? "_norm" : ""}, ${T} tokens`;
			test(name, async () => {
				const random = randomSource(headDim * 7 + T);
				const width = (numHeads + 2 * numKvHeads) * headDim;
				// Without norms, keys and values beyond f16: they saturate.
				const outlier = storage === "f32" && !normed ? 1e5 : 10;
				const given = randomActivation(random, storage, T, width, outlier);
				const inverseFrequencies = Float32Array.from(
					{ length: ropeDims / 2 },
					(_, i) => 10000 ** ((-2 * i) / ropeDims),
				);
				const rope = { inverseFrequencies, scale: turned ? 1.3 : 1 };
				const norms = [random.vector(headDim, 4), random.vector(headDim, 4)];
				const numBlocks = Math.ceil(T / blockSize) + 2;
				const slots = random.shuffled([...Array(numBlocks * blockSize).keys()]);
				const positions = Array.from({ length: T }, () =>
					random.below(MAX_MODEL_LEN),
				);
				const tokens = Uint32Array.from(
					positions.flatMap((p, t) => [7, p, slots[t], 0]),
				);
				const row = stride8(headDim);
				const cache = new Uint16Array(
					numBlocks * blockSize * numKvHeads * row,
				).fill(0x7e00);
				const [keys, values] = [bufferOf(gpu, cache), bufferOf(gpu, cache)];
				const qkv = bufferOf(gpu, given.data);
				await runKernel(
					gpu,
					kernelOf(),
					[
						qkv,
						bufferOf(gpu, tokens),
						...(ropeDims === 0
							? []
							: [bufferOf(gpu, ropeTable(rope, MAX_MODEL_LEN))]),
						...(normed ? norms.map((n) => bufferOf(gpu, paddedVector(n))) : []),
						keys,
						values,
					],
					ropeAndCacheGrid(options, gpu.abilities, T),
				);
				const after = readFloats(await readBack(gpu, qkv), storage);
				const half = (bytes: ArrayBuffer) => readFloats(bytes, "f16");
				const cached = [
					half(await readBack(gpu, keys)),
					half(await readBack(gpu, values)),
				];
				let written = 0;
				for (let t = 0; t < T; t++)
					for (let h = 0; h < numHeads + 2 * numKvHeads; h++) {
						const from = t * width + h * headDim;
						const x = given.elements.slice(from, from + headDim);
						const kind =
							h < numHeads ? "q" : h < numHeads + numKvHeads ? "k" : "v";
						const weight = normed ? norms[kind === "q" ? 0 : 1] : null;
						const { y, sizes } =
							kind === "v"
								? { y: x, sizes: x.map(Math.abs) }
								: plainHead(
										x,
										weight,
										kind === "q" ? 1e-6 : 1e-5,
										positions[t],
										rope,
									);
						const start = t * stride(width) + h * headDim;
						let got = after.subarray(start, start + headDim);
						if (kind !== "q") {
							const kv = (h - numHeads) % numKvHeads;
							const block = Math.floor(slots[t] / blockSize);
							const at =
								((block * numKvHeads + kv) * blockSize +
									(slots[t] % blockSize)) *
								row;
							got = cached[kind === "k" ? 0 : 1].subarray(at, at + row);
							written += row;
							assert.ok(got.subarray(headDim).every((v) => v === 0));
						}
						const isHalf = kind !== "q" || storage === "f16";
						const want = isHalf
							? y.map((v) => Math.max(-MAX_HALF, Math.min(MAX_HALF, v)))
							: y;
						const rtol = isHalf ? 1e-3 : 1e-6;
						assertWithin(
							got,
							want,
							(i) => 1e-6 + rtol * Math.abs(want[i]) + 1e-6 * sizes[i],
							`token ${t} head ${h} (${kind})`,
						);
					}
				for (const array of cached) {
					const touched = array.filter((v) => !Number.isNaN(v)).length;
					// bufferOf pads to 16 bytes with zeros.
					const padding = array.length - cache.length;
					assert.equal(touched - padding, written / 2, "other slots");
				}
			});
		}
