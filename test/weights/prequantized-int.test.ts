/** Integer weights of GPTQ, AWQ and compressed-tensors: every value is the one their formulas give, however rows are asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openQuantized, readAll } from "../support/open-quantized.ts";
import {
	type IntLayer,
	type LayerOptions,
	packAwq,
	packCompressed,
	packGptq,
	packInt8,
	randomLayer,
	type Tensors,
	valuesOf,
} from "../support/quantized-layers.ts";
import { randomSource } from "../support/random.ts";

const random = randomSource(20);

async function check(
	layer: IntLayer,
	tensors: Tensors,
	config: object,
): Promise<void> {
	const source = await openQuantized(tensors, config);
	const [outputs, inputs] = [layer.codes.length, layer.codes[0].length];
	assert.deepEqual(
		[...source.tensors.values()],
		[{ name: "x.weight", dtype: "f16", shape: [outputs, inputs] }],
	);
	const wanted = valuesOf(layer);
	for (const step of [outputs, 1, 5, 17])
		assert.deepEqual(await readAll(source, "x.weight", step), wanted);
	assert.equal((await source.read("x.weight", 3, 3)).length, 0);
}

const name = (o: object): string =>
	Object.entries(o)
		.map(([key, value]) => `${key} ${value}`)
		.join(", ");

const gptqCases: LayerOptions[] = [
	{ outputs: 8, inputs: 8, bits: 4, groupSize: 8 },
	{ outputs: 48, inputs: 96, bits: 4, groupSize: 32 },
	{ outputs: 48, inputs: 96, bits: 4, groupSize: 32, actOrder: true },
	{ outputs: 24, inputs: 128, bits: 4, groupSize: 128, symmetric: true },
	{ outputs: 40, inputs: 256, bits: 4, groupSize: 64, symmetric: true },
	{ outputs: 16, inputs: 72, bits: 4, groupSize: -1 },
	// The last group is shorter.
	{ outputs: 16, inputs: 72, bits: 4, groupSize: 32, actOrder: true },
	{ outputs: 20, inputs: 44, bits: 8, groupSize: 32 },
	{ outputs: 32, inputs: 64, bits: 2, groupSize: 32, actOrder: true },
];

for (const options of gptqCases)
	for (const version of [1, 2] as const)
		test(`gptq, version ${version}: ${name(options)}`, async () => {
			const layer = randomLayer(random, options);
			const config = {
				quant_method: "gptq",
				bits: options.bits,
				group_size: options.groupSize,
				desc_act: options.actOrder ?? false,
				sym: options.symmetric ?? false,
				checkpoint_format: version === 1 ? "gptq" : "gptq_v2",
			};
			const tensors = packGptq("x", layer, version);
			await check(layer, tensors, config);
			if (options.actOrder) return;
			const { "x.g_idx": _, ...inOrder } = tensors;
			await check(layer, inOrder, config);
		});

for (const options of [
	{ outputs: 8, inputs: 8, bits: 4, groupSize: 8 },
	{ outputs: 48, inputs: 96, bits: 4, groupSize: 32 },
	{ outputs: 64, inputs: 37, bits: 4, groupSize: -1 },
	{ outputs: 24, inputs: 256, bits: 4, groupSize: 128 },
])
	test(`awq: ${name(options)}`, async () => {
		const layer = randomLayer(random, options);
		await check(layer, packAwq("x", layer), {
			quant_method: "awq",
			bits: 4,
			group_size: options.groupSize,
			version: "gemm",
			zero_point: true,
		});
	});

function compressedConfig(format: string, weights: object): object {
	return {
		quant_method: "compressed-tensors",
		format,
		config_groups: {
			group_0: { weights: { type: "int", ...weights }, targets: ["Linear"] },
		},
		ignore: ["lm_head"],
	};
}

for (const options of [
	{ outputs: 8, inputs: 8, bits: 4, groupSize: 8, symmetric: true },
	{ outputs: 13, inputs: 64, bits: 4, groupSize: 32 },
	{ outputs: 13, inputs: 96, bits: 4, groupSize: 32, actOrder: true },
	{ outputs: 29, inputs: 128, bits: 4, groupSize: 128, symmetric: true },
	{ outputs: 11, inputs: 40, bits: 4, groupSize: -1 },
	{ outputs: 11, inputs: 36, bits: 8, groupSize: -1, symmetric: true },
	{ outputs: 17, inputs: 64, bits: 8, groupSize: 32 },
] as LayerOptions[])
	test(`pack-quantized: ${name(options)}`, async () => {
		const layer = randomLayer(random, options);
		const { bits, groupSize, symmetric = false } = options;
		const config = compressedConfig("pack-quantized", {
			num_bits: bits,
			symmetric,
			...(groupSize === -1
				? { strategy: "channel" }
				: { strategy: "group", group_size: groupSize }),
		});
		const hasIndex = options.actOrder;
		for (const zeros of symmetric
			? (["none", "packed", "plain"] as const)
			: (["packed", "plain"] as const))
			await check(
				layer,
				packCompressed("x", layer, { zeros, hasIndex }),
				config,
			);
	});

test("int-quantized: W8A8 weights, symmetric and not, are read as weights", async () => {
	for (const symmetric of [true, false]) {
		const options = { outputs: 13, inputs: 35, bits: 8, groupSize: -1 };
		const layer = randomLayer(random, { ...options, symmetric });
		const weights = { num_bits: 8, symmetric, strategy: "channel" };
		await check(
			layer,
			packInt8("x", layer, !symmetric),
			compressedConfig("int-quantized", weights),
		);
	}
});

test("layers of 4 and of 8 bits in one checkpoint are told apart by their groups", async () => {
	const config = {
		quant_method: "compressed-tensors",
		format: "pack-quantized",
		config_groups: {
			a: { weights: { num_bits: 4, strategy: "group", group_size: 32 } },
			b: { weights: { num_bits: 8, strategy: "group", group_size: 32 } },
		},
	};
	const symmetric = true;
	for (const bits of [4, 8]) {
		const layer = randomLayer(random, {
			...{ outputs: 6, inputs: 128, bits, groupSize: 32, symmetric },
		});
		await check(layer, packCompressed("x", layer, { zeros: "none" }), config);
	}
});

test("of groups of layers that differ in zero points alone, a layer may be of either", async () => {
	const weights = { num_bits: 4, strategy: "group", group_size: 32 };
	const config = {
		quant_method: "compressed-tensors",
		format: "pack-quantized",
		config_groups: {
			a: { weights: { ...weights, symmetric: false, actorder: "group" } },
			b: { weights: { ...weights, symmetric: true } },
		},
	};
	for (const symmetric of [true, false]) {
		const layer = randomLayer(random, {
			...{ outputs: 6, inputs: 64, bits: 4, groupSize: 32, symmetric },
		});
		const zeros = symmetric ? "none" : "packed";
		await check(layer, packCompressed("x", layer, { zeros }), config);
	}
});
