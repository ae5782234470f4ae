/**
 * attention_decode_fused against rope_and_cache (itself tested against f64 loops) and, from what that leaves, f64 loops of attention.
 * The cache must hold the same bits afterwards; the slot of a step's own token is NaN before.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
	fusedKernel,
	mergeDispatches,
	ropeKernel,
} from "../../../src/backends/webgpu/attention-kernels.ts";
import type { ChunkOptions } from "../../../src/backends/webgpu/attention-lists.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { Grid } from "../../../src/backends/webgpu/dispatch.ts";
import {
	createKernelCompiler,
	type Kernel,
	type KernelCompiler,
} from "../../../src/backends/webgpu/kernel.ts";
import type { DecodeFusedOptions } from "../../../src/backends/webgpu/kernels/attention-decode-fused.ts";
import type { RowTuning } from "../../../src/backends/webgpu/kernels/attention-rows.ts";
import { ropeTable } from "../../../src/backends/webgpu/kernels/rope-table.ts";
import { stride, stride8 } from "../../../src/backends/webgpu/layout.ts";
import { randomSource } from "../../support/random.ts";
import { bufferOf, openTestGpu, readBack } from "../../support/webgpu.ts";
import {
	type AttentionScene,
	attentionScene,
	plainAttention,
	runOn,
	type Span,
} from "../../support/webgpu-attention.ts";
import {
	assertWithin,
	paddedVector,
	readFloats,
} from "../../support/webgpu-matrices.ts";

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
	ropeDims?: number,
];

/** Head sizes 2 to 256, groups 1 to 12, blocks 1 to 32, some that turn in part. */
// biome-ignore format: a table
const SHAPES: readonly Shape[] = [
	[1, 1, 2, 1], [2, 1, 6, 3], [8, 2, 10, 16, 4], [5, 1, 20, 1], [6, 1, 24, 16], [7, 1, 4, 3], [8, 1, 64, 16, 16],
	[12, 1, 16, 32], [3, 1, 80, 16], [4, 2, 96, 32], [4, 2, 128, 16], [4, 2, 80, 3, 32], [2, 1, 256, 3], [5, 1, 128, 16],
];
/** The first token of a sequence and its second; all rows of a round and one more; many rounds. */
const LENGTHS = [1, 2, 17, 64, 65, 130, 301];
const SPANS = LENGTHS.map((length): Span => [1, length]);

function optionsOf(
	[numHeads, numKvHeads, headDim, blockSize, ropeDims = headDim]: Shape,
	more: Partial<DecodeFusedOptions> = {},
): DecodeFusedOptions {
	return {
		heads: { numHeads, numKvHeads, headDim },
		blockSize,
		scale: 1 / Math.sqrt(headDim),
		slidingWindow: null,
		softCap: null,
		hasSinks: false,
		storage: "f32",
		ropeDims,
		qNormEps: 1e-6,
		kNormEps: 1e-5,
		kind: "whole",
		...more,
	};
}

/** A row of keys or values for every slot and KV head. */
const ownRows = (
	{ heads, blockSize }: DecodeFusedOptions,
	slots: Int32Array,
): number[] =>
	[...slots].flatMap((slot) =>
		Array.from({ length: heads.numKvHeads }, (_, h) => {
			const block = Math.floor(slot / blockSize);
			const place = (block * heads.numKvHeads + h) * blockSize;
			return (place + (slot % blockSize)) * stride8(heads.headDim);
		}),
	);

