/** PEFT adapters read right, and every kind of wrong one refused with a word on what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AdapterTarget } from "../../src/backends/program.ts";
import type { ErrorCode } from "../../src/errors.ts";
import { readLora } from "../../src/weights/lora.ts";
import { parseLoraConfig } from "../../src/weights/lora-config.ts";
import {
	adapterFiles,
	asAdapter,
	makeAdapter,
	type Tensors,
	type TestAdapter,
} from "../support/lora-adapter.ts";
import { writeRaw } from "../support/safetensors-writer.ts";
import type { Files } from "../support/text-model.ts";

const Q = "model.layers.0.self_attn.q_proj";
const DOWN = "model.layers.0.mlp.down_proj";
const TARGETS: readonly AdapterTarget[] = [
	{ name: Q, rows: 6, columns: 4, firstRow: 0 },
	{ name: DOWN, rows: 4, columns: 5, firstRow: 0 },
];
const ROOM = { targets: TARGETS, maxRank: 4 };
const BASE: Tensors = Object.fromEntries(
	TARGETS.map(({ name, rows, columns }) => [
		`${name}.weight`,
		{ dtype: "f32", shape: [rows, columns], data: new Float32Array() } as const,
	]),
);
const made = (more: Partial<Parameters<typeof makeAdapter>[1]> = {}) =>
	makeAdapter(BASE, {
		modules: ["q_proj", "down_proj"],
		rank: 2,
		alpha: 6,
		seed: 1,
		...more,
	});

async function read({ config, files }: Pick<TestAdapter, "config" | "files">) {
	return readLora(asAdapter(files), parseLoraConfig(config), ROOM);
}

const names = (module: string) =>
	["A", "B"].map((which) => `base_model.model.${module}.lora_${which}.weight`);

for (const dtype of ["f32", "f16", "bf16"] as const)
	test(`${dtype}: a as it is, b times the scale`, async () => {
		const adapter = made({ dtype });
		const { rank, targets } = await read(adapter);
		assert.equal(rank, 2);
		assert.deepEqual([...targets.keys()].sort(), [DOWN, Q]);
		for (const module of [Q, DOWN]) {
			const [a, b] = names(module).map((name) => adapter.tensors[name].data);
			const got = targets.get(module);
			assert.deepEqual(got?.a, a);
			assert.deepEqual(
				got?.b,
				b.map((x) => x * 3),
			);
		}
	});

test("ranks and alphas by pattern, and rank-stabilized scales", () => {
	const base = { peft_type: "LORA", r: 4, lora_alpha: 8 };
	const of = (more: object) => parseLoraConfig({ ...base, ...more });
	const { rankOf, scaleOf } = of({
		rank_pattern: { q_proj: 16, "^model.layers.1.self_attn.k_proj": 2 },
		alpha_pattern: { "layers\\.(0|2)\\.mlp.*": 4 },
	});
	assert.deepEqual(
		[
			Q,
			"model.layers.1.self_attn.k_proj",
			"model.layers.1.self_attn.v_proj",
		].map(rankOf),
		[16, 2, 4],
	);
	assert.equal(rankOf("model.layers.0.self_attn.other_q_proj"), 4);
	assert.equal(scaleOf(Q), 0.5);
	assert.equal(scaleOf(DOWN), 1);
	assert.equal(scaleOf("model.layers.1.mlp.down_proj"), 2);
	assert.equal(of({ use_rslora: true }).scaleOf(DOWN), 4);
	for (const target_modules of [["q_proj"], "all-linear", ".*_proj", null])
		assert.equal(of({ target_modules }).rankOf(Q), 4);
});

test("names of wrapped models and of PEFT's first versions", async () => {
	const adapter = made();
	for (const [from, to] of [
		["base_model.model.", ""],
		["base_model.model.model.", "base_model.model.model.language_model."],
		["base_model.model.", "base_model.model.language_model."],
		[".weight", ".default.weight"],
	]) {
		const tensors = Object.fromEntries(
			Object.entries(adapter.tensors).map(([name, it]) => [
				name.replace(from, to),
				it,
			]),
		);
		const { config } = adapter;
		const { targets } = await read({
			config,
			files: adapterFiles(config, tensors),
		});
		assert.equal(targets.size, 2, to);
	}
});

interface Wrong {
	readonly what: string;
	readonly config?: object;
	readonly tensors?: (tensors: Tensors) => Tensors;
	readonly files?: (files: Files) => void;
	readonly code: ErrorCode;
	readonly message: RegExp;
}

const [A, B] = names(Q);
const without = (tensors: Tensors, name: string): Tensors => {
	const { [name]: _, ...rest } = tensors;
	return rest;
};
const renamed = (tensors: Tensors, to: string): Tensors => ({
	...without(tensors, A),
	[to]: tensors[A],
});

// biome-ignore format: a table
const WRONG: readonly Wrong[] = [
	{ what: "another kind of adapter", config: { peft_type: "IA3" }, code: "unsupported_adapter", message: /peft_type "IA3"/ },
	{ what: "DoRA", config: { use_dora: true }, code: "unsupported_adapter", message: /DoRA.*merge_and_unload/ },
	{ what: "transposed layers", config: { fan_in_fan_out: true }, code: "unsupported_adapter", message: /fan_in_fan_out/ },
	{ what: "biases", config: { bias: "lora_only" }, code: "unsupported_adapter", message: /bias "lora_only"/ },
	{ what: "whole modules", config: { modules_to_save: ["lm_head"] }, code: "unsupported_adapter", message: /modules_to_save \["lm_head"\]/ },
	{ what: "PiSSA", config: { init_lora_weights: "pissa_niter_4" }, code: "unsupported_adapter", message: /model's own weights/ },
	{ what: "stacks of experts", config: { target_parameters: ["mlp.experts.gate_up_proj"] }, code: "unsupported_adapter", message: /target_parameters/ },
	{ what: "no rank", config: { r: 0 }, code: "invalid_adapter", message: /r must be an integer from 1/ },
	{ what: "no alpha", config: { lora_alpha: "16" }, code: "invalid_adapter", message: /lora_alpha must be a number, got "16"/ },
	{ what: "targets of a wrong type", config: { target_modules: [1] }, code: "invalid_adapter", message: /target_modules/ },
	{ what: "patterns of a wrong type", config: { rank_pattern: [8] }, code: "invalid_adapter", message: /rank_pattern must be an object/ },
	{ what: "no pattern", config: { rank_pattern: { "(": 8 } }, code: "invalid_adapter", message: /"\(".*no pattern/ },
	{ what: "a pattern's rank", config: { rank_pattern: { q_proj: 1.5 } }, code: "invalid_adapter", message: /rank_pattern\["q_proj"\]/ },
	{ what: "another rank than it says", config: { r: 3 }, code: "invalid_adapter", message: /says rank 3, the tensors have 2/ },
	{ what: "no safetensors", files: (files) => files.delete("adapter_model.safetensors"), code: "adapter_not_found", message: /no adapter_model.safetensors/ },
	{ what: "no tensors", tensors: () => ({}), code: "invalid_adapter", message: /no tensor/ },
	{ what: "half a pair", tensors: (t) => without(t, A), code: "invalid_adapter", message: /q_proj has lora_B and no lora_A/ },
	{ what: "a file that ends", files: (files) => files.set("adapter_model.safetensors", (files.get("adapter_model.safetensors") as Uint8Array).slice(0, -4)), code: "invalid_weights", message: /adapter_model.safetensors/ },
	{ what: "integers", files: (files) => files.set("adapter_model.safetensors", writeRaw(JSON.stringify({ [A]: { dtype: "I8", shape: [2, 4], data_offsets: [0, 8] } }), 8)), code: "invalid_adapter", message: /f32, f16 or bf16/ },
	{ what: "another model's layer", tensors: (t) => renamed(t, A.replace("layers.0", "layers.9")), code: "invalid_adapter", message: /no matrix model.layers.9.*made for another model/ },
	{ what: "an output head", tensors: (t) => renamed(t, "base_model.model.lm_head.lora_A.weight"), code: "unsupported_adapter", message: /output head/ },
	{ what: "embeddings", tensors: (t) => renamed(t, "base_model.model.model.embed_tokens.lora_embedding_A"), code: "unsupported_adapter", message: /embeddings/ },
	{ what: "experts", tensors: (t) => renamed(t, "base_model.model.model.layers.0.mlp.experts.3.up_proj.lora_A.weight"), code: "unsupported_adapter", message: /experts/ },
	{ what: "magnitudes", tensors: (t) => renamed(t, `base_model.model.${Q}.lora_magnitude_vector`), code: "unsupported_adapter", message: /DoRA/ },
	{ what: "anything else", tensors: (t) => renamed(t, "base_model.model.score.weight"), code: "unsupported_adapter", message: /no low-rank matrices/ },
	{ what: "other columns", tensors: (t) => ({ ...t, [A]: { ...t[A], shape: [4, 2] } }), code: "shape_mismatch", message: /wanted lora_A \[r, 4\] and lora_B \[6, r\], got \[4,2\] and \[6,2\]/ },
	{ what: "a number that is none", tensors: (t) => ({ ...t, [B]: { ...t[B], data: t[B].data.map((x, i) => (i === 5 ? NaN : x)) } }), code: "nan_weights", message: /element 5 is NaN/ },
	{ what: "a number no half can hold", tensors: (t) => ({ ...t, [A]: { ...t[A], data: t[A].data.map((x, i) => (i === 3 ? -7e4 : x)) } }), code: "invalid_adapter", message: /lora_A has the number -70000; .* end at 65504/ },
	{ what: "one the scale makes too large", tensors: (t) => ({ ...t, [B]: { ...t[B], data: t[B].data.map((x, i) => (i === 5 ? 3e4 : x)) } }), code: "invalid_adapter", message: /lora_B times its scale has the number 90000;/ },
];

for (const { what, config = {}, tensors, files, code, message } of WRONG)
	test(`refused: ${what}`, async () => {
		const good = made();
		const wrong = { ...good.config, ...config };
		const changed = adapterFiles(
			wrong,
			(tensors ?? ((it) => it))(good.tensors),
		);
		files?.(changed);
		await assert.rejects(async () => read({ config: wrong, files: changed }), {
			code,
			message,
		});
	});

test("refused: a rank above the room there is", async () => {
	await assert.rejects(read(made({ rank: 5 })), {
		code: "invalid_adapter",
		message: /rank is 5, the engine has room for 4.*maxLoraRank 5/,
	});
	assert.throws(() => parseLoraConfig([]), { code: "invalid_adapter" });
});
