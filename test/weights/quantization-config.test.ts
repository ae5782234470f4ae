/** quantization_config: as published checkpoints have it, and what is refused with which word. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../src/errors.ts";
import { findQuantizationConfig } from "../../src/weights/quantization-config.ts";

const find = (quantization_config: unknown) =>
	findQuantizationConfig({ quantization_config });

test("a plain model has none", () => {
	for (const json of [{}, { quantization_config: null }, null, 3, []])
		assert.equal(findQuantizationConfig(json), null);
});

test("it may lie with the text model, or have its old name", () => {
	const quantization_config = { quant_method: "mxfp4" };
	for (const json of [
		{ quantization_config },
		{ text_config: { quantization_config } },
		{ compression_config: quantization_config },
	])
		assert.deepEqual(findQuantizationConfig(json), { method: "mxfp4" });
});

test("gptq: AutoGPTQ's and GPTQModel's", () => {
	const config = {
		bits: 4,
		checkpoint_format: "gptq",
		damp_percent: 0.01,
		desc_act: true,
		group_size: 128,
		model_file_base_name: "model",
		quant_method: "gptq",
		static_groups: false,
		sym: true,
		true_sequential: true,
	};
	const wanted = {
		method: "gptq",
		bits: 4,
		groupSize: 128,
		zeroOffset: 1,
		actOrder: true,
	};
	assert.deepEqual(find(config), wanted);
	assert.deepEqual(find({ ...config, checkpoint_format: undefined }), wanted);
	assert.deepEqual(find({ ...config, desc_act: false }), {
		...wanted,
		actOrder: false,
	});
	assert.deepEqual(find({ ...config, group_size: -1 }), {
		...wanted,
		groupSize: null,
	});
	for (const key of ["checkpoint_format", "format"])
		assert.deepEqual(
			find({ ...config, checkpoint_format: undefined, [key]: "gptq_v2" }),
			{ ...wanted, zeroOffset: 0 },
		);
	const dynamic = { "-:.*mtp.*": {}, "+:.*mlp.*": { sym: false, bits: 4 } };
	assert.deepEqual(find({ ...config, dynamic }), wanted);
});

test("awq: AutoAWQ's, old and new", () => {
	const wanted = { method: "awq", bits: 4, groupSize: 64 };
	const config = {
		bits: 4,
		group_size: 64,
		modules_to_not_convert: ["lm_head"],
		quant_method: "awq",
		version: "gemm",
		zero_point: true,
	};
	assert.deepEqual(find(config), wanted);
	assert.deepEqual(
		find({
			...{ quant_method: "awq", w_bit: 4, q_group_size: 64, version: "GEMM" },
		}),
		wanted,
	);
});

test("fp8: blocks, or none", () => {
	const none = { method: "fp8", blocks: null };
	assert.deepEqual(find({ quant_method: "fbgemm_fp8" }), none);
	assert.deepEqual(find({ quant_method: "modelopt", quant_algo: "FP8" }), none);
	const config = { quant_method: "fp8", fmt: "e4m3" };
	assert.deepEqual(find(config), { method: "fp8", blocks: null });
	assert.deepEqual(find({ ...config, weight_block_size: [128, 128] }), {
		method: "fp8",
		blocks: [128, 128],
	});
});

const compressed = (weights: unknown, more: object = {}) => ({
	quant_method: "compressed-tensors",
	format: "pack-quantized",
	config_groups: { group_0: { targets: ["Linear"], weights } },
	ignore: ["lm_head", "re:.*mlp.gate$"],
	...more,
});
const int4 = { num_bits: 4, type: "int", symmetric: true };

test("compressed-tensors: formats, strategies, groups", () => {
	const schemes = (json: object) => {
		const config = find(json);
		assert.ok(config?.method === "compressed-tensors");
		return config.schemes;
	};
	const packed = {
		kind: "packed",
		bits: 4,
		symmetric: true,
		actOrder: false,
	} as const;
	const grouped = { ...packed, scales: { kind: "group", size: 128 } };
	const channel = { ...packed, scales: { kind: "channel" } };
	const group_size = 128;
	assert.deepEqual(
		schemes(compressed({ ...int4, strategy: "group", group_size })),
		[grouped],
	);
	assert.deepEqual(schemes(compressed({ ...int4, group_size })), [grouped]);
	for (const weights of [
		{ ...int4, strategy: "channel", group_size: null },
		{ ...int4, group_size: -1 },
	])
		assert.deepEqual(schemes(compressed(weights)), [channel]);
	for (const [actorder, actOrder] of [
		["group", true],
		[true, true],
		["dynamic", true],
		["weight", false],
		["static", false],
		[false, false],
	])
		assert.deepEqual(schemes(compressed({ ...int4, group_size, actorder })), [
			{ ...grouped, actOrder },
		]);
	const float = { num_bits: 8, type: "float", strategy: "block" };
	const float8 = compressed(
		{ ...float, block_structure: [128, 128] },
		{ format: "float-quantized", sparsity_config: { format: "dense" } },
	);
	assert.deepEqual(schemes(float8), [
		{
			kind: "float8",
			bits: 8,
			symmetric: true,
			actOrder: false,
			scales: { kind: "block", rows: 128, columns: 128 },
		},
	]);
	const mixed = {
		...float8,
		format: "mixed-precision",
		config_groups: {
			a: { format: "pack-quantized", weights: { ...int4, group_size } },
			b: { format: "int-quantized", weights: { num_bits: 8, type: "int" } },
			c: { format: "naive-quantized", weights: { num_bits: 8, type: "float" } },
			d: { format: "dense", weights: { num_bits: 3 } },
			e: { weights: null, input_activations: { num_bits: 8 } },
		},
	};
	assert.deepEqual(
		schemes(mixed).map(({ kind }) => kind),
		["packed", "int8", "float8"],
	);
});

const gptq = { quant_method: "gptq", bits: 4, group_size: 128 };
const awq = { quant_method: "awq", bits: 4, group_size: 128 };

/** [config, code, message] */
const refused: [unknown, ErrorCode, RegExp][] = [
	...["bitsandbytes", "hqq", "aqlm", "exl2", undefined, 4, "__proto__"].map(
		(quant_method): [unknown, ErrorCode, RegExp] => [
			{ quant_method },
			"unsupported_model",
			/quant_method .* is not supported, only awq, compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4\. Take .*quantization "q8_0"/,
		],
	),
	["gptq", "invalid_model_config", /must be an object, got "gptq"/],
	[[], "invalid_model_config", /must be an object/],
	[
		{ ...gptq, bits: 3 },
		"unsupported_model",
		/bits must be 2 or 4 or 8, got 3/,
	],
	[{ ...gptq, bits: "4" }, "unsupported_model", /bits must be/],
	...[0, -2, 1.5, 2 ** 40, null, "128"].map(
		(group_size): [unknown, ErrorCode, RegExp] => [
			{ ...gptq, group_size },
			"invalid_model_config",
			/group_size must be -1 or a whole number/,
		],
	),
	[
		{ ...gptq, checkpoint_format: "marlin" },
		"unsupported_model",
		/checkpoint_format "marlin"/,
	],
	[{ ...gptq, is_marlin_format: true }, "unsupported_model", /"marlin"/],
	[
		{ ...gptq, dynamic: { "+:.*down.*": { bits: 8 } } },
		"unsupported_model",
		/"\+:\.\*down\.\*" has bits 8/,
	],
	[
		{ ...gptq, dynamic: { ".*up.*": { group_size: 64 } } },
		"unsupported_model",
		/has group_size 64/,
	],
	[{ ...gptq, dynamic: 3 }, "invalid_model_config", /dynamic/],
	[{ ...awq, bits: 8 }, "unsupported_model", /bits must be 4, got 8/],
	[{ ...awq, version: "gemv" }, "unsupported_model", /version "gemv"/],
	[{ ...awq, zero_point: false }, "unsupported_model", /zero_point false/],
	[
		{ quant_method: "fp8", weight_block_size: [128] },
		"invalid_model_config",
		/two whole numbers/,
	],
	[
		{ quant_method: "fp8", weight_block_size: [128, 0] },
		"invalid_model_config",
		/two whole numbers/,
	],
	[
		{ quant_method: "compressed-tensors" },
		"invalid_model_config",
		/config_groups must be an object/,
	],
	[
		compressed(int4, { format: "nvfp4-pack-quantized" }),
		"unsupported_model",
		/format "nvfp4-pack-quantized"/,
	],
	[compressed(int4, { format: "marlin-24" }), "unsupported_model", /marlin-24/],
	[compressed("int4"), "invalid_model_config", /weights must be an object/],
	[
		compressed({ ...int4, num_bits: 3 }),
		"unsupported_model",
		/num_bits must be 4 or 8, got 3/,
	],
	[
		compressed({ ...int4, type: "float" }),
		"unsupported_model",
		/format "pack-quantized" of type "float"/,
	],
	[
		compressed({ ...int4, strategy: "tensor_group" }),
		"unsupported_model",
		/strategy "tensor_group"/,
	],
	[
		compressed({ ...int4, strategy: "block" }),
		"invalid_model_config",
		/block_structure/,
	],
	[
		compressed({ ...int4, actorder: "block" }),
		"unsupported_model",
		/actorder "block"/,
	],
	[
		compressed({ ...int4, symmetric: "yes" }),
		"invalid_model_config",
		/symmetric must be true or false/,
	],
	[
		compressed(int4, { sparsity_config: { format: "sparse-24-bitmask" } }),
		"unsupported_model",
		/sparse weights \("sparse-24-bitmask"\)/,
	],
	[
		{ ...compressed(int4), config_groups: { a: 3 } },
		"invalid_model_config",
		/a must be an object/,
	],
];

for (const [config, code, message] of refused)
	test(`refused: ${JSON.stringify(config)}`, () => {
		assert.throws(() => find(config), { code, message });
	});
