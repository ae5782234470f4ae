/** Bands: a layer stored transposed is read once, however few rows are asked for, and in bands where it is larger than one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { awqTensors } from "../../src/weights/awq.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { gptqTensors } from "../../src/weights/gptq.ts";
import type { RawTensors } from "../../src/weights/safetensors.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap } from "../../src/weights/source.ts";
import { createBandCache } from "../../src/weights/transposed-layer.ts";
import {
	packAwq,
	packGptq,
	randomLayer,
	type Tensors,
	valuesOf,
	writeTensors,
} from "../support/quantized-layers.ts";
import { randomSource } from "../support/random.ts";

const random = randomSource(77);

/** The files' tensors, and how many bytes were read of them. */
async function open(tensors: Tensors) {
	const file = writeTensors(tensors);
	const source = await openSafetensors(
		fileMap("test-model", new Map([["model.safetensors", file]])),
	);
	const read = { bytes: 0 };
	const raw: RawTensors = {
		entries: source.entries,
		async readRaw(...request) {
			const bytes = await source.readRaw(...request);
			read.bytes += bytes.length;
			return bytes;
		},
	};
	const sizes = [...source.entries.values()].map((e) => e.byteLength);
	return { raw, read, stored: sizes.reduce((a, b) => a + b, 0) };
}

for (const method of ["gptq", "awq"] as const)
	for (const numBands of [1, 2, 3, 12])
		test(`${method}: ${numBands} bands are ${numBands} times the bytes, every value is right`, async () => {
			const size = { outputs: 96, inputs: 128, bits: 4, groupSize: 32 };
			const layer = randomLayer(random, size);
			const pack = method === "gptq" ? packGptq : packAwq;
			const { raw, read, stored } = await open(pack("x", layer));
			// What a column takes: half a byte an input, a scale and a zero point of f32 a group.
			const column = 128 / 2 + 4 * 8;
			const bandBytes = (96 / numBands) * column;
			const cache = createBandCache();
			const options = {
				bits: 4,
				groupSize: 32,
				zeroOffset: 1,
				actOrder: true,
				bandBytes,
			};
			const tensors =
				method === "gptq"
					? gptqTensors(raw, options, cache)
					: awqTensors(raw, options, cache);
			const tensor = tensors.get("x.weight")?.();
			assert.ok(tensor);
			const values: number[] = [];
			for (let row = 0; row < 96; row += 5) {
				const rows = await tensor.read(row, Math.min(96, row + 5));
				values.push(...toFloat32(rows, "f16"));
			}
			assert.deepEqual(Float32Array.from(values), valuesOf(layer));
			assert.equal(read.bytes, numBands * stored);
		});

test("one band is held at a time, and none when the last row was read", async () => {
	const size = { outputs: 16, inputs: 64, bits: 4, groupSize: 64 };
	const [a, b] = [randomLayer(random, size), randomLayer(random, size)];
	const { raw, read, stored } = await open({
		...packGptq("a", a),
		...packGptq("b", b),
	});
	const options = { bits: 4, groupSize: 64, zeroOffset: 1, actOrder: false };
	const tensors = gptqTensors(raw, options, createBandCache());
	const tensor = (name: string) => {
		const made = tensors.get(`${name}.weight`)?.();
		assert.ok(made);
		return made;
	};
	const [first, second] = [tensor("a"), tensor("b")];
	await first.read(0, 8);
	await first.read(8, 12);
	assert.equal(read.bytes, stored / 2);
	// Between the rows of one another is read: right, though not read once.
	assert.deepEqual(toFloat32(await second.read(0, 16), "f16"), valuesOf(b));
	await first.read(12, 16);
	assert.equal(read.bytes, (stored / 2) * 3);
	await first.read(0, 16);
	assert.equal(read.bytes, (stored / 2) * 4);
});

test("rows of two layers read at once are right", async () => {
	const size = { outputs: 32, inputs: 64, bits: 4, groupSize: 32 };
	const layers = [randomLayer(random, size), randomLayer(random, size)];
	const { raw } = await open({
		...packGptq("0", layers[0]),
		...packGptq("1", layers[1]),
	});
	const options = { bits: 4, groupSize: 32, zeroOffset: 1, actOrder: false };
	const tensors = gptqTensors(raw, options, createBandCache());
	const made = [0, 1].map((i) => tensors.get(`${i}.weight`)?.());
	const starts = [0, 8, 16, 24];
	await Promise.all(
		starts.flatMap((start) =>
			layers.map(async (layer, i) => {
				const rows = await made[i]?.read(start, start + 8);
				assert.ok(rows);
				assert.deepEqual(
					toFloat32(rows, "f16"),
					valuesOf(layer).slice(start * 64, (start + 8) * 64),
				);
			}),
		),
	);
});
