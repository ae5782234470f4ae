/** What inspect says of every kind of checkpoint: GGUF here and on the hub, quantized safetensors, mixtures of experts, and what is not run. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { findModel } from "../../src/find-model.ts";
import { remoteFiles } from "../../src/hub/files.ts";
import { type Inspection, inspectModel } from "../../src/inspect/inspect.ts";
import { LLM } from "../../src/llm.ts";
import { platform } from "../../src/platform/node.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { gguf, qwen3Metadata, tensor } from "../support/gguf-files.ts";
import { splitTextGguf, textGguf } from "../support/gguf-text-model.ts";
import { CONFIG, twins } from "../support/gguf-twins.ts";
import { COMMIT } from "../support/hub-case.ts";
import { startHub } from "../support/hub-server.ts";
import {
	halves,
	packGptq,
	type RawTensor,
	randomLayer,
	writeTensors,
} from "../support/quantized-layers.ts";
import { randomSource } from "../support/random.ts";
import { json } from "../support/text-model.ts";
import { run } from "./command-line.ts";

const server = await startHub();
const eight = await textGguf("q8_0");
server.repos.set("acme/tiny-GGUF", {
	commit: COMMIT,
	files: new Map([
		["tiny-Q8_0.gguf", eight],
		...(await splitTextGguf("q4_0", "tiny-Q4_0", 2)),
	]),
});
process.env.HF_ENDPOINT = server.endpoint;
process.env.HF_HUB_OFFLINE = "";

async function inspect(model: string | ModelFiles): Promise<Inspection> {
	const options = { revision: null, loadFormat: "auto" } as const;
	const found = await findModel(model, options, platform, {
		openId: remoteFiles,
	});
	try {
		return await inspectModel(found, platform);
	} finally {
		await found.gguf?.close();
	}
}

/** The parameters that loading the same model counts. */
async function loadedParameters(model: string | ModelFiles): Promise<number> {
	await using llm = await LLM.load(model, {
		device: "reference",
		skipTokenizerInit: true,
	});
	return llm.numParameters;
}

const memory = (files: Record<string, Uint8Array>): ModelFiles =>
	fileMap("m", new Map(Object.entries(files)));

test("a GGUF on the hub by quantization: read by ranges, types as stored", async () => {
	server.seen.length = 0;
	const found = await inspect("acme/tiny-GGUF:Q8_0");
	const weights = server.seen.filter(({ host }) => host === "cdn");
	assert.ok(weights.length > 0 && weights.every(({ range }) => range));
	assert.equal(found.unsupported, null);
	assert.equal(found.architecture, "Qwen3ForCausalLM");
	assert.deepEqual(Object.keys(found.tensors ?? {}).sort(), ["F32", "Q8_0"]);
	const files = memory({ "m.gguf": eight });
	assert.equal(found.numParameters, await loadedParameters(files));
	assert.deepEqual((await inspect(files)).tensors, found.tensors);
	const { code, stdout } = await run(["inspect", "acme/tiny-GGUF:Q4_0"], "", {
		HF_ENDPOINT: server.endpoint,
	});
	assert.equal(code, 0);
	assert.match(stdout, /15 Q4_0 tensors, .* · 9 F32 tensors, /);
	assert.match(stdout, /\n {2}on cpu, q4_0 +fits · room for/);
});

test("K-quants: a GGUF of mixed types", async () => {
	const mixed = twins((name) => (/v_proj/.test(name) ? "q6_k" : "q4_k"));
	const found = await inspect(mixed.gguf);
	assert.deepEqual(found.tensors?.Q6_K, { count: 2, bytes: 2 * 128 * 210 });
	assert.equal(found.numParameters, await loadedParameters(mixed.gguf));
});

test("a GGUF whose type nobody runs: which tensor, and what would do", async () => {
	const { tensors } = twins(() => "q8_0");
	const strange = tensors.map((it) =>
		it.name === "blk.1.ffn_down.weight"
			? tensor(it.name, "iq2_xxs", it.shape, new Uint8Array(256 * 66))
			: it,
	);
	const files = memory({ "m.gguf": gguf(qwen3Metadata(CONFIG), strange) });
	const found = await inspect(files);
	assert.match(found.unsupported ?? "", /blk\.1\.ffn_down.* type iq2_xxs/);
	assert.equal(found.tensors?.IQ2_XXS.count, 1);
	assert.deepEqual(found.fits, []);
	await assert.rejects(loadedParameters(files), { code: "unsupported_dtype" });
});

const GPTQ = { quant_method: "gptq", bits: 4, group_size: 32 };

