/**
 * The matrix kernels three times: every variant compiled by Dawn without a device, the addressing run with emulated matrices
 * on whatever adapter there is, and all of it on one that has subgroup matrices.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create } from "webgpu";
import { gate } from "../../../src/backends/reference/gating.ts";
import { cap } from "../../../src/backends/reference/ops.ts";
import type { Abilities, Gpu } from "../../../src/backends/webgpu/device.ts";
import { type Kernel, sourceOf } from "../../../src/backends/webgpu/kernel.ts";
import type {
	Epilogue,
	LinearShape,
} from "../../../src/backends/webgpu/kernels/linear.ts";
import { linearMatrix } from "../../../src/backends/webgpu/kernels/linear-matrix.ts";
import {
	chooseMatrix,
	MATRIX_REGIMES,
} from "../../../src/backends/webgpu/kernels/linear-matrix-choice.ts";
import {
	type MatrixTile,
	matrixGrid,
	tileBytes,
	tileFits,
	tileLabel,
	tileSizes,
} from "../../../src/backends/webgpu/kernels/linear-matrix-tile.ts";
import {
	type MatrixFormat,
	paddedRows,
	stride,
} from "../../../src/backends/webgpu/layout.ts";
import { randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import { loraFor, testLora } from "../../support/webgpu-lora.ts";
import {
	assertWithin,
	paddedVector,
	randomActivation,
	randomMatrix,
	readFloats,
} from "../../support/webgpu-matrices.ts";
import { emulated } from "./emulated-matrices.ts";

const EPILOGUES = ["store", "add", "gated", "logits", "partial"] as const;
const FORMATS = ["f16", "q8_0", "q4_0"] as const;

function tile(
	subgroups: MatrixTile["subgroups"],
	matrices: MatrixTile["matrices"],
	slab: number,
	buffers: 1 | 2,
	ahead: number,
): MatrixTile {
	return { subgroups, matrices, slab, buffers, ahead };
}

/** Few threads and little memory: one more than a pass of rows, two buffers, subgroups along K, a rest of slabs. */
const SMALL = [
	tile([1, 1, 1], [1, 2], 32, 1, 1),
	tile([2, 1, 1], [1, 1], 32, 1, 3),
	tile([1, 2, 2], [2, 1], 64, 2, 2),
	tile([2, 2, 2], [1, 2], 32, 2, 0),
	tile([1, 1, 4], [1, 2], 64, 1, 2),
];
/** Those that matter on the H100. */
const LARGE = [
	tile([2, 2, 1], [4, 4], 64, 1, 0),
	tile([2, 2, 1], [4, 4], 32, 2, 1),
	tile([2, 2, 2], [2, 2], 128, 1, 1),
	tile([1, 2, 4], [1, 1], 128, 2, 2),
];

function shapeOf(
	epilogue: Epilogue,
	format: MatrixFormat,
	[rows, columns]: readonly [number, number],
	rest: Partial<LinearShape> = {},
): LinearShape {
	const outputStride = stride(epilogue === "gated" ? rows / 2 : rows);
	return {
		rows,
		columns,
		outputStride,
		format,
		storage: "f16",
		epilogue,
		bias: false,
		split: epilogue === "partial" ? { splits: 2, rows: 384 } : undefined,
		...rest,
	};
}

const silu = (x: number) => x / (1 + Math.exp(-x));

/** As the reference gates. */
function gatedValue({ gating }: LinearShape, g: number, u: number): number {
	if (gating === undefined) return silu(g) * u;
	const out = { data: new Float32Array(1), width: 1 };
	gate({ data: Float32Array.of(g, u), width: 2 }, 1, gating, out);
	return out.data[0];
}

