/** Weights that are q8_0 or q4_0 already go onto the GPU bit for bit; other block types become halves. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type {
	BlockDtype,
	WeightSource,
} from "../../../src/backends/backend.ts";
import type { Op, Program, Weight } from "../../../src/backends/program.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import { createKernelCompiler } from "../../../src/backends/webgpu/kernel.ts";
import type { MatrixFormat } from "../../../src/backends/webgpu/layout.ts";
import { loadWeights } from "../../../src/backends/webgpu/load-weights.ts";
import { float16ToFloat32 } from "../../../src/weights/convert.ts";
import {
	BLOCK_FORMATS,
	decode,
	storedBytes,
} from "../../../src/weights/ggml-blocks.ts";
import { randomBlocks } from "../../support/gguf-files.ts";
import { randomSource } from "../../support/random.ts";
import { openTestGpu, readBack } from "../../support/webgpu.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const ROWS = 70;
const COLUMNS = 256;
const HALF = ROWS / 2;

const matrix: Weight = {
	name: "w",
	shape: [ROWS, COLUMNS],
	parts: [{ tensor: "w", rows: ROWS }],
};

/** One gated matrix: its rows lie interleaved. */
function programOf(): Program {
	const norm: Weight = {
		name: "norm",
		shape: [COLUMNS],
		parts: [{ tensor: "norm", rows: COLUMNS }],
	};
	const width = (name: string, n: number) =>
		({ name, rows: "T", width: n }) as const;
	const op = {
		op: "normGatedLinear",
		input: width("x", COLUMNS),
		norm: { weight: norm, eps: 1e-6 },
		weight: matrix,
		bias: null,
		activation: "silu",
		output: width("y", HALF),
	} as const satisfies Op;
	return { name: "test", vocabSize: 1, kvLayers: [], ops: [op] };
}

function sourceOf(dtype: BlockDtype, blocks: Uint8Array): WeightSource {
	const rowBytes = storedBytes(dtype, COLUMNS);
	return {
		tensors: new Map([
			["w", { name: "w", dtype, shape: [ROWS, COLUMNS] }],
			["norm", { name: "norm", dtype: "f32", shape: [COLUMNS] }],
		]),
		async read(name, start, end) {
			if (name === "norm") return new Uint8Array(4 * (end - start));
			return blocks.slice(start * rowBytes, end * rowBytes);
		},
		async close() {},
	};
}

/** Rows as the buffers hold them. */
function elements(
	format: MatrixFormat,
	values: ArrayBuffer,
	scales: ArrayBuffer | null,
): Float32Array {
	const numBlocks = (ROWS * COLUMNS) / 32;
	if (format === "f16")
		return float16ToFloat32(new Uint16Array(values, 0, ROWS * COLUMNS));
	assert.ok(format === "q8_0" || format === "q4_0");
	// The same bytes as GGUF's blocks, scales apart.
	const { blockBytes } = BLOCK_FORMATS[format];
	const quants = blockBytes - 2;
	const blocks = new Uint8Array(numBlocks * blockBytes);
	for (let b = 0; b < numBlocks; b++) {
		blocks.set(new Uint8Array(scales as ArrayBuffer, 2 * b, 2), b * blockBytes);
		const from = new Uint8Array(values, b * quants, quants);
		blocks.set(from, b * blockBytes + 2);
	}
	return decode(blocks, format);
}

for (const dtype of ["q8_0", "q4_0", "q6_k"] as const)
	test(`${dtype}, gate and up interleaved`, async () => {
		const { halves, blockElements } = BLOCK_FORMATS[dtype];
		const random = randomSource(9);
		const numBlocks = (ROWS * COLUMNS) / blockElements;
		const blocks = randomBlocks(dtype, numBlocks, random, halves);
		const format = dtype === "q6_k" ? "f16" : dtype;
		const loaded = await loadWeights(
			gpu,
			createKernelCompiler(gpu),
			programOf(),
			sourceOf(dtype, blocks),
			() => format,
			{
				limits: {
					blockSize: 16,
					maxModelLen: 16,
					maxNumSeqs: 1,
					maxNumBatchedTokens: 16,
					kvCacheBytes: null,
					memoryUtilization: 1,
				},
				kvCacheDtype: "auto",
			},
		);
		const [{ values, scales }] = loaded.matrices.get("w")?.slices ?? [];
		const got = elements(
			format,
			await readBack(gpu, values),
			scales && (await readBack(gpu, scales)),
		);
		const exact = decode(blocks, dtype);
		const want = format === "f16" ? exact.map(Math.f16round) : exact;
		for (let r = 0; r < ROWS; r++) {
			const origin = (r % 2) * HALF + Math.floor(r / 2);
			assert.deepEqual(
				got.subarray(r * COLUMNS, (r + 1) * COLUMNS),
				want.subarray(origin * COLUMNS, (origin + 1) * COLUMNS),
				`row ${r}`,
			);
		}
		loaded.destroy();
	});