/** The scene with buffers of its own for all that the kernels write, and norms and angles. */
async function withOwnBuffers(
	scene: AttentionScene,
	options: DecodeFusedOptions,
	spans: readonly Span[],
): Promise<AttentionScene> {
	const { headDim } = options.heads;
	const row = stride8(headDim);
	const { buffers, input } = scene;
	const poisoned = async (buffer: GPUBuffer) => {
		const halves = new Uint16Array(await readBack(gpu, buffer));
		for (const at of ownRows(options, input.slotMapping))
			halves.fill(0x7e00, at, at + row);
		return bufferOf(gpu, halves);
	};
	const copied = async (buffer: GPUBuffer) =>
		bufferOf(gpu, new Uint8Array(await readBack(gpu, buffer)));
	const random = randomSource(headDim);
	const inverseFrequencies = Float32Array.from(
		{ length: options.ropeDims / 2 },
		(_, i) => 10000 ** ((-2 * i) / options.ropeDims),
	);
	const maxModelLen = Math.max(...spans.map(([, length]) => length));
	const norm = () => bufferOf(gpu, paddedVector(random.vector(headDim, 2)));
	return {
		...scene,
		buffers: {
			...buffers,
			qkv: await copied(buffers.qkv),
			keys: await poisoned(buffers.keys),
			values: await poisoned(buffers.values),
			ropeTable: bufferOf(
				gpu,
				ropeTable({ inverseFrequencies, scale: 1.25 }, maxModelLen),
			),
			qNorm: norm(),
			kNorm: norm(),
		},
	};
}

/** What the op ropeAndCache alone leaves. */
async function afterRope(
	scene: AttentionScene,
	options: DecodeFusedOptions,
): Promise<{ qkv: Float64Array; keys: Float16Array; values: Float16Array }> {
	const { buffers, input } = scene;
	const { numHeads, numKvHeads, headDim } = options.heads;
	const { kernel, grid } = ropeKernel(gpu.abilities, options);
	await runOn(gpu, compile, scene, [[kernel, grid(input.numTokens)]]);
	const width = (numHeads + 2 * numKvHeads) * headDim;
	const padded = readFloats(
		await readBack(gpu, buffers.qkv),
		options.storage,
	).subarray(0, input.numTokens * stride(width));
	const qkv = Float64Array.from(padded).filter(
		(_, i) => i % stride(width) < width,
	);
	const halves = async (buffer: GPUBuffer) =>
		new Float16Array(await readBack(gpu, buffer));
	return {
		qkv,
		keys: await halves(buffers.keys),
		values: await halves(buffers.values),
	};
}

const bitsOf = ({ buffer, length }: Float16Array) =>
	new Uint16Array(buffer, 0, length);

async function check(
	options: DecodeFusedOptions,
	seed: number,
	abilities = gpu.abilities,
	tuning: Partial<RowTuning> = {},
	spans = SPANS,
	chunks: Partial<ChunkOptions> = {},
): Promise<void> {
	const { heads, storage } = options;
	const shared = attentionScene(gpu, options, spans, seed, {
		fuses: [options.kind],
		fusedWorkgroups: 1000,
		workgroups: 1000,
		...chunks,
	});
	const plain = await withOwnBuffers(shared, options, spans);
	const scene = await withOwnBuffers(shared, options, spans);
	const { qkv, keys, values } = await afterRope(plain, options);
	const wanted = plainAttention(
		options,
		scene.input,
		qkv,
		[keys, values],
		scene.sinks,
	);
	const { kernel, grid } = fusedKernel(abilities, options, { fused: tuning });
	const size = grid(scene.work);
	assert.ok(size !== null, "the step is fused");
	const merges = mergeDispatches(abilities, options).flatMap(
		(merge): [Kernel, Grid][] => {
			const grid = merge.grid(scene.work);
			return grid === null ? [] : [[merge.kernel, grid]];
		},
	);
	assert.equal(merges.length, scene.work.numMerges > 0 ? 1 : 0);
	await runOn(gpu, compile, scene, [[kernel, size], ...merges]);
	for (const [name, want] of Object.entries({ keys, values })) {
		const got = new Float16Array(await readBack(gpu, scene.buffers[name]));
		assert.deepEqual(bitsOf(got), bitsOf(want), name);
	}
	const width = heads.numHeads * heads.headDim;
	const got = readFloats(await readBack(gpu, scene.buffers.output), storage);
	const rtol = storage === "f16" ? 1e-3 : 2e-5;
	for (let t = 0; t < spans.length; t++) {
		const from = t * scene.outputWidth;
		const want = wanted.subarray(t * width, (t + 1) * width);
		assertWithin(
			got.subarray(from, from + width),
			want,
			(i) => 3e-5 + rtol * Math.abs(want[i]),
			`token ${t}`,
		);
	}
	scene.work.destroy();
	for (const { buffers } of [shared, plain, scene])
		for (const buffer of Object.values(buffers)) buffer.destroy();
}

