/** Parts of any dtype and shape, under every method: a layer is read as its info says, or refused with a NanoVllmError. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NanoVllmError } from "../../src/errors.ts";
import { bytesPerElement } from "../../src/weights/convert.ts";
import { openQuantized } from "../support/open-quantized.ts";
import type { RawTensor } from "../support/quantized-layers.ts";
import { type RandomSource, randomSource } from "../support/random.ts";

const sizes = { I32: 4, I64: 8, U8: 1, I8: 1, F16: 2, F32: 4, F8_E4M3: 1 };
const dims = [0, 1, 2, 3, 4, 8, 16, 32];
const packing = { num_bits: 4, strategy: "group", group_size: 32 };
const compressed = (format: string, weights: object) => ({
	...{ quant_method: "compressed-tensors", format },
	config_groups: { a: { weights } },
});

/** [config, layer, the parts a layer is made of with their right dtypes] */
const methods: [object, string, Record<string, keyof typeof sizes>][] = [
	[
		{ quant_method: "gptq", bits: 4, group_size: 16 },
		"x.weight",
		{
			"x.qweight": "I32",
			"x.qzeros": "I32",
			"x.scales": "F16",
			"x.g_idx": "I32",
		},
	],
	[
		{ quant_method: "awq", bits: 4, group_size: 16 },
		"x.weight",
		{ "x.qweight": "I32", "x.qzeros": "I32", "x.scales": "F16" },
	],
	[
		compressed("pack-quantized", packing),
		"x.weight",
		{
			"x.weight_packed": "I32",
			"x.weight_scale": "F16",
			"x.weight_zero_point": "I32",
			"x.weight_shape": "I64",
		},
	],
	[
		compressed("int-quantized", { num_bits: 8, strategy: "channel" }),
		"x.weight",
		{ "x.weight": "I8", "x.weight_scale": "F32" },
	],
	[
		{ quant_method: "fp8", weight_block_size: [16, 16] },
		"x.weight",
		{ "x.weight": "F8_E4M3", "x.weight_scale_inv": "F32" },
	],
	[{ quant_method: "mxfp4" }, "x", { x_blocks: "U8", x_scales: "U8" }],
];

function randomTensor(
	random: RandomSource,
	right: keyof typeof sizes,
): RawTensor {
	const dtypes = Object.keys(sizes) as (keyof typeof sizes)[];
	const isRight = random.below(12) > 0;
	const dtype = isRight ? right : dtypes[random.below(dtypes.length)];
	const rank = random.below(12) > 0 ? 2 : random.below(5);
	const shape = Array.from({ length: rank }, () => dims[random.below(8)]);
	const count = shape.reduce((a, b) => a * b, sizes[dtype]);
	const bytes = Uint8Array.from({ length: count }, () => random.below(64));
	return { dtype, shape, bytes };
}

for (const [config, name, parts] of methods)
	test(`any parts: ${JSON.stringify(config)}`, async () => {
		const random = randomSource(99);
		let numRead = 0;
		for (let round = 0; round < 1500; round++) {
			const tensors: Record<string, RawTensor> = {};
			for (const [part, dtype] of Object.entries(parts))
				if (random.below(8) > 0) tensors[part] = randomTensor(random, dtype);
			const source = await openQuantized(tensors, config);
			const info = source.tensors.get(name);
			try {
				const rows = info ? (info.shape[0] ?? 1) : 0;
				const bytes = await source.read(name, 0, rows);
				const count = info?.shape.reduce((a, b) => a * b, 1) ?? 0;
				assert.equal(
					bytes.length,
					count * bytesPerElement[info?.dtype ?? "f16"],
				);
				numRead++;
			} catch (error) {
				assert.ok(error instanceof NanoVllmError, String(error));
			}
		}
		assert.ok(numRead < 1500, "most are refused");
	});