function gptqModel(quantization: object, left?: string): ModelFiles {
	const config = {
		...CONFIG,
		...{ hidden_size: 64, intermediate_size: 32, head_dim: 16 },
	};
	const random = randomSource(3);
	const shapes: Record<string, [number, number]> = {
		"self_attn.q_proj": [64, 64],
		"self_attn.k_proj": [32, 64],
		"self_attn.v_proj": [32, 64],
		"self_attn.o_proj": [64, 64],
		"mlp.gate_proj": [32, 64],
		"mlp.up_proj": [32, 64],
		"mlp.down_proj": [64, 32],
	};
	const plain = (shape: readonly number[]): RawTensor => ({
		...halves([shape[0], shape[1] ?? 1], () => random.normal() / 8),
		shape,
	});
	const tensors: Record<string, RawTensor> = {
		"model.embed_tokens.weight": plain([150, 64]),
		"lm_head.weight": plain([150, 64]),
		"model.norm.weight": plain([64]),
	};
	for (const layer of [0, 1]) {
		const at = `model.layers.${layer}`;
		for (const [name, [outputs, inputs]] of Object.entries(shapes))
			if (`${at}.${name}` !== left)
				Object.assign(
					tensors,
					packGptq(
						`${at}.${name}`,
						randomLayer(random, { outputs, inputs, bits: 4, groupSize: 32 }),
					),
				);
		for (const [name, length] of [
			["input_layernorm", 64],
			["post_attention_layernorm", 64],
			["self_attn.q_norm", 16],
			["self_attn.k_norm", 16],
		] as const)
			tensors[`${at}.${name}.weight`] = plain([length]);
	}
	return memory({
		"config.json": json({ ...config, quantization_config: quantization }),
		"model.safetensors": writeTensors(tensors),
	});
}

test("GPTQ: parameters are those of the model, not the packed words; dtypes as stored", async () => {
	const found = await inspect(gptqModel(GPTQ));
	assert.equal(found.unsupported, null);
	const layer = 64 * 64 * 2 + 32 * 64 * 5 + 2 * 64 + 2 * 16;
	assert.equal(found.numParameters, 2 * 150 * 64 + 64 + 2 * layer);
	assert.equal(found.numParameters, await loadedParameters(gptqModel(GPTQ)));
	assert.deepEqual(Object.keys(found.tensors ?? {}).sort(), ["F16", "I32"]);
	const { f16, q8_0, q4_0 } = found.weightBytes ?? assert.fail();
	assert.ok(f16 > q8_0 && q8_0 > q4_0);
	// Embedding and head stay at eight bits where the rest has four.
	const tables = (2 * 150 * 64 * 34) / 32;
	const vectors = 4 * (64 + 2 * (2 * 64 + 2 * 16));
	const rest = 2 * (64 * 64 * 2 + 32 * 64 * 5);
	assert.equal(q4_0, tables + vectors + (rest * 18) / 32);
});

test("a quantization that is not read, and a layer that is missing: inspect says what load says", async () => {
	for (const [files, code] of [
		[gptqModel({ quant_method: "bitsandbytes" }), "unsupported_model"],
		[gptqModel(GPTQ, "model.layers.1.mlp.up_proj"), "missing_tensor"],
	] as const) {
		const { unsupported, numParameters, fits } = await inspect(files);
		assert.ok(numParameters);
		assert.deepEqual(fits, []);
		await assert.rejects(loadedParameters(files), {
			code,
			message: unsupported ?? "",
		});
	}
});

test("quantized weights of an architecture nobody knows are not counted", async () => {
	const files = memory({
		"config.json": json({
			architectures: ["MambaForCausalLM"],
			quantization_config: GPTQ,
		}),
		"model.safetensors": writeTensors({ a: halves([2, 2], () => 1) }),
	});
	const found = await inspect(files);
	assert.match(found.unsupported ?? "", /"MambaForCausalLM" is not supported/);
	assert.equal(found.numParameters, null);
	assert.equal(found.weightBytes, null);
});

test("a mixture of experts: how many, and the parameters of one token", async () => {
	const folder = new URL("../golden/families/mixtral", import.meta.url)
		.pathname;
	const config = JSON.parse(readFileSync(`${folder}/config.json`, "utf8"));
	const { experts, numParameters, unsupported } = await inspect(folder);
	assert.equal(unsupported, null);
	assert.equal(numParameters, await loadedParameters(folder));
	const expert = 3 * config.hidden_size * config.intermediate_size;
	const idle = config.num_local_experts - config.num_experts_per_tok;
	assert.deepEqual(experts, {
		numExperts: config.num_local_experts,
		expertsPerToken: config.num_experts_per_tok,
		numActiveParameters:
			(numParameters ?? 0) - config.num_hidden_layers * idle * expert,
	});
	const { stdout } = await run(["inspect", folder]);
	assert.match(
		stdout,
		/\n {2}experts +5, 2 a token · \S+ parameters a token\n/,
	);
	assert.equal((await inspect(gptqModel(GPTQ))).experts, null);
});

test("the cpu device's own account: what fits, and what does not", async () => {
	const large = await inspect("bench/configs/qwen3-30b-a3b");
	assert.ok((large.experts?.numActiveParameters ?? 0) < 4e9);
	for (const { device, fits, reason } of large.fits) {
		if (device === "webgpu") {
			assert.equal(fits, null);
			continue;
		}
		assert.equal(fits, false);
		assert.match(reason ?? "", /take \d\d,\d{3} MiB, a WebAssembly memory/);
	}
});