/** Runs one kernel and compares every element of its output; those that are not its own must stay as they were. */
async function check(
	gpu: Gpu,
	shape: LinearShape,
	options: MatrixTile,
	tokens: number,
	asRun: (kernel: Kernel) => Kernel,
): Promise<void> {
	const { rows, columns, epilogue, outputStride, split } = shape;
	const random = randomSource(rows + columns + tokens);
	const w = randomMatrix(random, shape.format, rows, columns);
	const weights = w.elements.map(Math.f16round);
	const x = randomActivation(random, "f16", tokens, columns);
	const bias = random.vector(rows, 10);
	const lora = shape.lora
		? testLora(gpu, random, shape.lora, shape, tokens)
		: null;
	const halves = epilogue === "store" || epilogue === "gated";
	const outputRows = split ? split.splits * split.rows : paddedRows(tokens);
	const before = random.vector(outputRows * outputStride, 10);
	if (epilogue !== "add") before.fill(NaN);
	const output = bufferOf(
		gpu,
		halves ? new Uint16Array(new Float16Array(before).buffer) : before,
	);
	const kernel = asRun(linearMatrix(shape, options));
	const buffers = [
		bufferOf(gpu, x.data),
		bufferOf(gpu, w.values),
		...(w.scales ? [bufferOf(gpu, w.scales)] : []),
		...(shape.bias ? [bufferOf(gpu, paddedVector(bias))] : []),
		output,
		...(lora?.buffers ?? []),
	];
	await runKernel(gpu, kernel, buffers, matrixGrid(shape, options, tokens));
	const bytes = await readBack(gpu, output);
	const got = readFloats(bytes, halves ? "f16" : "f32");
	for (const buffer of buffers) buffer.destroy();

	const width = epilogue === "gated" ? rows / 2 : rows;
	const want = new Float64Array(tokens * outputStride).fill(NaN);
	const bound = new Float64Array(tokens * outputStride);
	for (let t = 0; t < tokens; t++) {
		const product = (n: number): [y: number, error: number] => {
			let sum = shape.bias ? bias[n] : 0;
			let size = 0;
			for (let k = 0; k < columns; k++) {
				const p = x.elements[t * columns + k] * weights[n * columns + k];
				sum += p;
				size += Math.abs(p);
			}
			const [added, addedSize] = lora?.add(t, n) ?? [0, 0];
			sum += added;
			size += addedSize;
			return [sum, 1e-5 + 8e-6 * size];
		};
		for (let i = 0; i < width; i++) {
			const at = t * outputStride + i;
			const [y, error] = product(epilogue === "gated" ? 2 * i : i);
			const finished = cap((shape.scale ?? 1) * y, shape.softCap ?? null);
			want[at] = epilogue === "add" ? finished + before[at] : finished;
			bound[at] = Math.abs(shape.scale ?? 1) * error;
			// Sums begin with what is there, and tensor cores cut a sum off wherever they add 16 products to it.
			if (epilogue === "add")
				bound[at] += (columns / 16) * 2 ** -23 * Math.abs(before[at]);
			if (epilogue === "gated") {
				const [up, upError] = product(2 * i + 1);
				want[at] = gatedValue(shape, y, up);
				bound[at] = 1.2 * (Math.abs(up) + 1) * error + Math.abs(y) * upError;
			}
			bound[at] += (halves ? 2 ** -10 : 1e-6) * Math.abs(want[at]);
		}
	}
	const sums = new Float64Array(tokens * outputStride);
	for (let s = 0; s < (split?.splits ?? 1); s++)
		for (let i = 0; i < sums.length; i++)
			sums[i] += got[s * (split?.rows ?? 0) * outputStride + i];
	for (let t = 0; t < tokens; t++) {
		const own = t * outputStride;
		assertWithin(
			sums.subarray(own, own + width),
			want.subarray(own, own + width),
			(i) => bound[own + i],
			`${kernel.label} token ${t}`,
		);
		for (let i = width; i < outputStride; i++) {
			const kept =
				epilogue === "add"
					? sums[own + i] === before[own + i]
					: Number.isNaN(sums[own + i]);
			const padding = i < stride(width) && sums[own + i] === 0;
			assert.ok(kept || padding, `${kernel.label} token ${t} column ${i}`);
		}
	}
}

/** What chooseMatrix takes for Qwen3 0.6B, and for the smallest and an odd shape. */
function chosen(): {
	shape: LinearShape;
	options: MatrixTile;
	tokens: number;
}[] {
	const whole = [
		shapeOf("store", "f16", [4096, 1024]),
		shapeOf("add", "f16", [1024, 2048]),
		shapeOf("gated", "q8_0", [6144, 1024]),
		shapeOf("add", "q4_0", [1024, 3072]),
		shapeOf("logits", "f16", [151936, 1024]),
		shapeOf("add", "f16", [1, 1]),
		shapeOf("store", "f16", [300, 1056]),
	];
	return whole.flatMap((shape) =>
		MATRIX_REGIMES.map((regime) => {
			const tokens = Math.min(regime, 8192);
			const maySplit = shape.epilogue === "add" && tokens <= 256;
			const choice = chooseMatrix(shape, tokens, maySplit, H100);
			assert.ok(choice, `${shape.rows}x${shape.columns} ${tokens}`);
			const { tile: options, splits } = choice;
			if (splits === 1) return { shape, options, tokens };
			const split = { splits, rows: paddedRows(tokens) };
			const epilogue = "partial" as const;
			return { shape: { ...shape, epilogue, split }, options, tokens };
		}),
	);
}

