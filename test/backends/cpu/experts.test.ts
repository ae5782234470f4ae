/** Mixtures of experts as one op in every format, for few and many tokens, alone and together, against the reference's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WeightSource } from "../../../src/backends/backend.ts";
import { stepOf } from "../../../src/backends/bench-step.ts";
import {
	isQuantized,
	type WeightFormat,
} from "../../../src/backends/cpu/format.ts";
import { instantiate, loadKernels } from "../../../src/backends/cpu/kernels.ts";
import { layOut } from "../../../src/backends/cpu/layout.ts";
import { loadWeights } from "../../../src/backends/cpu/load-weights.ts";
import { writeStep } from "../../../src/backends/cpu/step.ts";
import { createWalker } from "../../../src/backends/cpu/walk.ts";
import {
	checkpointTensors,
	type Op,
	type Program,
	type Weight,
} from "../../../src/backends/program.ts";
import { mixExperts } from "../../../src/backends/reference/experts.ts";
import { type Matrix, normRows } from "../../../src/backends/reference/ops.ts";
import {
	type ExpertsBlock,
	featureProgram,
} from "../../support/feature-program.ts";
import { type RandomSource, randomSource } from "../../support/random.ts";
import { assertClose, stored } from "./kernel-room.ts";
import { quantizeRow } from "./plain-quantization.ts";
import { LIMITS } from "./tiny-model.ts";

/** H, I, experts, of them chosen, tokens, storage. The last but one is read in several chunks; the last has more tokens than are taken at once. */
const SHAPES = [
	[1, 1, 1, 1, 1, "parts"],
	[7, 5, 3, 2, 6, "stack"],
	[33, 17, 8, 3, 13, "columns"],
	[64, 49, 16, 4, 130, "whole"],
	[97, 80, 130, 8, 17, "whole"],
	[40, 24, 4, 2, 1100, "parts"],
] as const;

/** A share of the largest number added; activations are rounded to 8 bits where weights are quantized. */
const BOUNDS: Readonly<Record<WeightFormat, number>> = {
	f32: 2e-5,
	f16: 2e-5,
	bf16: 2e-5,
	q8_0: 0.06,
	q4_0: 0.06,
};

for (const format of ["f32", "f16", "bf16", "q8_0", "q4_0"] as const)
	for (const [i, shape] of SHAPES.entries())
		test(`mixture of ${shape[2]} ${format} experts, ${shape[0]} → ${shape[1]}, ${shape[4]} tokens: the reference's sums, alone and together`, async (t) => {
			const random = randomSource(40 + i);
			const [H, intermediate, numExperts, topK, numTokens, storage] = shape;
			const op = mixture(H, {
				kind: "experts",
				intermediate,
				numExperts,
				topK,
				storage,
				...(i % 2 === 0 ? { normalize: true } : { scale: 0.5 }),
				...(i % 3 === 1 ? {} : { bias: true }),
				gating: [
					undefined,
					{ kind: "clamped_swiglu", limit: 1 } as const,
					{ kind: "gated", activation: "gelu_tanh" } as const,
				][i % 3],
			});
			const weights = randomWeights(op, random);
			const x = random.vector(numTokens * H, 5);
			// The builds in turn.
			const relaxed = i % 2 === 0;
			const run = await cpuMixture(op, weights, format, numTokens, relaxed);
			const got = run(x);
			const want = plainMixture(op, weights, format, x);
			const largest = want.reduce(
				(max, v, n) => Math.max(max, Math.abs(v - x[n])),
				0,
			);
			let worst = 0;
			for (const [n, value] of want.entries()) {
				assertClose(
					got[n],
					value,
					BOUNDS[format] * (largest + 0.1 * Math.abs(value)),
					() => `token ${Math.floor(n / H)}, ${n % H}`,
				);
				worst = Math.max(worst, Math.abs(got[n] - value) / largest);
			}
			t.diagnostic(
				`largest difference ${worst.toExponential(1)} of the largest sum`,
			);
			for (let token = 0; token < numTokens; token += 37) {
				const row = [token * H, (token + 1) * H] as const;
				const alone = run(x.subarray(...row));
				const among = got.subarray(...row);
				// Floats have kernels of their own for one row, which add in another order.
				if (isQuantized(format)) assert.deepEqual(alone, among);
				for (const [n, value] of among.entries())
					assertClose(
						alone[n],
						value,
						1e-5 * largest + 2e-7 * Math.abs(value),
						() => `token ${token} alone`,
					);
			}
		});

type MixtureOp = Extract<Op, { op: "mixtureOfExperts" }>;

function mixture(hidden: number, block: ExpertsBlock): MixtureOp {
	const size = { hidden, vocab: 2, blockSize: 1 };
	const program = featureProgram({ name: "mixture", ...size, blocks: [block] });
	const op = program.ops.find((it) => it.op === "mixtureOfExperts");
	assert.ok(op);
	return op;
}

const programOf = (op: MixtureOp): Program => ({
	name: "mixture",
	vocabSize: 2,
	kvLayers: [],
	ops: [op],
});

