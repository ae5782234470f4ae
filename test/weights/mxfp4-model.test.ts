/** gpt-oss as it is published, experts in MXFP4, answers as the same numbers in plain safetensors do: on the reference and on the cpu. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checkpointTensors } from "../../src/backends/program.ts";
import { LLM, type LoadOptions } from "../../src/index.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";
import { fileMap } from "../../src/weights/source.ts";
import { greedy } from "../backends/cpu/tiny-model.ts";
import { packMxfp4 } from "../support/mxfp4-layers.ts";
import {
	floats,
	type RawTensor,
	type Tensors,
	writeTensors,
} from "../support/quantized-layers.ts";
import { json } from "../support/text-model.ts";

const golden = new URL(
	"../golden/families/gpt-oss/config.json",
	import.meta.url,
);
/** The golden checkpoint's, with rows of whole blocks: its sizes of 40 and 24 are none. */
const CONFIG = {
	...JSON.parse(readFileSync(golden, "utf8")),
	hidden_size: 64,
	intermediate_size: 32,
};
const QUANTIZED = {
	...CONFIG,
	quantization_config: {
		quant_method: "mxfp4",
		modules_to_not_convert: ["model.layers.*.self_attn", "lm_head"],
	},
};

async function checkpoints() {
	const shapes = checkpointTensors(buildProgram(parseModelConfig(CONFIG)));
	const source = dummyWeights(shapes, { seed: 5, dtype: "f32" });
	const quantized: Record<string, RawTensor> = {};
	const plain: Record<string, RawTensor> = {};
	for (const { name, shape } of shapes) {
		const bytes = await source.read(name, 0, shape[0]);
		const values = toFloat32(bytes, "f32");
		const write = (data: Float32Array) =>
			floats([data.length, 1], (i) => data[i], shape);
		if (!/experts\.(gate_up|down)_proj$/.test(name)) {
			quantized[name] = write(values);
			plain[name] = quantized[name];
			continue;
		}
		const packed = packMxfp4(name, values, shape as [number, number, number]);
		Object.assign(quantized, packed.tensors);
		plain[name] = write(packed.values);
	}
	return { quantized, plain };
}

async function answers(tensors: Tensors, config: object, options: LoadOptions) {
	const files = fileMap(
		"gpt-oss",
		new Map([
			["config.json", json(config)],
			["model.safetensors", writeTensors(tensors)],
		]),
	);
	await using llm = await LLM.load(files, {
		skipTokenizerInit: true,
		...options,
	});
	// Longer than the window and than the rope's first length.
	const prompt = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 251);
	return await greedy(llm, [prompt, [3, 1], [7]], 12);
}

const { quantized, plain } = await checkpoints();

test("the reference: bit for bit", async () => {
	const options = { device: "reference" } as const;
	const got = await answers(quantized, QUANTIZED, options);
	assert.deepEqual(got, await answers(plain, CONFIG, options));
	assert.ok(new Set(got.flatMap(({ logprobs }) => logprobs)).size > 20);
});

test("the cpu: bf16 holds every value of MXFP4, so that f32 experts answer the same", async () => {
	const options = { device: "cpu", threads: 1, dtype: "f32" } as const;
	const got = await answers(quantized, QUANTIZED, options);
	assert.deepEqual(got, await answers(plain, CONFIG, options));
	const eight = { device: "cpu", threads: 1, quantization: "q8_0" } as const;
	assert.deepEqual(
		await answers(quantized, QUANTIZED, eight),
		await answers(plain, CONFIG, eight),
	);
});

test("without its quantization_config the experts are missing by name", async () => {
	const load = answers(quantized, CONFIG, { device: "reference" });
	await assert.rejects(load, {
		code: "missing_tensor",
		message: /model\.layers\.0\.mlp\.experts\.gate_up_proj/,
	});
});