/** What families other than Qwen3 make of sums. */
const FINISHES: readonly Partial<LinearShape>[] = [
	{ epilogue: "add", scale: 0.22 },
	{ epilogue: "add", scale: -1.5, bias: true },
	{ epilogue: "logits", scale: 0.125 },
	{ epilogue: "logits", scale: 2, softCap: 3 },
	{ epilogue: "gated", bias: true },
	{ epilogue: "gated", gating: { kind: "gated", activation: "gelu_tanh" } },
	{ epilogue: "gated", gating: { kind: "clamped_swiglu", limit: 1.5 } },
];
const STACKS: readonly Partial<LinearShape>[] = [
	{
		epilogue: "gated",
		bias: true,
		experts: { first: 0, count: 8, total: 8, pairsPerRow: 1 },
	},
	{
		epilogue: "store",
		experts: { first: 3, count: 2, total: 8, pairsPerRow: 1 },
	},
];

/** The shape with columns of adapters. */
const withLora = (shape: LinearShape, rank: number, firstRows: number[]) => ({
	...shape,
	lora: loraFor(shape, { rank, firstRows, storage: "f16" }),
});

const H100: Abilities = {
	subgroupSize: 32,
	subgroupMatrix: true,
	maxInvocations: 1024,
	workgroupBytes: 48 * 1024,
	bindingBytes: 2 ** 31 - 4,
	storageBuffers: 16,
};

/** Dawn's backend without a device: subgroups of up to 128, 256 threads, 16 KB of workgroup memory. */
async function openNull(): Promise<GPUDevice> {
	const adapter = await dawn.requestAdapter();
	assert.ok(adapter);
	return adapter.requestDevice({
		requiredFeatures: [
			"shader-f16",
			"subgroups",
			"chromium-experimental-subgroup-matrix",
		] as GPUFeatureName[],
	});
}
/** Must outlive its devices. */
const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

test("chosen tiles fit, keep an H100 busy and may be fewer on a smaller device", () => {
	for (const { shape, options, tokens } of chosen()) {
		assert.ok(tileFits(shape, options));
		assert.ok(tileBytes(shape, options) <= H100.workgroupBytes);
		if (shape.rows < 1024) continue;
		const groups = matrixGrid(shape, options, tokens).reduce((a, b) => a * b);
		assert.ok(groups >= 64, `${tileLabel(options)}: ${groups} workgroups`);
	}
	const shape = shapeOf("store", "f16", [4096, 1024]);
	const less = { ...H100, workgroupBytes: 16 * 1024, maxInvocations: 256 };
	for (const tokens of MATRIX_REGIMES) {
		const choice = chooseMatrix(shape, Math.min(tokens, 8192), false, less);
		assert.ok(choice);
		assert.ok(tileBytes(shape, choice.tile) <= less.workgroupBytes);
	}
});

test("every variant compiles", async (t) => {
	const device = await openNull();
	const { maxComputeWorkgroupStorageSize: most } = device.limits;
	let modules = 0;
	let pipelines = 0;
	const compile = async (shape: LinearShape, options: MatrixTile) => {
		const kernel = linearMatrix(shape, options);
		const { threads } = tileSizes(shape, options);
		device.pushErrorScope("validation");
		const module = device.createShaderModule({ code: sourceOf(kernel) });
		modules++;
		if (
			tileBytes(shape, options) <= most &&
			threads % 128 === 0 &&
			threads <= 256
		) {
			device.createComputePipeline({ layout: "auto", compute: { module } });
			pipelines++;
		}
		const error = await device.popErrorScope();
		assert.equal(error, null, `${kernel.label}: ${error?.message}`);
	};
	for (const options of [...SMALL, ...LARGE])
		for (const epilogue of EPILOGUES)
			for (const format of FORMATS)
				await compile(
					shapeOf(epilogue, format, [1088, 1024], {
						bias: epilogue === "add" && options.ahead === 1,
					}),
					options,
				);
	for (const { shape, options } of chosen()) {
		await compile(shape, options);
		await compile(withLora(shape, 16, [0, 128]), options);
	}
	for (const rest of [...FINISHES, ...STACKS])
		for (const options of [SMALL[0], LARGE[0]])
			for (const format of FORMATS) {
				const epilogue = rest.epilogue ?? "gated";
				await compile(shapeOf(epilogue, format, [1088, 1024], rest), options);
			}
	t.diagnostic(`${modules} modules, ${pipelines} pipelines`);
	device.destroy();
});

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

