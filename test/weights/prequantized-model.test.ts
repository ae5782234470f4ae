/** A golden checkpoint quantized in every format answers as the same values in plain safetensors do. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LLM, type LoadOptions } from "../../src/index.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap } from "../../src/weights/source.ts";
import { GOLDEN_FOLDER } from "../support/golden.ts";
import { GOLDEN_LOAD, type GoldenCase } from "../support/golden-case.ts";
import {
	bytesOf,
	floats,
	halves,
	type IntLayer,
	packAwq,
	packCompressed,
	packGptq,
	packInt8,
	quantizeLayer,
	type RawTensor,
	type Tensors,
	valuesOf,
	writeTensors,
} from "../support/quantized-layers.ts";

interface Golden {
	readonly folder: string;
	readonly config: object;
	readonly cases: readonly GoldenCase[];
}

function golden(folder: string): Golden {
	const read = (name: string) =>
		JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
	return {
		folder,
		config: read("config.json"),
		cases: read("golden.json").cases,
	};
}

const dense = golden(`${GOLDEN_FOLDER}/bf16-head64`);
const { config } = dense;
/** Five experts in one layer, none in the other. */
const mixture = golden(`${GOLDEN_FOLDER}/../families/qwen3-moe-normalized`);

interface Matrix {
	readonly rows: number;
	readonly columns: number;
	readonly values: Float32Array;
}

/** A quantized layer and the values that its tensors stand for. */
interface Stored {
	readonly tensors: Tensors;
	readonly values: Float32Array;
}

interface Format {
	readonly name: string;
	readonly quantization: object;
	/** Layers left plain. */
	readonly ignored: RegExp;
	readonly store: (name: string, matrix: Matrix) => Stored;
}

function integers(
	options: { bits: number; groupSize: number; symmetric?: boolean },
	pack: (name: string, layer: IntLayer) => Tensors,
): Format["store"] {
	return (name, { rows, columns, values }) => {
		const size = { outputs: rows, inputs: columns };
		const layer = quantizeLayer(values, { ...options, ...size });
		return { tensors: pack(name, layer), values: valuesOf(layer) };
	};
}

/** E4M3 codes of the largest size that is not above the value's, for a scale for each block of 32 × 48. */
const storeFloat8: Format["store"] = (name, { rows, columns, values }) => {
	const sizes = Array.from({ length: 127 }, (_, code) => {
		const [exponent, fraction] = [code >> 3, code & 7];
		return exponent === 0
			? fraction * 2 ** -9
			: (1 + fraction / 8) * 2 ** (exponent - 7);
	});
	const blocks = [Math.ceil(rows / 32), Math.ceil(columns / 48)];
	const scale = (r: number, c: number) => 2 ** -11 * (1 + r / 8 + c / 16);
	const scaleOf = (r: number, c: number) =>
		scale(Math.floor(r / 32), Math.floor(c / 48));
	const codeOf = (r: number, c: number) => {
		const value = values[r * columns + c] / scaleOf(r, c);
		const size = sizes.findLastIndex((s) => s <= Math.abs(value));
		return value < 0 ? size + 128 : size;
	};
	return {
		tensors: {
			[`${name}.weight`]: bytesOf("F8_E4M3", [rows, columns], codeOf),
			[`${name}.weight_scale_inv`]: floats(blocks, scale),
		},
		values: Float32Array.from(values, (_, i) => {
			const [r, c] = [Math.floor(i / columns), i % columns];
			const code = codeOf(r, c);
			const size = Math.fround(sizes[code & 127] * scaleOf(r, c));
			return Math.f16round(code > 127 ? -size : size);
		}),
	};
};

const compressed = (format: string, weights: object): object => ({
	quant_method: "compressed-tensors",
	format,
	config_groups: { group_0: { targets: ["Linear"], weights } },
	ignore: ["lm_head", "re:.*mlp.*"],
});

const formats: Format[] = [
	{
		name: "gptq",
		quantization: { quant_method: "gptq", bits: 4, group_size: 32 },
		ignored: /mlp/,
		store: integers({ bits: 4, groupSize: 32 }, packGptq),
	},
	{
		name: "gptq, 8 bits, one group",
		quantization: {
			...{ quant_method: "gptq", bits: 8, group_size: -1 },
			checkpoint_format: "gptq_v2",
		},
		ignored: /mlp/,
		store: integers({ bits: 8, groupSize: -1 }, (name, layer) =>
			packGptq(name, layer, 2),
		),
	},
	{
		name: "awq",
		quantization: {
			...{ quant_method: "awq", bits: 4, group_size: 64, version: "gemm" },
			modules_to_not_convert: ["mlp"],
		},
		ignored: /mlp/,
		store: integers({ bits: 4, groupSize: 64 }, packAwq),
	},
	{
		name: "pack-quantized",
		quantization: compressed("pack-quantized", {
			...{ num_bits: 4, symmetric: false, strategy: "group", group_size: 32 },
		}),
		ignored: /down_proj/,
		store: integers({ bits: 4, groupSize: 32 }, (name, layer) =>
			packCompressed(name, layer, { zeros: "packed" }),
		),
	},
	{
		name: "int-quantized",
		quantization: compressed("int-quantized", {
			...{ num_bits: 8, symmetric: true, strategy: "channel" },
		}),
		ignored: /^$/,
		store: integers(
			{ bits: 8, groupSize: -1, symmetric: true },
			(name, layer) => packInt8(name, layer, false),
		),
	},
	{
		name: "fp8",
		quantization: { quant_method: "fp8", weight_block_size: [32, 48] },
		ignored: /^$/,
		store: storeFloat8,
	},
];

