/**
 * attention_prefill_matrix against f64 loops: as it is where the device has subgroup matrices, and everywhere with its matrices
 * emulated, which shows that addressing, barriers, softmax and rescaling are right.
 */
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { Kernel } from "../../../src/backends/webgpu/kernel.ts";
import {
	type MatrixPrefillTuning,
	matrixPrefillShape,
} from "../../../src/backends/webgpu/kernels/attention-matrix-shape.ts";
import { attentionPrefillMatrix } from "../../../src/backends/webgpu/kernels/attention-prefill-matrix.ts";
import type { AttentionOptions } from "../../../src/backends/webgpu/kernels/attention-text.ts";
import { openTestGpu, readBack, runKernel } from "../../support/webgpu.ts";
import { attentionScene, type Span } from "../../support/webgpu-attention.ts";
import { assertWithin, readFloats } from "../../support/webgpu-matrices.ts";
import { emulatedAttention } from "./emulated-attention.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

type Case = readonly [
	heads: readonly [numHeads: number, numKvHeads: number, headDim: number],
	spans: readonly Span[],
	more?: Partial<AttentionOptions>,
	tuning?: Partial<MatrixPrefillTuning>,
];

/** A prompt, the end of one, a few tokens far into a sequence; `steep`: scores so far apart that maxima grow and grow. */
const MIXED: readonly Span[] = [
	[70, 70],
	[17, 131],
	[2, 99],
];
const SHORT: readonly Span[] = [[35, 67]];
const steep = { scale: 1 };

const SMALL: readonly Case[] = [
	[[2, 1, 64], MIXED, steep],
	[[2, 1, 64], MIXED, { ...steep, slidingWindow: 40 }],
	[[2, 1, 64], SHORT, { softCap: 2, blockSize: 1 }],
	[[4, 1, 64], SHORT, { slidingWindow: 1, blockSize: 3 }],
	[[3, 1, 64], SHORT, { blockSize: 32 }],
	[[2, 1, 64], MIXED, steep, { blocks: 2, prefetch: true }],
	[[4, 2, 80], MIXED, steep],
	[[4, 2, 64], SHORT, { hasSinks: true }, { blocks: 2 }],
];
const LARGE: readonly Case[] = [
	[[4, 2, 128], MIXED, {}, { prefetch: true }],
	[[6, 1, 64], SHORT],
	[
		[16, 8, 128],
		[
			[513, 513],
			[100, 300],
		],
	],
	[[16, 8, 128], [[300, 300]], steep, { prefetch: true }],
	[[16, 8, 128], MIXED, steep, { blocks: 2 }],
	[[32, 8, 64], MIXED, steep, { keys: 64 }],
	[[32, 8, 64], MIXED, steep, { keys: 64, blocks: 2, prefetch: true }],
	[[32, 8, 128], MIXED, { slidingWindow: 33 }],
	[[4, 2, 256], MIXED, steep],
	[[16, 2, 64], MIXED, { hasSinks: true, slidingWindow: 33 }],
];

function optionsOf([
	[numHeads, numKvHeads, headDim],
	,
	more,
]: Case): AttentionOptions {
	return {
		heads: { numHeads, numKvHeads, headDim },
		blockSize: 16,
		scale: 1 / Math.sqrt(headDim),
		slidingWindow: null,
		softCap: null,
		hasSinks: false,
		storage: "f16",
		...more,
	};
}

const nameOf = ([[h, kv, d], spans, more, tuning]: Case) =>
	`${h}x${kv}x${d} ${spans.map((span) => span.join(" of ")).join(", ")} ${JSON.stringify({ ...more, ...tuning })}`;

async function check(
	of: Case,
	abilities: Gpu["abilities"],
	prepare: (kernel: Kernel) => Kernel,
): Promise<void> {
	const options = optionsOf(of);
	const [, spans, , tuning] = of;
	const scene = attentionScene(gpu, options, spans, spans.length);
	const { work, buffers, input } = scene;
	const shape = matrixPrefillShape(options, abilities, work.tileTokens, tuning);
	if (shape === null) throw new Error(`no tile for ${nameOf(of)}`);
	const kernel = prepare(
		attentionPrefillMatrix(options, abilities, work.tileTokens, tuning),
	);
	await runKernel(
		gpu,
		kernel,
		kernel.bindings.map(([name]) => buffers[name]),
		[work.numPrefillItems, shape.groups],
	);
	const width = options.heads.numHeads * options.heads.headDim;
	const got = readFloats(await readBack(gpu, buffers.output), "f16");
	for (let t = 0; t < input.numTokens; t++) {
		const from = t * scene.outputWidth;
		const want = scene.wanted.subarray(t * width, (t + 1) * width);
		// Weights are rounded to f16, and values go to about 10.
		assertWithin(
			got.subarray(from, from + width),
			want,
			(i) => 3e-3 + 1e-3 * Math.abs(want[i]),
			`token ${t}`,
		);
	}
	work.destroy();
	for (const buffer of Object.values(buffers)) buffer.destroy();
}

for (const of of SMALL)
	test(`attention_prefill_matrix, emulated, ${nameOf(of)}`, (t) => {
		const { subgroupSize, maxInvocations, workgroupBytes } = gpu.abilities;
		if (subgroupSize < 2 || maxInvocations < 128 || workgroupBytes < 32768)
			return t.skip(`${gpu.description}: no subgroups, or small workgroups`);
		const abilities = { ...gpu.abilities, subgroupMatrix: true };
		return check(of, abilities, emulatedAttention);
	});

for (const of of [...SMALL, ...LARGE])
	test(`attention_prefill_matrix, ${nameOf(of)}`, (t) => {
		if (!gpu.abilities.subgroupMatrix)
			return t.skip(`${gpu.description}: no subgroup matrices`);
		return check(of, gpu.abilities, (kernel) => kernel);
	});