function runs(t: { skip(why: string): void }, matrices: boolean): boolean {
	if (!matrices || gpu.abilities.subgroupMatrix) return true;
	t.skip(`${gpu.description}: no subgroup matrices`);
	return false;
}

for (const matrices of [false, true]) {
	const asRun = matrices ? (kernel: Kernel) => kernel : emulated;
	const how = matrices ? "matrices" : "emulated matrices";
	for (const options of matrices ? [...SMALL, ...LARGE] : SMALL) {
		const tokens = tileSizes(
			shapeOf("store", "f16", [128, 256]),
			options,
		).tokens;
		test(`${how}: ${tileLabel(options)}, every epilogue`, async (t) => {
			if (!runs(t, matrices)) return;
			const real: [number, number] = [150, 256];
			const shapes = [
				...EPILOGUES.map((epilogue) => shapeOf(epilogue, "f16", real)),
				shapeOf("store", "q8_0", real, { bias: true }),
				shapeOf("add", "q4_0", real, { bias: true }),
			];
			for (const shape of shapes) {
				assert.ok(tileFits(shape, options));
				await check(gpu, shape, options, tokens + 1, asRun);
			}
		});
		test(`${how}: ${tileLabel(options)}, awkward shapes`, async (t) => {
			if (!runs(t, matrices)) return;
			const shapes = [
				shapeOf("store", "q8_0", [1, 90]),
				shapeOf("add", "q4_0", [33, 37]),
				shapeOf("gated", "f16", [128, 192]),
				shapeOf("logits", "f16", [40, 700], { outputStride: 352 }),
				shapeOf("partial", "q8_0", [96, 192], {
					split: { splits: 3, rows: 128 },
				}),
			];
			for (const shape of shapes)
				for (const count of [1, 17]) {
					if (!tileFits(shape, options)) continue;
					await check(gpu, shape, options, count, asRun);
				}
		});
	}
}

for (const matrices of [false, true])
	test(`${matrices ? "" : "emulated "}matrices: finished sums`, async (t) => {
		if (!runs(t, matrices)) return;
		const asRun = matrices ? (kernel: Kernel) => kernel : emulated;
		for (const rest of FINISHES) {
			const epilogue = rest.epilogue ?? "gated";
			const shape = shapeOf(epilogue, "f16", [66, 96], rest);
			await check(gpu, shape, SMALL[1], 17, asRun);
		}
	});

for (const matrices of [false, true])
	for (const options of matrices ? [...SMALL, ...LARGE] : SMALL)
		test(`${matrices ? "" : "emulated "}matrices: ${tileLabel(options)}, with adapters`, async (t) => {
			if (!runs(t, matrices)) return;
			const asRun = matrices ? (kernel: Kernel) => kernel : emulated;
			const real: [number, number] = [150, 256];
			const shapes = [
				withLora(shapeOf("store", "f16", real, { bias: true }), 16, [0, 7, 90]),
				withLora(shapeOf("add", "q4_0", real), 8, [0]),
				withLora(shapeOf("gated", "q8_0", real), 24, [0, 75]),
				withLora(shapeOf("gated", "f16", real), 40, [0]),
				withLora(shapeOf("logits", "f16", real, { scale: 0.5 }), 64, [0]),
				withLora(shapeOf("partial", "f16", real), 16, [0]),
			];
			for (const shape of shapes) await check(gpu, shape, options, 19, asRun);
		});

for (const count of [1, 17, 64, 100, 128, 300])
	test(`matrices: real shapes, ${count} tokens`, async (t) => {
		if (!runs(t, true)) return;
		for (const options of LARGE) {
			const shapes = [
				shapeOf("store", "f16", [1024, 1024]),
				shapeOf("gated", "q8_0", [1024, 1024]),
				shapeOf("add", "q4_0", [512, 2048]),
				shapeOf("partial", "f16", [512, 3072]),
			];
			for (const shape of shapes)
				await check(gpu, shape, options, count, (kernel) => kernel);
		}
	});
