/** RMSNorm and the adding up of split sums against f64 loops: plain, gathered, with partial sums and bias; norms after layers and over all heads. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import { convertRows } from "../../../src/backends/webgpu/kernels/convert-rows.ts";
import {
	normHeads,
	normHeadsGrid,
} from "../../../src/backends/webgpu/kernels/norm-heads.ts";
import { postNorm } from "../../../src/backends/webgpu/kernels/post-norm.ts";
import {
	addPartials,
	rmsNorm,
	rowGrid,
} from "../../../src/backends/webgpu/kernels/rms-norm.ts";
import { stride } from "../../../src/backends/webgpu/layout.ts";
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

const EPS = 1e-6;
const TOKENS = 5;
const ROWS = Uint32Array.from([4, 1, 1]);
const SPLIT = { splits: 3, rows: 128 };

/** Everything the kernels read, and x = residual + Σ partials + bias. */
function inputs(width: number, split: boolean, bias: boolean) {
	const random = randomSource(width);
	const s = stride(width);
	const residual = randomActivation(random, "f32", TOKENS, width, 1000);
	const weight = random.vector(width, 10);
	const biases = random.vector(width);
	const partials = new Float32Array(SPLIT.splits * SPLIT.rows * s).fill(NaN);
	const x = residual.elements.slice();
	for (let t = 0; t < TOKENS; t++)
		for (let i = 0; i < s; i++) {
			for (let p = 0; p < SPLIT.splits; p++) {
				const at = (p * SPLIT.rows + t) * s + i;
				partials[at] = i < width ? Math.fround(random.normal()) : 0;
				if (split && i < width) x[t * width + i] += partials[at];
			}
			if (bias && i < width) x[t * width + i] += biases[i];
		}
	return { residual, weight, biases, partials, x };
}

function plainNorm(x: Float64Array, weight: Float32Array): Float64Array {
	const square = x.reduce((sum, value) => sum + value * value, 0);
	const scale = 1 / Math.sqrt(square / x.length + EPS);
	return x.map((value, i) => value * scale * weight[i]);
}

/** The first `count` rows without their padding, which must be zero. */
function unpadded(data: Float32Array, count: number, width: number) {
	const s = stride(width);
	const rows: number[] = [];
	for (let r = 0; r < count; r++)
		for (let i = 0; i < s; i++) {
			if (i < width) rows.push(data[r * s + i]);
			else assert.equal(data[r * s + i], 0, `padding of row ${r}`);
		}
	return rows;
}

for (const lanes of ["subgroups", "no subgroups"] as const)
	for (const width of lanes === "subgroups" ? [1, 33, 1031, 8192] : [1031])
		for (const storage of ["f16", "f32"] as const)
			for (const gather of [false, true])
				for (const [split, bias] of [
					[false, false],
					[true, false],
					[true, true],
				]) {
					const options = {
						width,
						eps: EPS,
						storage,
						gather,
						split: split ? SPLIT : null,
						bias,
					};
					const { label } = rmsNorm(options, {
						subgroupSize: 1,
						maxInvocations: 256,
					} as Gpu["abilities"]);
					test(`${label}, ${lanes}`, async () => {
						const abilities =
							lanes === "subgroups"
								? gpu.abilities
								: { ...gpu.abilities, subgroupSize: 1 };
						const given = inputs(width, split, bias);
						const numRows = gather ? ROWS.length : TOKENS;
						const residual = bufferOf(gpu, given.residual.data);
						const output = bufferOf(
							gpu,
							new Float32Array(numRows * stride(width)).fill(NaN),
						);
						await runKernel(
							gpu,
							rmsNorm(options, abilities),
							[
								residual,
								...(split ? [bufferOf(gpu, given.partials)] : []),
								...(bias ? [bufferOf(gpu, paddedVector(given.biases))] : []),
								...(gather ? [bufferOf(gpu, ROWS)] : []),
								bufferOf(gpu, paddedVector(given.weight)),
								output,
							],
							rowGrid(numRows),
						);
						const row = (t: number) =>
							given.x.subarray(t * width, (t + 1) * width);
						const wanted = Array.from({ length: numRows }, (_, r) => [
							...plainNorm(row(gather ? ROWS[r] : r).slice(), given.weight),
						]).flat();
						const got = unpadded(
							readFloats(await readBack(gpu, output), storage),
							numRows,
							width,
						);
						const rtol = storage === "f16" ? 1e-3 : 1e-5;
						assertWithin(
							got,
							wanted,
							(i) => 1e-6 + rtol * Math.abs(wanted[i]),
							"output",
						);
						const after = new Float32Array(await readBack(gpu, residual));
						const kept = split && !gather ? given.x : given.residual.elements;
						assertWithin(
							unpadded(after, TOKENS, width),
							kept,
							(i) => 1e-5 + 1e-6 * Math.abs(kept[i]),
							"residual",
						);
					});
				}