const NO_NORMS = { qNormEps: null, kNormEps: null };

for (const [s, shape] of SHAPES.entries()) {
	const name = `attention_decode_fused ${shape.join("x")}`;
	test(name, () => check(optionsOf(shape), s + 1));
	for (const slidingWindow of s % 2 === 0 ? [1, 40] : [2, 33])
		test(`${name} window ${slidingWindow}`, () =>
			check(optionsOf(shape, { slidingWindow }), s + 1));
	if (s % 3 === 1)
		test(`${name} f16`, () =>
			check(optionsOf(shape, { storage: "f16" }), s + 1));
	if (s % 3 === 2)
		test(`${name} without norms`, () =>
			check(optionsOf(shape, NO_NORMS), s + 1));
	if (s % 4 === 2)
		test(`${name} capped`, () =>
			check(optionsOf(shape, { softCap: 1.5 }), s + 1));
	if (s % 4 === 1)
		test(`${name} with sinks, nothing turned`, () =>
			check(optionsOf(shape, { hasSinks: true, ropeDims: 0 }), s + 1));
	if (s % 4 === 0)
		test(`${name}, small workgroups, three rows each`, () =>
			check(optionsOf(shape), s + 1, gpu.abilities, {
				threads: 32,
				unroll: 3,
			}));
}

/** Up to ten chunks a token, and few. */
const CHUNKS: readonly Partial<ChunkOptions>[] = [
	{ mostTokens: 32, fewestTokens: 1 },
	{ mostTokens: 160, fewestTokens: 160 },
];

for (const [s, shape] of SHAPES.entries()) {
	const name = `attention_decode_fused in chunks ${shape.join("x")}`;
	const chunks = CHUNKS[s % 2];
	const run = (more: Partial<DecodeFusedOptions>, abilities = gpu.abilities) =>
		check(
			optionsOf(shape, { kind: "chunks", ...more }),
			s + 1,
			abilities,
			{},
			SPANS,
			chunks,
		);
	test(name, () => run({}));
	if (s % 3 === 0)
		test(`${name} window 40, f16`, () =>
			run({ slidingWindow: 40, storage: "f16" }));
	if (s % 3 === 1)
		test(`${name} window 1, capped`, () =>
			run({ slidingWindow: 1, softCap: 1.5 }));
	if (s % 3 === 2)
		test(`${name} without norms, with sinks`, () =>
			run({ ...NO_NORMS, hasSinks: true }));
}

test("attention_decode_fused in chunks, the heads of Qwen3-0.6B", () =>
	check(
		optionsOf([16, 8, 128, 16], { kind: "chunks", storage: "f16" }),
		5,
		gpu.abilities,
		{},
		[
			[1, 1],
			[1, 513],
			[1, 640],
			[1, 2048],
		],
		{ mostTokens: 512, fewestTokens: 64 },
	));

for (const shape of [SHAPES[3], SHAPES[9], SHAPES[12]])
	test(`attention_decode_fused ${shape.join("x")} without subgroups, in 16 KiB`, () =>
		check(optionsOf(shape), 3, {
			...gpu.abilities,
			subgroupSize: 1,
			workgroupBytes: 16384,
			maxInvocations: 128,
		}));

test("attention_decode_fused, the heads of Qwen3-0.6B", () =>
	check(optionsOf([16, 8, 128, 16], { storage: "f16" }), 5, gpu.abilities, {}, [
		[1, 1],
		[1, 513],
		[1, 640],
		[1, 2048],
	]));
