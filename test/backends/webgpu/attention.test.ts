/** attention_decode, attention_merge and attention_prefill over ragged steps against f64 loops; no token's row is left out. */
import { after, before, test } from "node:test";
import { attentionKernels } from "../../../src/backends/webgpu/attention-kernels.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { Grid } from "../../../src/backends/webgpu/dispatch.ts";
import {
	createKernelCompiler,
	type Kernel,
	type KernelCompiler,
} from "../../../src/backends/webgpu/kernel.ts";
import type { AttentionOptions } from "../../../src/backends/webgpu/kernels/attention-text.ts";
import { openTestGpu, readBack } from "../../support/webgpu.ts";
import {
	type AttentionScene,
	attentionScene,
	runOn,
	type Span,
} from "../../support/webgpu-attention.ts";
import { assertWithin, readFloats } from "../../support/webgpu-matrices.ts";

let gpu: Gpu;
let compile: KernelCompiler;
before(async () => {
	gpu = await openTestGpu();
	compile = createKernelCompiler(gpu);
});
after(() => gpu.close());

type Shape = readonly [
	numHeads: number,
	numKvHeads: number,
	headDim: number,
	blockSize: number,
];

/** Head sizes 2 to 256, groups 1 to 12, blocks 1 to 32. */
// biome-ignore format: a table
const SHAPES: readonly Shape[] = [
	[1, 1, 2, 1], [2, 1, 6, 3], [8, 2, 10, 16], [5, 1, 20, 1], [6, 1, 24, 16], [7, 1, 4, 3], [8, 1, 64, 16],
	[12, 1, 16, 32], [3, 1, 80, 16], [4, 2, 96, 32], [4, 2, 128, 16], [2, 1, 256, 3],
];
/** One chunk each; several chunks beside one; chunks of prompts with and without cached tokens; everything at once. */
const STEPS: Readonly<Record<string, readonly Span[]>> = {
	"short decodes": [
		[1, 1],
		[1, 2],
		[1, 33],
		[1, 64],
	],
	"long decodes": [
		[1, 301],
		[1, 5],
		[1, 129],
	],
	prompts: [
		[2, 2],
		[31, 31],
		[70, 131],
		[1, 1],
	],
	everything: [
		[1, 97],
		[1, 130],
		[33, 33],
		[1, 65],
		[9, 80],
	],
};

function optionsOf(
	[numHeads, numKvHeads, headDim, blockSize]: Shape,
	more: Partial<AttentionOptions> = {},
): AttentionOptions {
	return {
		heads: { numHeads, numKvHeads, headDim },
		blockSize,
		scale: 1 / Math.sqrt(headDim),
		slidingWindow: null,
		softCap: null,
		hasSinks: false,
		storage: "f32",
		...more,
	};
}

/** Everything a step's attention takes; `abilities` may be those of a lesser device. */
function kernelsOf(
	options: AttentionOptions,
	{ work }: AttentionScene,
	abilities: Gpu["abilities"],
): [Kernel, Grid][] {
	const all = attentionKernels(abilities, options, work.tileHeights, {
		matrix: null,
	});
	return all.flatMap(({ kernel, grid }) => {
		const size = grid(work);
		return size === null ? [] : [[kernel, size]];
	});
}

async function check(
	options: AttentionOptions,
	spans: readonly Span[],
	seed: number,
	abilities = gpu.abilities,
	workgroups = 1,
): Promise<void> {
	const scene = attentionScene(gpu, options, spans, seed, {
		workgroups,
		fewestTokens: 64,
		mostTokens: 64,
	});
	const kernels = kernelsOf(options, scene, abilities);
	await runOn(gpu, compile, scene, kernels);
	const { heads, storage } = options;
	const width = heads.numHeads * heads.headDim;
	const got = readFloats(await readBack(gpu, scene.buffers.output), storage);
	const rtol = storage === "f16" ? 1e-3 : 2e-5;
	for (let t = 0; t < scene.input.numTokens; t++) {
		const from = t * scene.outputWidth;
		const want = scene.wanted.subarray(t * width, (t + 1) * width);
		assertWithin(
			got.subarray(from, from + width),
			want,
			(i) => 2e-5 + rtol * Math.abs(want[i]),
			`token ${t}`,
		);
	}
	scene.work.destroy();
	for (const buffer of Object.values(scene.buffers)) buffer.destroy();
}

for (const [s, shape] of SHAPES.entries())
	for (const [step, spans] of Object.entries(STEPS)) {
		const name = shape.join("x");
		test(`attention ${name}, ${step}`, () =>
			check(optionsOf(shape), spans, s + 1));
		if (s % 3 === 1)
			test(`attention ${name} f16, ${step}`, () =>
				check(optionsOf(shape, { storage: "f16" }), spans, s + 1));
		for (const slidingWindow of s % 2 === 0 ? [1, 40] : [33])
			test(`attention ${name} window ${slidingWindow}, ${step}`, () =>
				check(optionsOf(shape, { slidingWindow }), spans, s + 1));
		if (s % 4 === 1)
			test(`attention ${name} with sinks, ${step}`, () =>
				check(optionsOf(shape, { hasSinks: true }), spans, s + 1));
		if (s % 4 === 2)
			test(`attention ${name} capped, ${step}`, () =>
				check(optionsOf(shape, { softCap: 1.5 }), spans, s + 1));
	}

test("attention_merge goes round more than once where there are many items", () =>
	check(
		optionsOf([2, 1, 16, 16]),
		[
			[1, 2500],
			[1, 2049],
		],
		9,
	));

for (const shape of [SHAPES[3], SHAPES[9], SHAPES[10]])
	test(`attention ${shape.join("x")} without subgroups, in 16 KiB`, () =>
		check(optionsOf(shape), STEPS.everything, 3, {
			...gpu.abilities,
			subgroupSize: 1,
			workgroupBytes: 16384,
			maxInvocations: 128,
		}));
