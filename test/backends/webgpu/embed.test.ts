/** The embedding kernel in every format: ids known and carried, beyond the vocabulary, a weight in slices. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import {
	embed,
	embedGrid,
} from "../../../src/backends/webgpu/kernels/embed.ts";
import {
	CARRIED,
	matrixBytes,
	stride,
} from "../../../src/backends/webgpu/layout.ts";
import { randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import { randomMatrix } from "../../support/webgpu-matrices.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const FIRST_SLICE = 128;

for (const format of ["f16", "f32", "q8_0", "q4_0"] as const)
	for (const [vocabSize, columns, scale] of [
		[1, 1, 1],
		[257, 33, 5.5],
		[300, 1024, 1],
	])
		test(`embed_${format}_${vocabSize}x${columns}`, async () => {
			const random = randomSource(vocabSize + columns);
			const weight = randomMatrix(random, format, vocabSize, columns);
			const sampled = Uint32Array.from(
				[2, 200, 0].map((id) => Math.min(id, vocabSize - 1)),
			);
			const wanted = [
				0,
				130,
				vocabSize - 1,
				vocabSize - 1,
				sampled[1],
				sampled[2],
				sampled[0],
			];
			wanted[1] = Math.min(130, vocabSize - 1);
			const ids = [
				0,
				130,
				vocabSize - 1,
				vocabSize + 7,
				CARRIED + 1,
				CARRIED + 2,
				CARRIED,
			];
			const tokens = Uint32Array.from(ids.flatMap((id) => [id, 5, 6, 0]));
			const s = stride(columns);
			const residual = bufferOf(
				gpu,
				new Float32Array(ids.length * s).fill(NaN),
			);
			const values = bufferOf(gpu, weight.values);
			const scales = weight.scales ? bufferOf(gpu, weight.scales) : null;
			const rowBytes = matrixBytes(format, s);
			const slices =
				vocabSize > FIRST_SLICE
					? [
							[0, FIRST_SLICE],
							[FIRST_SLICE, vocabSize - FIRST_SLICE],
						]
					: [[0, vocabSize]];
			for (const [firstRow, rows] of slices)
				await runKernel(
					gpu,
					embed({ format, columns, vocabSize, scale, firstRow, rows }),
					[
						bufferOf(gpu, tokens),
						bufferOf(gpu, sampled),
						{ buffer: values, offset: firstRow * rowBytes.values },
						...(scales
							? [{ buffer: scales, offset: firstRow * rowBytes.scales }]
							: []),
						residual,
					],
					embedGrid(ids.length),
				);
			const got = new Float32Array(await readBack(gpu, residual));
			wanted.forEach((id, t) => {
				for (let i = 0; i < s; i++) {
					const inside = i < columns;
					const want = inside ? scale * weight.elements[id * columns + i] : 0;
					assert.ok(
						Math.abs(got[t * s + i] - want) <= 1e-6 * Math.abs(want),
						`token ${t}, element ${i}: ${got[t * s + i]}, wanted ${want}`,
					);
				}
			});
		});
