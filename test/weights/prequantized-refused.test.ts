/** Checkpoints that lie, lack or break something: a NanoVllmError that names the tensor, when the layer is asked for and not before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../src/errors.ts";
import { openQuantized, readAll } from "../support/open-quantized.ts";
import {
	bytesOf,
	floats,
	halves,
	longs,
	packAwq,
	packCompressed,
	packGptq,
	type RawTensor,
	randomLayer,
	type Tensors,
	words,
} from "../support/quantized-layers.ts";
import { randomSource } from "../support/random.ts";

const random = randomSource(5);
const layer = randomLayer(random, {
	...{ outputs: 16, inputs: 64, bits: 4, groupSize: 32 },
});
const gptq = { quant_method: "gptq", bits: 4, group_size: 32 };
const awq = { quant_method: "awq", bits: 4, group_size: 32, version: "gemm" };
const fp8 = { quant_method: "fp8", weight_block_size: [128, 128] };
const packed = {
	quant_method: "compressed-tensors",
	format: "pack-quantized",
	config_groups: {
		group_0: {
			weights: { num_bits: 4, strategy: "group", group_size: 32 },
		},
	},
};
const asymmetric = structuredClone(packed);
Object.assign(asymmetric.config_groups.group_0.weights, { symmetric: false });

const actOrder = structuredClone(packed);
Object.assign(actOrder.config_groups.group_0.weights, { actorder: "group" });

const ofGptq = packGptq("x", layer);
const ofAwq = packAwq("x", layer);
const ofPacked = packCompressed("x", layer, {
	zeros: "packed",
	hasIndex: true,
});
const ofFp8: Tensors = {
	"x.weight": bytesOf("F8_E4M3", [4, 4], () => 0x38),
	"x.weight_scale_inv": floats([1, 1], () => 1),
};
const ofMxfp4: Tensors = {
	x_blocks: bytesOf("U8", [2, 16], () => 0x21, [1, 2, 1, 16]),
	x_scales: bytesOf("U8", [2, 1], () => 127, [1, 2, 1]),
};
const zeros = (rows: number, columns: number): RawTensor =>
	words([rows, columns], () => 0);

type Change = Readonly<Record<string, RawTensor | null>>;

/** [what, checkpoint, changes (null takes a tensor away), config, code, message] */
const cases: [string, Tensors, Change, object, ErrorCode, RegExp][] = [
	[
		"gptq: no scales",
		ofGptq,
		{ "x.scales": null },
		gptq,
		"missing_tensor",
		/"x.scales": wanted beside "x.qweight"/,
	],
	[
		"gptq: no zero points",
		ofGptq,
		{ "x.qzeros": null },
		gptq,
		"missing_tensor",
		/"x.qzeros"/,
	],
	[
		"gptq: qweight of i64",
		ofGptq,
		{ "x.qweight": longs([1, 2]) },
		gptq,
		"unsupported_dtype",
		/"x.qweight".*I32.*has I64/,
	],
	[
		"gptq: scales of i32",
		ofGptq,
		{ "x.scales": zeros(2, 16) },
		gptq,
		"unsupported_dtype",
		/"x.scales"/,
	],
	[
		"gptq: a vector",
		ofGptq,
		{ "x.qweight": words([8, 1], () => 0, [8]) },
		gptq,
		"shape_mismatch",
		/"x.qweight": wanted a matrix/,
	],
	[
		"gptq: outputs that end inside a word",
		ofGptq,
		{ "x.qweight": zeros(8, 15) },
		gptq,
		"shape_mismatch",
		/"x.qweight": wanted a multiple of 8 outputs/,
	],
	[
		"gptq: scales of other groups",
		ofGptq,
		{ "x.scales": halves([3, 16], () => 1) },
		gptq,
		"shape_mismatch",
		/"x.scales": wanted shape \[2, 16\] \(2 groups of 32 inputs\), got \[3, 16\]/,
	],
	[
		"gptq: zero points of other outputs",
		ofGptq,
		{ "x.qzeros": zeros(2, 3) },
		gptq,
		"shape_mismatch",
		/"x.qzeros": wanted shape \[2, 2\]/,
	],
	[
		"gptq: another group size",
		ofGptq,
		{},
		{ ...gptq, group_size: 64 },
		"shape_mismatch",
		/"x.scales": wanted shape \[1, 16\]/,
	],
	[
		"gptq: a huge group",
		ofGptq,
		{},
		{ ...gptq, group_size: 2 ** 24 },
		"shape_mismatch",
		/"x.scales"/,
	],
	[
		"gptq: act-order and no index",
		ofGptq,
		{ "x.g_idx": null },
		{ ...gptq, desc_act: true },
		"missing_tensor",
		/"x.g_idx"/,
	],
	[
		"pack-quantized: act-order and no index",
		ofPacked,
		{ "x.weight_g_idx": null },
		actOrder,
		"missing_tensor",
		/"x.weight_g_idx"/,
	],
	[
		"gptq: an index of other length",
		ofGptq,
		{ "x.g_idx": words([63, 1], () => 0, [63]) },
		gptq,
		"shape_mismatch",
		/"x.g_idx": wanted shape \[64\]/,
	],
	[
		"gptq: a group that is not there",
		ofGptq,
		{ "x.g_idx": words([64, 1], (i) => (i === 9 ? 2 : 0), [64]) },
		gptq,
		"invalid_weights",
		/"x.g_idx": element 9 is group 2, the layer has groups 0 to 1/,
	],
	[
		"gptq: a group below zero",
		ofGptq,
		{ "x.g_idx": words([64, 1], (i) => i - 1, [64]) },
		gptq,
		"invalid_weights",
		/"x.g_idx": element 0 is group -1/,
	],
	[
		"gptq: a scale that is no number",
		ofGptq,
		{ "x.scales": halves([2, 16], () => Number.NaN) },
		gptq,
		"nan_weights",
		/"x.scales"/,
	],
	[
		"gptq: values beyond f16",
		ofGptq,
		{ "x.scales": floats([2, 16], () => 1e6) },
		gptq,
		"nan_weights",
		/"x.weight": a value is not a finite number, or beyond 65,504/,
	],
	[
		"gptq: plain and quantized",
		ofGptq,
		{ "x.weight": halves([16, 64], () => 1) },
		gptq,
		"invalid_weights",
		/"x.weight" is in the files twice/,
	],
	[
		"awq, as gptq says",
		ofAwq,
		{},
		gptq,
		"shape_mismatch",
		/"x.qweight"|"x.scales"/,
	],
	[
		"awq: no scales",
		ofAwq,
		{ "x.scales": null },
		awq,
		"missing_tensor",
		/"x.scales"/,
	],
	[
		"awq: zero points of other outputs",
		ofAwq,
		{ "x.qzeros": zeros(2, 16) },
		awq,
		"shape_mismatch",
		/"x.qzeros"/,
	],
	[
		"pack-quantized: no scales",
		ofPacked,
		{ "x.weight_scale": null },
		packed,
		"missing_tensor",
		/"x.weight_scale"/,
	],
	[
		"pack-quantized: no zero points",
		ofPacked,
		{ "x.weight_zero_point": null },
		asymmetric,
		"missing_tensor",
		/"x.weight_zero_point"/,
	],
	[
		"pack-quantized: zero points of other rows",
		ofPacked,
		{ "x.weight_zero_point": zeros(3, 2) },
		packed,
		"shape_mismatch",
		/"x.weight_zero_point"/,
	],
	[
		"pack-quantized: scales of other groups",
		ofPacked,
		{ "x.weight_scale": halves([16, 3], () => 1) },
		packed,
		"shape_mismatch",
		/"x.weight_scale"/,
	],
	[
		"pack-quantized: a row that ends inside a word",
		ofPacked,
		{ "x.weight_shape": longs([16, 61]) },
		packed,
		"shape_mismatch",
		/"x.weight_shape": wanted the size \[16, 64\].*got \[16, 61\]/,
	],
	[
		"pack-quantized: a group that is not there",
		ofPacked,
		{ "x.weight_g_idx": words([64, 1], () => 7, [64]) },
		packed,
		"invalid_weights",
		/"x.weight_g_idx"/,
	],
	[
		"int8 weights nothing tells of",
		{ "x.weight": bytesOf("I8", [4, 4], () => 1) },
		{},
		packed,
		"unsupported_model",
		/"x.weight" is stored \(int8\)/,
	],
	[
		"fp8: no scale",
		ofFp8,
		{ "x.weight_scale_inv": null },
		fp8,
		"missing_tensor",
		/"x.weight_scale": wanted beside "x.weight"/,
	],
	[
		"fp8: scales of other blocks",
		ofFp8,
		{ "x.weight_scale_inv": floats([2, 1], () => 1) },
		fp8,
		"shape_mismatch",
		/"x.weight_scale_inv": wanted one scale for a block of 128 × 128/,
	],
	[
		"fp8: NaN",
		ofFp8,
		{
			"x.weight": bytesOf("F8_E4M3", [4, 4], (r, c) =>
				r + c === 6 ? 0xff : 0,
			),
		},
		fp8,
		"nan_weights",
		/"x.weight": a value is not a finite number/,
	],
	[
		"fp8: infinity",
		ofFp8,
		{ "x.weight": bytesOf("F8_E5M2", [4, 4], () => 0x7c) },
		fp8,
		"nan_weights",
		/"x.weight"/,
	],
	[
		"fp8: an infinite scale",
		ofFp8,
		{ "x.weight_scale_inv": floats([1, 1], () => 1 / 0) },
		fp8,
		"nan_weights",
		/"x.weight_scale_inv"/,
	],
	[
		"fp8: a scale of NaN in e8m0",
		ofFp8,
		{ "x.weight_scale_inv": bytesOf("F8_E8M0", [1, 1], () => 255) },
		fp8,
		"nan_weights",
		/"x.weight_scale_inv"/,
	],
	[
		"fp8: a stack of matrices",
		ofFp8,
		{ "x.weight": bytesOf("F8_E4M3", [4, 4], () => 0, [2, 2, 4]) },
		fp8,
		"shape_mismatch",
		/"x.weight": wanted a matrix/,
	],
	[
		"mxfp4: no scales",
		ofMxfp4,
		{ x_scales: null },
		{ quant_method: "mxfp4" },
		"missing_tensor",
		/"x_scales"/,
	],
	[
		"mxfp4: blocks of other bytes",
		ofMxfp4,
		{ x_blocks: bytesOf("U8", [2, 8], () => 0, [1, 2, 1, 8]) },
		{ quant_method: "mxfp4" },
		"shape_mismatch",
		/"x_blocks"/,
	],
	[
		"mxfp4: scales of other blocks",
		ofMxfp4,
		{ x_scales: bytesOf("U8", [4, 1], () => 1, [1, 2, 2]) },
		{ quant_method: "mxfp4" },
		"shape_mismatch",
		/"x_scales"/,
	],
	[
		"mxfp4: blocks of i8",
		ofMxfp4,
		{ x_blocks: bytesOf("I8", [2, 16], () => 0, [1, 2, 1, 16]) },
		{ quant_method: "mxfp4" },
		"unsupported_dtype",
		/"x_blocks"/,
	],
	[
		"mxfp4: a scale of NaN",
		ofMxfp4,
		{ x_scales: bytesOf("U8", [2, 1], () => 255, [1, 2, 1]) },
		{ quant_method: "mxfp4" },
		"nan_weights",
		/"x_scales": a scale is NaN/,
	],
	[
		"mxfp4: a scale beyond bf16",
		ofMxfp4,
		{ x_scales: bytesOf("U8", [2, 1], () => 253, [1, 2, 1]) },
		{ quant_method: "mxfp4" },
		"nan_weights",
		/"x_scales": a scale is 2\^126/,
	],
];

