/** One linear kernel on random inputs against f64 loops: every format, storage and epilogue. */
import type { Gpu } from "../../src/backends/webgpu/device.ts";
import type { Kernel } from "../../src/backends/webgpu/kernel.ts";
import type { LinearShape } from "../../src/backends/webgpu/kernels/linear.ts";
import { paddedRows, stride } from "../../src/backends/webgpu/layout.ts";
import { randomSource } from "./random.ts";
import { bufferOf, readBack, runKernel } from "./webgpu.ts";
import { testLora } from "./webgpu-lora.ts";
import {
	assertWithin,
	paddedVector,
	randomActivation,
	randomMatrix,
	readFloats,
} from "./webgpu-matrices.ts";

export interface LinearCase {
	readonly shape: LinearShape;
	readonly kernel: Kernel;
	readonly grid: readonly [number, number, number];
	readonly numTokens: number;
	/** eps of a fused norm. */
	readonly normEps?: number | null;
	/** Added to the bound, as a share of Σ |w · x|. */
	readonly rtol?: number;
}

/** The shape with the stride its output has where the whole matrix is bound. */
export function shapeOf(shape: Omit<LinearShape, "outputStride">): LinearShape {
	const width = shape.epilogue === "gated" ? shape.rows / 2 : shape.rows;
	return { ...shape, outputStride: stride(width) };
}

/** Runs the kernel over poisoned outputs and compares all of them. Row past T and padding beyond the width may hold anything but the latter no number other than zero. */
export async function checkLinear(gpu: Gpu, given: LinearCase): Promise<void> {
	const { shape, kernel, grid, numTokens, normEps = null } = given;
	const { rows, columns, format, epilogue, outputStride } = shape;
	const random = randomSource(rows * 31 + columns * 7 + numTokens);
	const weight = randomMatrix(random, format, rows, columns);
	const storage = normEps === null ? shape.storage : "f32";
	const x = randomActivation(random, storage, numTokens, columns);
	const normWeight = random.vector(columns, 10);
	const bias = random.vector(rows);
	const input =
		normEps === null ? x.elements : normed(x.elements, normWeight, normEps);

	const lora = shape.lora
		? testLora(gpu, random, shape.lora, shape, numTokens)
		: null;
	/** Of a token's norm, which adapters' columns get too. */
	const factors =
		normEps === null ? null : scalesOf(x.elements, columns, normEps);

	const y = new Float64Array(numTokens * rows);
	const size = new Float64Array(y.length);
	for (let t = 0; t < numTokens; t++)
		for (let n = 0; n < rows; n++) {
			let sum = shape.bias ? bias[n] : 0;
			let absolute = Math.abs(sum);
			for (let k = 0; k < columns; k++) {
				const product =
					weight.elements[n * columns + k] * input[t * columns + k];
				sum += product;
				absolute += Math.abs(product);
			}
			const [added, addedSize] = lora?.add(t, n) ?? [0, 0];
			const factor = factors?.[t] ?? 1;
			y[t * rows + n] = sum + factor * added;
			size[t * rows + n] = absolute + factor * addedSize;
		}

	const halves =
		shape.storage === "f16" && (epilogue === "store" || epilogue === "gated");
	const width = epilogue === "gated" ? rows / 2 : rows;
	const splits = shape.split?.splits ?? 1;
	const outputRows = shape.split
		? splits * shape.split.rows
		: paddedRows(numTokens);
	const before = initialOutput(
		random,
		epilogue,
		halves,
		outputRows * outputStride,
		outputStride,
		width,
	);
	const output = bufferOf(gpu, before);
	await runKernel(
		gpu,
		kernel,
		[
			bufferOf(gpu, x.data),
			...(normEps === null ? [] : [bufferOf(gpu, paddedVector(normWeight))]),
			bufferOf(gpu, weight.values),
			...(weight.scales ? [bufferOf(gpu, weight.scales)] : []),
			...(shape.bias ? [bufferOf(gpu, paddedVector(bias))] : []),
			output,
			...(lora?.buffers ?? []),
		],
		grid,
	);
	const got = readFloats(await readBack(gpu, output), halves ? "f16" : "f32");

	const found = new Float64Array(numTokens * width);
	const wanted = new Float64Array(found.length);
	const bounds = new Float64Array(found.length);
	const rtol = given.rtol ?? 2e-6;
	for (let t = 0; t < numTokens; t++)
		for (let i = 0; i < outputStride; i++) {
			const at = t * outputStride + i;
			if (i >= width) {
				if (halves ? got[at] !== 0 : got[at] !== 0 && !Number.isNaN(got[at]))
					throw new Error(
						`${kernel.label}: padding ${i} of token ${t} is ${got[at]}`,
					);
				continue;
			}
			const to = t * width + i;
			const row = t * rows + i;
			for (let s = 0; s < splits; s++)
				found[to] += got[at + s * (shape.split?.rows ?? 0) * outputStride];
			if (epilogue === "gated") {
				const gate = t * rows + 2 * i;
				const up = gate + 1;
				wanted[to] = (y[gate] / (1 + Math.exp(-y[gate]))) * y[up];
				bounds[to] =
					rtol *
					(1.1 * size[gate] * Math.abs(y[up]) + size[up] * Math.abs(y[gate]));
			} else {
				wanted[to] =
					y[row] + (epilogue === "add" ? (before as Float32Array)[at] : 0);
				bounds[to] = rtol * size[row];
			}
			bounds[to] += 1e-6 + (halves ? 1e-3 : 1e-6) * Math.abs(wanted[to]);
		}
	assertWithin(found, wanted, (i) => bounds[i], kernel.label);
}

function normed(
	x: Float64Array,
	weight: Float32Array,
	eps: number,
): Float64Array {
	const n = weight.length;
	const scales = scalesOf(x, n, eps);
	return x.map((value, i) => value * scales[Math.floor(i / n)] * weight[i % n]);
}

/** What RMSNorm multiplies each row of `width` with. */
function scalesOf(x: Float64Array, width: number, eps: number): number[] {
	return Array.from({ length: x.length / width }, (_, row) => {
		const own = x.subarray(row * width, (row + 1) * width);
		const square = own.reduce((sum, value) => sum + value * value, 0);
		return 1 / Math.sqrt(square / width + eps);
	});
}

/** A residual for `add`; else NaN in f32, and in halves zero, since padding may be left as it was. */
function initialOutput(
	random: ReturnType<typeof randomSource>,
	epilogue: LinearShape["epilogue"],
	halves: boolean,
	length: number,
	outputStride: number,
	width: number,
): Float32Array | Uint16Array {
	if (epilogue === "add")
		return random
			.vector(length, 100)
			.map((value, i) => (i % outputStride < width ? value : 0));
	if (!halves) return new Float32Array(length).fill(NaN);
	return Uint16Array.from({ length }, (_, i) =>
		i % outputStride < width ? 0x7e00 : 0,
	);
}