for (const width of [1, 1031])
	for (const bias of [false, true])
		test(`add_partials_${width}${bias ? "+bias" : ""}`, async () => {
			const given = inputs(width, true, bias);
			const residual = bufferOf(gpu, given.residual.data);
			await runKernel(
				gpu,
				addPartials({ width, split: SPLIT, bias }, gpu.abilities),
				[
					residual,
					bufferOf(gpu, given.partials),
					...(bias ? [bufferOf(gpu, paddedVector(given.biases))] : []),
				],
				rowGrid(TOKENS),
			);
			const after = new Float32Array(await readBack(gpu, residual));
			assertWithin(
				unpadded(after, TOKENS, width),
				given.x,
				(i) => 1e-5 + 1e-6 * Math.abs(given.x[i]),
				"residual",
			);
		});

for (const [width, bias] of [
	[1, false],
	[33, true],
	[1031, true],
] as const)
	test(`post_norm of ${width}${bias ? ", with bias" : ""}`, async () => {
		const { residual, weight, biases, partials } = inputs(width, true, bias);
		const s = stride(width);
		const output = bufferOf(gpu, residual.data);
		const kernel = postNorm(
			{ width, eps: EPS, split: SPLIT, bias, scale: 0.22 },
			gpu.abilities,
		);
		await runKernel(
			gpu,
			kernel,
			[
				output,
				bufferOf(gpu, partials),
				...(bias ? [bufferOf(gpu, paddedVector(biases))] : []),
				bufferOf(gpu, paddedVector(weight)),
			],
			rowGrid(TOKENS),
		);
		const want = Array.from({ length: TOKENS }, (_, t) => {
			const y = Float64Array.from({ length: width }, (_, i) => {
				const parts = [0, 1, 2].map(
					(p) => partials[(p * SPLIT.rows + t) * s + i],
				);
				return parts.reduce((a, b) => a + b) + (bias ? biases[i] : 0);
			});
			const normed = plainNorm(y, weight);
			return Array.from(
				normed,
				(v, i) => residual.elements[t * width + i] + 0.22 * v,
			);
		}).flat();
		const got = new Float32Array(await readBack(gpu, output));
		const bound = (i: number) => 1e-5 + 2e-6 * Math.abs(want[i]);
		assertWithin(unpadded(got, TOKENS, width), want, bound, kernel.label);
	});

test("convert_rows: what no half can hold is NaN", async () => {
	const width = 37;
	const { residual } = inputs(width, false, false);
	const data = residual.data.slice();
	data[3] = 70_000;
	const output = bufferOf(gpu, new Uint16Array(TOKENS * stride(width)));
	const kernel = convertRows({ width, storage: "f16" });
	await runKernel(gpu, kernel, [bufferOf(gpu, data), output], rowGrid(TOKENS));
	const got = readFloats(await readBack(gpu, output), "f16");
	for (let i = 0; i < TOKENS * stride(width); i++) {
		if (i < 4) assert.ok(Number.isNaN(got[i]), "the four with it");
		else assert.equal(got[i], Math.f16round(data[i]));
	}
});

for (const [numHeads, numKvHeads, headDim, storage] of [
	[5, 1, 6, "f16"],
	[6, 3, 10, "f32"],
	[40, 8, 64, "f16"],
	[3, 2, 7, "f32"],
] as const)
	for (const which of ["both", "keys"] as const)
		test(`norm_heads of ${numHeads}x${numKvHeads}x${headDim} ${storage}, ${which}`, async () => {
			const random = randomSource(headDim);
			const width = (numHeads + 2 * numKvHeads) * headDim;
			const qkv = randomActivation(random, storage, TOKENS, width);
			const norms = [numHeads, numKvHeads].map((n) =>
				random.vector(n * headDim, 4),
			);
			const output = bufferOf(gpu, qkv.data);
			const kernel = normHeads(
				{
					heads: { numHeads, numKvHeads, headDim },
					storage,
					qNormEps: which === "both" ? EPS : null,
					kNormEps: EPS,
				},
				gpu.abilities,
			);
			const wanted = which === "both" ? norms : norms.slice(1);
			await runKernel(
				gpu,
				kernel,
				[output, ...wanted.map((norm) => bufferOf(gpu, paddedVector(norm)))],
				normHeadsGrid(TOKENS),
			);
			const got = readFloats(await readBack(gpu, output), storage);
			const want = qkv.elements.slice();
			for (let t = 0; t < TOKENS; t++) {
				const q = t * width;
				const k = q + numHeads * headDim;
				const v = k + numKvHeads * headDim;
				const keys = qkv.elements.subarray(k, v);
				want.set(plainNorm(keys, norms[1]), k);
				const queries = qkv.elements.subarray(q, k);
				if (which === "both") want.set(plainNorm(queries, norms[0]), q);
			}
			const rtol = storage === "f16" ? 1e-3 : 2e-6;
			assertWithin(
				unpadded(got, TOKENS, width),
				want,
				(i) => 1e-6 + rtol * Math.abs(want[i]),
				kernel.label,
			);
		});