for (const [what, tensors, change, config, code, message] of cases)
	test(what, async () => {
		const changed = Object.entries({ ...tensors, ...change }).flatMap(
			([name, tensor]) => (tensor ? [[name, tensor] as const] : []),
		);
		const good = { "plain.weight": halves([1, 1], () => 2) };
		const source = await openQuantized(
			{ ...Object.fromEntries(changed), ...good },
			config,
		);
		// What is wrong with one layer is no matter of another.
		assert.deepEqual([...(await readAll(source, "plain.weight"))], [2]);
		const name = "x_blocks" in tensors ? "x" : "x.weight";
		await assert.rejects(readAll(source, name), { code, message });
		await source.close();
	});

test("an index of −1 alone was never used, groups are in order", async () => {
	const source = await openQuantized(ofPacked, packed);
	const unused = words([64, 1], () => -1 >>> 0, [64]);
	const same = await openQuantized(
		{ ...ofPacked, "x.weight_g_idx": unused },
		packed,
	);
	assert.deepEqual(
		await readAll(same, "x.weight"),
		await readAll(source, "x.weight"),
	);
});

test("a tensor of no layer, a closed source and an aborted read say so", async () => {
	const source = await openQuantized(ofGptq, gptq);
	await assert.rejects(source.read("y.weight", 0, 0), {
		code: "missing_tensor",
		message: /"y.weight"/,
	});
	await assert.rejects(source.read("x.weight", 0, 1, AbortSignal.abort()), {
		code: "aborted",
	});
	await source.close();
	await assert.rejects(source.read("x.weight", 0, 1), {
		code: "engine_closed",
	});
});

test("an error while a band is read leaves nothing behind", async () => {
	const source = await openQuantized(ofGptq, gptq);
	const stop = new AbortController();
	const reading = source.read("x.weight", 0, 4, stop.signal);
	stop.abort();
	await assert.rejects(reading, { code: "aborted" });
	const again = await openQuantized(ofGptq, gptq);
	assert.deepEqual(
		await readAll(source, "x.weight", 4),
		await readAll(again, "x.weight"),
	);
});