/** The checkpoint's tensors; linear layers as `format` stores them, and plain with the same values. */
async function checkpoints(format: Format, { folder }: Golden = dense) {
	const file = readFileSync(`${folder}/model.safetensors`);
	const source = await openSafetensors(
		fileMap("golden", new Map([["model.safetensors", file]])),
	);
	const quantized: Record<string, RawTensor> = {};
	const plain: Record<string, RawTensor> = {};
	let numLayers = 0;
	for (const { name, dtype, shape } of source.tensors.values()) {
		const bytes = await source.read(name, 0, shape[0]);
		const layer = /^(model\.layers.*_proj)\.weight$/.exec(name)?.[1];
		if (layer === undefined || format.ignored.test(layer)) {
			const tensor = { dtype: dtype.toUpperCase(), shape, bytes };
			quantized[name] = tensor;
			plain[name] = tensor;
			continue;
		}
		const [rows, columns] = shape;
		const matrix = { rows, columns, values: toFloat32(bytes, dtype) };
		const { tensors, values } = format.store(layer, matrix);
		Object.assign(quantized, tensors);
		plain[name] = halves(shape, (r, c) => values[r * columns + c]);
		numLayers++;
	}
	return { quantized, plain, numLayers };
}

async function answers(
	tensors: Tensors,
	json: object,
	options: LoadOptions = { device: "reference" },
	{ cases }: Golden = dense,
) {
	const encode = (text: string) => new TextEncoder().encode(text);
	const files = fileMap(
		"quantized",
		new Map([
			["config.json", encode(JSON.stringify(json))],
			["model.safetensors", writeTensors(tensors)],
		]),
	);
	await using llm = await LLM.load(files, {
		...GOLDEN_LOAD,
		...options,
	});
	const prompts = cases.map(({ promptTokenIds }) => ({ promptTokenIds }));
	const outputs = await llm.generate(prompts, {
		temperature: 0,
		maxTokens: 12,
		logprobs: 3,
		ignoreEos: true,
	});
	return outputs.map(({ outputs: [{ tokenIds, logprobs }] }) => ({
		tokenIds,
		logprobs,
	}));
}

for (const format of formats)
	test(`${format.name}: the same tokens and logprobs as the same values, plain`, async () => {
		const { quantized, plain, numLayers } = await checkpoints(format);
		assert.ok(numLayers >= 4, "layers were quantized");
		assert.deepEqual(
			await answers(quantized, {
				...config,
				quantization_config: format.quantization,
			}),
			await answers(plain, config),
		);
	});

for (const format of formats)
	if (/^(int-quantized|fp8)$/.test(format.name))
		test(`${format.name}: a mixture of experts`, async () => {
			const { quantized, plain, numLayers } = await checkpoints(
				format,
				mixture,
			);
			assert.ok(numLayers >= 2 * 4 + 3 + 5 * 3, `${numLayers} layers`);
			for (const device of ["reference", "cpu"] as const) {
				const json = {
					...mixture.config,
					quantization_config: format.quantization,
				};
				assert.deepEqual(
					await answers(
						quantized,
						json,
						{ device, threads: device === "cpu" ? 1 : null },
						mixture,
					),
					await answers(
						plain,
						mixture.config,
						{ device, threads: device === "cpu" ? 1 : null },
						mixture,
					),
				);
			}
		});

test("on the cpu device: f16 as it is, and quantized anew", async () => {
	const [{ quantization }] = formats;
	const { quantized, plain } = await checkpoints(formats[0]);
	const json = { ...config, quantization_config: quantization };
	for (const format of [null, "q8_0"] as const) {
		const options = {
			device: "cpu",
			quantization: format,
			threads: 1,
		} as const;
		assert.deepEqual(
			await answers(quantized, json, options),
			await answers(plain, config, options),
		);
	}
});

test("a method that is not supported is refused before anything is read", async () => {
	const quantization_config = { quant_method: "bitsandbytes" };
	await assert.rejects(answers({}, { ...config, quantization_config }), {
		code: "unsupported_model",
		message: /"bitsandbytes" is not supported, only awq/,
	});
});

test("8-bit floats that config.json does not tell of are never taken for weights", async () => {
	const { quantized } = await checkpoints(formats[formats.length - 1]);
	await assert.rejects(answers(quantized, config), {
		code: "unsupported_dtype",
		message: /wanted F32, F16, BF16, got F8_E4M3/,
	});
});
