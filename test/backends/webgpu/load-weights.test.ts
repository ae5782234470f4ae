/** Weights on the GPU against plain loops: every type of checkpoint into every format, interleaved, padded, in slices. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { TensorDtype } from "../../../src/backends/backend.ts";
import type { Program, Weight } from "../../../src/backends/program.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import { createKernelCompiler } from "../../../src/backends/webgpu/kernel.ts";
import {
	type MatrixFormat,
	matrixBytes,
	paddedRows,
	stride,
} from "../../../src/backends/webgpu/layout.ts";
import { loadWeights } from "../../../src/backends/webgpu/load-weights.ts";
import { float16ToFloat32, toFloat32 } from "../../../src/weights/convert.ts";
import { dummyWeights } from "../../../src/weights/dummy.ts";
import { openTestGpu, readBack } from "../../support/webgpu.ts";
import { quantizeRow } from "../cpu/plain-quantization.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const ROWS = 70;
const COLUMNS = 37;
const S = stride(COLUMNS);

function weight(name: string, rows: number, columns: number): Weight {
	const half = Math.floor(rows / 2);
	return {
		name,
		shape: [rows, columns],
		parts: [
			{ tensor: `${name}.a`, rows: half },
			{ tensor: `${name}.b`, rows: rows - half },
		],
	};
}

function programOf(matrix: Weight, gated: boolean): Program {
	const width = (name: string, n: number) =>
		({ name, rows: "T", width: n }) as const;
	const norm: Weight = {
		name: "norm",
		shape: [COLUMNS],
		parts: [{ tensor: "norm", rows: COLUMNS }],
	};
	return {
		name: "test",
		vocabSize: 1,
		kvLayers: [],
		ops: [
			{
				op: gated ? "normGatedLinear" : "normLinear",
				input: width("x", COLUMNS),
				norm: { weight: norm, eps: 1e-6 },
				weight: matrix,
				bias: null,
				activation: "silu",
				output: width("y", ROWS),
			},
		],
	};
}

const source = (matrix: Weight, dtype: TensorDtype) =>
	dummyWeights(
		[
			...matrix.parts.map(({ tensor, rows }) => ({
				name: tensor,
				shape: [rows, matrix.shape[1]],
			})),
			{ name: "norm", shape: [COLUMNS] },
		],
		{ seed: 3, dtype },
	);

const OPTIONS = {
	limits: {
		blockSize: 16,
		maxModelLen: 16,
		maxNumSeqs: 1,
		maxNumBatchedTokens: 16,
		kvCacheBytes: null,
		memoryUtilization: 1,
	},
	kvCacheDtype: "auto",
} as const;

/** The elements [paddedRows][S] as the buffers hold them. */
function decode(
	format: MatrixFormat,
	values: ArrayBuffer,
	scales: ArrayBuffer | null,
): Float32Array {
	const count = paddedRows(ROWS) * S;
	if (format === "f32") return new Float32Array(values, 0, count);
	if (format === "f16")
		return float16ToFloat32(new Uint16Array(values, 0, count));
	assert.ok(scales);
	const blockScales = float16ToFloat32(new Uint16Array(scales));
	const out = new Float32Array(count);
	const bytes = new Int8Array(values);
	for (let i = 0; i < count; i++) {
		const block = Math.floor(i / 32);
		const at = i % 32;
		const q =
			format === "q8_0"
				? bytes[i]
				: ((bytes[block * 16 + (at % 16)] >> (at < 16 ? 0 : 4)) & 15) - 8;
		out[i] = q * blockScales[block];
	}
	return out;
}

for (const format of ["f16", "f32", "q8_0", "q4_0"] as const)
	for (const dtype of ["bf16", "f16", "f32"] as const)
		for (const gated of [false, true])
			test(`${dtype} → ${format}${gated ? ", gate and up interleaved" : ""}`, async () => {
				const matrix = weight("w", ROWS, COLUMNS);
				const from = source(matrix, dtype);
				const loaded = await loadWeights(
					gpu,
					createKernelCompiler(gpu),
					programOf(matrix, gated),
					from,
					() => format,
					OPTIONS,
				);
				const slices = loaded.matrices.get("w")?.slices ?? [];
				assert.equal(slices.length, 1);
				const [{ values, scales }] = slices;
				assert.equal(
					values.size,
					matrixBytes(format, paddedRows(ROWS) * S).values,
				);
				const got = decode(
					format,
					await readBack(gpu, values),
					scales && (await readBack(gpu, scales)),
				);
				const rows = await Promise.all(
					matrix.parts.map(async ({ tensor, rows: n }) => [
						...toFloat32(await from.read(tensor, 0, n), dtype),
					]),
				);
				const all = Float32Array.from(rows.flat());
				for (let r = 0; r < paddedRows(ROWS); r++) {
					const half = ROWS / 2;
					const origin = gated ? (r % 2) * half + Math.floor(r / 2) : r;
					const row = new Float32Array(S);
					if (r < ROWS)
						row.set(all.subarray(origin * COLUMNS, (origin + 1) * COLUMNS));
					const want =
						format === "q8_0" || format === "q4_0"
							? quantizeRow(row, format).values
							: row;
					for (let k = 0; k < S; k++) {
						const x = got[r * S + k];
						const slack =
							format === "f16" ? Math.abs(want[k]) * 2 ** -11 + 6e-8 : 0;
						assert.ok(
							Math.abs(x - want[k]) <= slack,
							`row ${r}, column ${k}: ${x}, wanted ${want[k]}`,
						);
					}
				}
				const norm = loaded.vectors.get("norm");
				assert.ok(norm);
				assert.deepEqual(
					[...new Float32Array(await readBack(gpu, norm))].slice(0, COLUMNS),
					[...toFloat32(await from.read("norm", 0, COLUMNS), dtype)],
				);
				loaded.destroy();
			});

test("a matrix larger than a binding lies in slices", async () => {
	const matrix = weight("w", 300, COLUMNS);
	const small = {
		...gpu,
		abilities: { ...gpu.abilities, bindingBytes: 256 * S * 4 + 1 },
	};
	const from = source(matrix, "f32");
	const loaded = await loadWeights(
		small,
		createKernelCompiler(gpu),
		programOf(matrix, false),
		from,
		() => "f32",
		OPTIONS,
	);
	const slices = loaded.matrices.get("w")?.slices ?? [];
	assert.deepEqual(
		slices.map(({ rowStart, rows }) => [rowStart, rows]),
		[
			[0, 256],
			[256, 44],
		],
	);
	const last = new Float32Array(await readBack(gpu, slices[1].values));
	const want = toFloat32(await from.read("w.b", 106, 150), "f32");
	for (let r = 0; r < 44; r++)
		assert.deepEqual(
			[...last.subarray(r * S, r * S + COLUMNS)],
			[...want.subarray(r * COLUMNS, (r + 1) * COLUMNS)],
		);
	loaded.destroy();
});

test("a number no half can hold is refused by name", async () => {
	const matrix = weight("w", 4, COLUMNS);
	const from = source(matrix, "f32");
	const large = {
		...from,
		async read(name: string, start: number, end: number) {
			const values = toFloat32(
				await from.read(name, start, end),
				"f32",
			).slice();
			if (name === "w.b") values[5] = 70_000;
			return new Uint8Array(values.buffer);
		},
	};
	const load = loadWeights(
		gpu,
		createKernelCompiler(gpu),
		programOf(matrix, false),
		large,
		() => "f16",
		OPTIONS,
	);
	await assert.rejects(load, {
		code: "unsupported_dtype",
		message: /weight w holds numbers above 65,504/,
	});
});
