/** Dummy weights: the same whatever is read, spread as promised, and different where they should differ. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toFloat32 } from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";

const tensors = [
	{ name: "model.embed_tokens.weight", shape: [300, 64] },
	{ name: "model.layers.0.mlp.down_proj.weight", shape: [64, 151] },
	{ name: "model.layers.1.mlp.down_proj.weight", shape: [64, 151] },
	{ name: "model.layers.0.input_layernorm.weight", shape: [257] },
	{ name: "model.layers.0.self_attn.q_norm.weight", shape: [128] },
	{ name: "model.layers.0.self_attn.q_proj.bias", shape: [1001] },
	{ name: "experts.gate_proj", shape: [3, 32, 48] },
	{ name: "scale", shape: [] },
	{ name: "empty", shape: [0, 5] },
];

const dtypes = ["f32", "f16", "bf16"] as const;
type Dtype = (typeof dtypes)[number];

async function values(name: string, dtype: Dtype, seed = 7) {
	const rows = tensors.find((tensor) => tensor.name === name)?.shape[0] ?? 1;
	const source = dummyWeights(tensors, { seed, dtype });
	return toFloat32(await source.read(name, 0, rows), dtype);
}

function statistics(numbers: Float32Array): { mean: number; std: number } {
	const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
	const square = numbers.reduce((a, b) => a + (b - mean) ** 2, 0);
	return { mean, std: Math.sqrt(square / numbers.length) };
}

test("any rows, read in any order, are the rows of the whole", async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.constantFrom(...tensors),
			fc.constantFrom(...dtypes),
			fc.integer(),
			fc.array(fc.tuple(fc.nat(300), fc.nat(300)), { maxLength: 5 }),
			async ({ name, shape }, dtype, seed, cuts) => {
				const rows = shape[0] ?? 1;
				const source = dummyWeights(tensors, { seed, dtype });
				const whole = await source.read(name, 0, rows);
				const elements = shape.reduce((a, b) => a * b, 1);
				assert.equal(whole.length, elements * (dtype === "f32" ? 4 : 2));
				const rowBytes = rows === 0 ? 0 : whole.length / rows;
				const again = dummyWeights(tensors, { seed, dtype });
				for (const [a, b] of cuts) {
					const start = Math.min(a, b, rows);
					const end = Math.min(Math.max(a, b), rows);
					const part = await again.read(name, start, end);
					assert.equal(part.byteOffset, 0);
					assert.deepEqual(part, whole.slice(start * rowBytes, end * rowBytes));
				}
			},
		),
	);
});

test("tensors are listed as given, in the dtype asked for", () => {
	const source = dummyWeights(tensors, { seed: 0, dtype: "f16" });
	assert.deepEqual(
		[...source.tensors.values()],
		tensors.map((tensor) => ({ ...tensor, dtype: "f16" })),
	);
});

test("a matrix has mean 0 and standard deviation 1/√in", async () => {
	for (const [name, numIn] of [
		["model.embed_tokens.weight", 64],
		["model.layers.0.mlp.down_proj.weight", 151],
		["experts.gate_proj", 48],
	] as const)
		for (const dtype of dtypes) {
			const numbers = await values(name, dtype);
			const { mean, std } = statistics(numbers);
			const wanted = 1 / Math.sqrt(numIn);
			assert.ok(Math.abs(std / wanted - 1) < 0.05, `${name} std ${std}`);
			assert.ok(Math.abs(mean) < wanted / 20, `${name} mean ${mean}`);
		}
});

test("norm weights are near 1, biases small", async () => {
	for (const name of [
		"model.layers.0.input_layernorm.weight",
		"model.layers.0.self_attn.q_norm.weight",
	]) {
		const numbers = await values(name, "bf16");
		assert.ok(numbers.every((value) => value >= 0.89 && value <= 1.11));
	}
	const bias = await values("model.layers.0.self_attn.q_proj.bias", "bf16");
	assert.ok(bias.every((value) => Math.abs(value) <= 0.0201));
	assert.ok(statistics(bias).std > 0.01);
});

test("f32 holds the values of bf16, f16 the same rounded", async () => {
	const name = "model.layers.0.mlp.down_proj.weight";
	const f32 = await values(name, "f32");
	assert.deepEqual(await values(name, "bf16"), f32);
	assert.deepEqual(await values(name, "f16"), f32.map(Math.f16round));
});

test("tensors and seeds are independent of each other", async () => {
	const a = await values("model.layers.0.mlp.down_proj.weight", "f32");
	const b = await values("model.layers.1.mlp.down_proj.weight", "f32");
	const c = await values("model.layers.0.mlp.down_proj.weight", "f32", 8);
	const correlation = (x: Float32Array, y: Float32Array): number =>
		x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0) /
		x.reduce((sum, value) => sum + value * value, 0);
	assert.ok(Math.abs(correlation(a, a) - 1) < 1e-9);
	for (const other of [b, c, a.subarray(1), a.subarray(2)])
		assert.ok(Math.abs(correlation(a, other)) < 0.05);
});

test("an aborted read rejects", async () => {
	const source = dummyWeights(tensors, { seed: 0, dtype: "f32" });
	await assert.rejects(source.read("scale", 0, 1, AbortSignal.abort()), {
		code: "aborted",
	});
});