/** Tensors as a checkpoint has them, in f32. The first expert is everybody's. */
function randomWeights(
	op: MixtureOp,
	random: RandomSource,
): Map<string, Float32Array> {
	const tensors = new Map<string, Float32Array>();
	for (const { name, shape } of checkpointTensors(programOf(op))) {
		const length = shape.reduce((product, n) => product * n, 1);
		const size = shape.length > 1 ? shape[shape.length - 1] ** -0.5 : 1;
		tensors.set(
			name,
			random.vector(length, 4).map((v) => v * size),
		);
	}
	const routerBias =
		op.routerBias && tensors.get(op.routerBias.parts[0].tensor);
	if (routerBias) routerBias[0] += 9;
	return tensors;
}

function sourceOf(
	op: MixtureOp,
	tensors: ReadonlyMap<string, Float32Array>,
): WeightSource {
	return {
		tensors: new Map(
			checkpointTensors(programOf(op)).map(({ name, shape }) => [
				name,
				{ name, shape, dtype: "f32" as const },
			]),
		),
		async read(name, start, end) {
			const values = tensors.get(name);
			const info = this.tensors.get(name);
			assert.ok(values && info);
			const row = values.length / info.shape[0];
			return new Uint8Array(values.slice(start * row, end * row).buffer);
		},
		async close() {},
	};
}

/** The op on one thread, with everything but weights full of NaN before. The residual's rows go in and come out. */
async function cpuMixture(
	op: MixtureOp,
	tensors: ReadonlyMap<string, Float32Array>,
	format: WeightFormat,
	maxTokens: number,
	relaxed: boolean,
): Promise<(x: Float32Array) => Float32Array> {
	const limits = { ...LIMITS, maxNumBatchedTokens: maxTokens };
	const layout = layOut(programOf(op), {
		limits,
		numThreads: 1,
		cacheType: "f32",
		formatOf: () => format,
	});
	const memory = new WebAssembly.Memory({
		initial: Math.ceil(layout.memoryBytes / 65_536),
		maximum: 65_536,
	});
	const { module } = await loadKernels(false, { relaxed });
	const kernels = instantiate(module, memory);
	const source = sourceOf(op, tensors);
	const options = { limits, kvCacheDtype: "f32" } as const;
	await loadWeights(layout, kernels, memory, source, options);
	const { plan, weightBytes, steps } = layout;
	const [task] = plan.tasks;
	assert.equal(task.kind, "experts");
	const walker = createWalker(plan, kernels, memory, 0);
	return (x) => {
		const firstFree = 65_536 + weightBytes;
		new Uint8Array(memory.buffer).fill(0xff, firstFree, steps[0]);
		const numTokens = x.length / op.residual.width;
		const residual = new Float32Array(
			memory.buffer,
			task.router.input,
			x.length,
		);
		residual.set(x);
		const one = { numTokens, numSeqs: 0, contextLen: 0, sampling: null };
		writeStep(memory.buffer, steps[0], stepOf(one, limits.blockSize), 2, 0);
		walker.run(steps[0]);
		return residual.slice();
	};
}

/** The reference's op over weights as the format keeps them. */
function plainMixture(
	op: MixtureOp,
	tensors: ReadonlyMap<string, Float32Array>,
	format: WeightFormat,
	x: Float32Array,
): Float32Array {
	const vector = (w: Weight) => gathered(w, tensors);
	const optional = (w: Weight | null) => (w === null ? null : vector(w));
	const matrix = (w: Weight, kept: WeightFormat): Matrix => {
		const data = vector(w);
		const [, width] = w.shape;
		for (let at = 0; at < data.length; at += width) {
			const row = data.subarray(at, at + width);
			row.set(
				kept === "q8_0" || kept === "q4_0"
					? quantizeRow(row, kept).values
					: stored(row, kept),
			);
		}
		return { data, width };
	};
	const { width } = op.residual;
	const numTokens = x.length / width;
	const residual = { data: x.slice(), width };
	const normed = normRows(
		residual,
		numTokens,
		vector(op.norm.weight),
		op.norm.eps,
	);
	const experts = {
		...op,
		router: matrix(op.router, "f32"),
		routerBias: optional(op.routerBias),
		gateUp: matrix(op.gateUp, format),
		gateUpBias: optional(op.gateUpBias),
		down: matrix(op.down, format),
		downBias: optional(op.downBias),
	};
	mixExperts(normed, numTokens, experts, residual);
	return residual.data;
}

/** A weight's elements by plain indexing. */
function gathered(
	{ shape, parts }: Weight,
	tensors: ReadonlyMap<string, Float32Array>,
): Float32Array {
	const columns = shape[1] ?? 1;
	const values: number[] = [];
	for (const { tensor, rows, view } of parts) {
		const all = tensors.get(tensor);
		assert.ok(all);
		const [, m, n] = view?.shape ?? [1, rows, columns];
		const slab = (view?.index ?? 0) * m * n;
		for (let r = 0; r < rows; r++)
			for (let c = 0; c < columns; c++) {
				const row = (view?.first ?? 0) + r * (view?.step ?? 1);
				values.push(all[slab + (view?.transposed ? c * n + row : row * n + c)]);
			}
	}
	return Float32Array.from(values);
}
