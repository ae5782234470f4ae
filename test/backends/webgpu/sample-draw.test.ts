/** Draws of the device: as likely as they should be, and the random numbers behind them against f64. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { hash4 } from "../../../src/backends/reference/sample.ts";
import { createKernelCompiler } from "../../../src/backends/webgpu/kernel.ts";
import { GUMBELS } from "../../../src/backends/webgpu/kernels/sample-draw.ts";
import { ROW_TYPES } from "../../../src/backends/webgpu/kernels/sample-row.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import { openSampler, plainRow } from "./sampler-room.ts";

const gpu = await openTestGpu();
const compile = createKernelCompiler(gpu);
after(() => gpu.close());

const TOKENS = 1 << 17;

test("g = −log E of 131,072 tokens is within 2e-6 of f64", async () => {
	const state = [3000, 0x9e3779b9, 42] as const;
	const kernel = {
		label: "gumbels",
		bindings: [["output", "write", "array<vec4<f32>>"]],
		code: `${ROW_TYPES}${GUMBELS}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var row = Row();
  row.position = ${state[0]}u;
  row.seedHigh = ${state[1]}u;
  row.seedLow = ${state[2]}u;
  output[id.x] = gumbels(4u * id.x, row);
}`,
	} as const;
	const output = bufferOf(gpu, new Float32Array(TOKENS).fill(Number.NaN));
	await runKernel(gpu, kernel, [output], [TOKENS / 256]);
	const got = new Float32Array(await readBack(gpu, output));
	let worst = 0;
	for (let token = 0; token < TOKENS; token++) {
		const u = (hash4(token, ...state) + 0.5) / 2 ** 32;
		const want = -Math.log(-Math.log1p(-u));
		worst = Math.max(worst, Math.abs(got[token] - want));
	}
	assert.ok(worst < 2e-6, `${worst}`);
});

/** χ² of counts, in standard deviations of a normal (Wilson and Hilferty 1931): 4.75 is p = 1e-6. */
function chiSquareZ(observed: readonly number[], expected: readonly number[]) {
	let chi = 0;
	let cells = -1;
	for (const [i, count] of observed.entries()) {
		if (expected[i] === 0) assert.equal(count, 0, `token ${i} cannot occur`);
		else {
			chi += (count - expected[i]) ** 2 / expected[i];
			cells++;
		}
	}
	const spread = 2 / (9 * cells);
	return ((chi / cells) ** (1 / 3) - (1 - spread)) / Math.sqrt(spread);
}

const STEPS = 24;
const ROWS = 256;

for (const [name, filter, kept] of [
	["temperature alone", {}, 9],
	["top-k", { topK: 5 }, 5],
	["top-p", { topP: 0.9 }, 5],
] as const)
	test(`draws follow the softmax: ${name}`, async () => {
		const room = await openSampler(gpu, compile, 9, ROWS);
		const logits = Float32Array.from({ length: 9 }, (_, i) => -0.25 * i);
		const counts = new Array<number>(9).fill(0);
		for (let step = 0; step < STEPS; step++) {
			const { tokenIds } = await room.submit(
				Array.from({ length: ROWS }, (_, r) => ({
					...plainRow,
					logits,
					temperature: 0.5,
					seed: [0, r] as const,
					position: step,
					...filter,
				})),
			);
			for (const token of tokenIds) counts[token]++;
		}
		const all = logits.map((x, i) => (i < kept ? Math.exp(2 * x) : 0));
		const total = all.reduce((a, b) => a + b, 0);
		const expected = Array.from(all, (p) => (p / total) * STEPS * ROWS);
		const z = chiSquareZ(counts, expected);
		assert.ok(z < 4.75, `z ${z}, ${counts} of ${expected.map(Math.round)}`);
		room.sampler.destroy();
	});
