/** What each family's program says that Llama's does not, and the config fields it comes from. Golden checkpoints prove the numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	checkpointTensors,
	type Op,
	type Program,
	weightsOf,
} from "../../src/backends/program.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";

const SIZES = {
	hidden_size: 24,
	intermediate_size: 40,
	num_hidden_layers: 4,
	num_attention_heads: 4,
	num_key_value_heads: 2,
	head_dim: 8,
	vocab_size: 61,
};
const json = (architecture: string, changes: object = {}) => ({
	architectures: [architecture],
	...SIZES,
	...changes,
});
const build = (architecture: string, changes: object = {}): Program =>
	buildProgram(parseModelConfig(json(architecture, changes)));

function opsOf<K extends Op["op"]>({ ops }: Program, kind: K) {
	return ops.filter((op): op is Extract<Op, { op: K }> => op.op === kind);
}
const tensorsOf = (program: Program) =>
	new Map(checkpointTensors(program).map(({ name, shape }) => [name, shape]));
const windows = (program: Program) =>
	opsOf(program, "attention").map((op) => op.slidingWindow);

test("Llama: plain, with biases where the config says so", () => {
	const plain = build("LlamaForCausalLM");
	assert.equal(tensorsOf(plain).size, 3 + 4 * 9);
	for (const op of plain.ops) {
		if (op.op === "linearAdd") assert.equal(op.postNorm, null);
		if (op.op === "ropeAndCache") assert.equal(op.qNorm, null);
		if (op.op === "attention") assert.equal(op.scale, 8 ** -0.5);
	}
	const biased = tensorsOf(
		build("LlamaForCausalLM", { attention_bias: true, mlp_bias: true }),
	);
	for (const name of ["self_attn.q", "self_attn.o", "mlp.gate", "mlp.down"])
		assert.ok(biased.has(`model.layers.3.${name}_proj.bias`), name);
	assert.equal(biased.size, 3 + 4 * (9 + 7));
});

test("Qwen2: biases on q, k and v whatever the config says; windows by flag", () => {
	const names = tensorsOf(build("Qwen2ForCausalLM", { sliding_window: 5 }));
	assert.ok(names.has("model.layers.0.self_attn.v_proj.bias"));
	assert.ok(!names.has("model.layers.0.self_attn.o_proj.bias"));
	const used = { sliding_window: 5, use_sliding_window: true };
	assert.deepEqual(windows(build("Qwen2ForCausalLM", used)), [
		null,
		null,
		null,
		null,
	]);
	const from = { ...used, max_window_layers: 3 };
	assert.deepEqual(windows(build("Qwen2ForCausalLM", from)), [
		null,
		null,
		null,
		5,
	]);
});

test("Mistral: its class's window where the config is silent, none where it is null", () => {
	const silent = windows(build("MistralForCausalLM"));
	assert.deepEqual(silent, [4096, 4096, 4096, 4096]);
	const none = windows(build("MistralForCausalLM", { sliding_window: null }));
	assert.deepEqual(none, [null, null, null, null]);
});

test("Gemma 2: norms on both sides less one, scaled embeddings, caps, every second layer a window", () => {
	const program = build("Gemma2ForCausalLM", {
		query_pre_attn_scalar: 16,
		attn_logit_softcapping: 20,
		sliding_window: 7,
	});
	assert.equal(opsOf(program, "embed")[0].scale, Math.sqrt(24));
	assert.deepEqual(windows(program), [7, null, 7, null]);
	for (const { scale, softCap } of opsOf(program, "attention"))
		assert.deepEqual([scale, softCap], [1 / 4, 20]);
	const [{ softCap, weight, norm }] = opsOf(program, "logits");
	assert.equal(softCap, 30, "its class's");
	assert.equal(weight.name, "embed_tokens", "tied unless it says otherwise");
	assert.equal(norm.weight.plus, 1);
	const [gated] = opsOf(program, "normGatedLinear");
	assert.equal(gated.activation, "gelu_tanh");
	const layer = "model.layers.0";
	assert.equal(
		gated.norm?.weight.name,
		`${layer}.pre_feedforward_layernorm.weight`,
	);
	const posts = opsOf(program, "linearAdd").map((op) => op.postNorm?.weight);
	assert.deepEqual(
		posts.slice(0, 2).map((w) => [w?.name, w?.plus]),
		[
			[`${layer}.post_attention_layernorm.weight`, 1],
			[`${layer}.post_feedforward_layernorm.weight`, 1],
		],
	);
});

test("Gemma 3: q and k normalised, every sixth layer sees all and turns otherwise", () => {
	const program = build("Gemma3ForCausalLM", {
		num_hidden_layers: 7,
		sliding_window: 9,
	});
	assert.deepEqual(windows(program), [9, 9, 9, 9, 9, null, 9]);
	const ropes = opsOf(program, "ropeAndCache");
	assert.equal(ropes[0].qNorm?.weight.plus, 1);
	assert.equal(ropes[0].rope, ropes[6].rope);
	const theta = (layer: number) =>
		(ropes[layer].rope?.inverseFrequencies[1] ?? 0) ** -4;
	assert.ok(Math.abs(theta(0) / 1e4 - 1) < 1e-5);
	assert.ok(Math.abs(theta(5) / 1e6 - 1) < 1e-5);
	assert.equal(opsOf(program, "logits")[0].softCap, null);
});

test("Gemma 3 with images: the text half, by its prefix, its class's sizes where left out", () => {
	const config = parseModelConfig({
		architectures: ["Gemma3ForConditionalGeneration"],
		eos_token_id: [1, 106],
		text_config: { hidden_size: 64, num_hidden_layers: 2, eos_token_id: 1 },
		vision_config: { hidden_size: 1152 },
	});
	assert.equal(config.vocabSize, 262_208);
	assert.equal(config.numKvHeads, 4);
	assert.deepEqual(config.eosTokenIds, [1, 106]);
	for (const name of tensorsOf(buildProgram(config)).keys())
		assert.match(name, /^language_model\.model\./);
	const untied = { ...json("Gemma3ForConditionalGeneration") };
	const names = tensorsOf(
		buildProgram(
			parseModelConfig({
				architectures: untied.architectures,
				text_config: { ...untied, tie_word_embeddings: false },
			}),
		),
	);
	assert.ok(names.has("language_model.lm_head.weight"));
});

test("Phi-3: one tensor for q, k and v, one for gate and up; part of a head turns", () => {
	const program = build("Phi3ForCausalLM", { partial_rotary_factor: 0.75 });
	const shapes = tensorsOf(program);
	const layer = "model.layers.2";
	assert.deepEqual(shapes.get(`${layer}.self_attn.qkv_proj.weight`), [64, 24]);
	assert.deepEqual(shapes.get(`${layer}.mlp.gate_up_proj.weight`), [80, 24]);
	const [{ rope }] = opsOf(program, "ropeAndCache");
	assert.equal(rope?.inverseFrequencies.length, 3);
});

test("SmolLM3: layers that know no positions, listed or every fourth", () => {
	const turning = (changes: object) =>
		opsOf(build("SmolLM3ForCausalLM", changes), "ropeAndCache").map(
			(op) => op.rope !== null,
		);
	assert.deepEqual(turning({}), [true, true, true, false]);
	const listed = { no_rope_layers: [0, 1, 1, 0] };
	assert.deepEqual(turning(listed), [false, true, true, false]);
});

test("OLMo 2: no norms before, norms after, q and k normalised over all heads", () => {
	const program = build("Olmo2ForCausalLM");
	for (const { norm } of opsOf(program, "normLinear")) assert.equal(norm, null);
	for (const { norm } of opsOf(program, "normGatedLinear"))
		assert.equal(norm, null);
	for (const { postNorm } of opsOf(program, "linearAdd"))
		assert.ok(postNorm?.weight.shape[0] === 24);
	const [{ qNorm, kNorm }] = opsOf(program, "ropeAndCache");
	assert.deepEqual(qNorm?.weight.shape, [32]);
	assert.deepEqual(kNorm?.weight.shape, [16]);
});

test("Granite: its four multipliers", () => {
	const program = build("GraniteForCausalLM", {
		embedding_multiplier: 12,
		attention_multiplier: 0.0625,
		residual_multiplier: 0.25,
		logits_scaling: 8,
	});
	assert.equal(opsOf(program, "embed")[0].scale, 12);
	assert.equal(opsOf(program, "attention")[0].scale, 0.0625);
	for (const { scale } of opsOf(program, "linearAdd"))
		assert.equal(scale, 0.25);
	assert.equal(opsOf(program, "logits")[0].scale, 1 / 8);
});

test("Qwen3-MoE: experts in every n-th layer that is not listed, MLPs in the others", () => {
	const moe = {
		num_experts: 5,
		num_experts_per_tok: 2,
		moe_intermediate_size: 6,
	};
	const kinds = (changes: object) =>
		build("Qwen3MoeForCausalLM", { ...moe, ...changes })
			.ops.filter((op) =>
				["mixtureOfExperts", "normGatedLinear"].includes(op.op),
			)
			.map((op) => (op.op === "mixtureOfExperts" ? "experts" : "mlp"));
	const [e, m] = ["experts", "mlp"];
	assert.deepEqual(kinds({}), [e, e, e, e]);
	assert.deepEqual(kinds({ mlp_only_layers: [0, 3] }), [m, e, e, m]);
	assert.deepEqual(kinds({ decoder_sparse_step: 2 }), [m, e, m, e]);
	const program = build("Qwen3MoeForCausalLM", moe);
	const [op] = opsOf(program, "mixtureOfExperts");
	assert.deepEqual(op.gateUp.shape, [5 * 2 * 6, 24]);
	assert.deepEqual(op.down.shape, [5 * 24, 6]);
	assert.equal(op.normalize, false);
	assert.deepEqual(
		op.gateUp.parts.slice(2, 4).map((part) => part.tensor),
		["gate", "up"].map(
			(name) => `model.layers.0.mlp.experts.1.${name}_proj.weight`,
		),
	);
});

test("Mixtral: normalised weights, w1 the gate, w3 up, w2 down", () => {
	const program = build("MixtralForCausalLM", {
		num_local_experts: 3,
		num_experts_per_tok: 2,
	});
	const [op] = opsOf(program, "mixtureOfExperts");
	assert.equal(op.normalize, true);
	const names = (w: { parts: readonly { tensor: string }[] }) =>
		w.parts.map(({ tensor }) => tensor.replace(/.*experts\./, ""));
	assert.deepEqual(names(op.gateUp).slice(0, 2), [
		"0.w1.weight",
		"0.w3.weight",
	]);
	assert.deepEqual(names(op.down), [
		"0.w2.weight",
		"1.w2.weight",
		"2.w2.weight",
	]);
});

test("gpt-oss: sinks, biases, and experts inside stacked tensors", () => {
	const program = build("GptOssForCausalLM", {
		num_local_experts: 3,
		num_experts_per_tok: 2,
		sliding_window: 6,
	});
	assert.deepEqual(windows(program), [6, null, 6, null]);
	const [attention] = opsOf(program, "attention");
	assert.deepEqual(attention.sinks?.shape, [4]);
	const [op] = opsOf(program, "mixtureOfExperts");
	assert.deepEqual(op.gating, { kind: "clamped_swiglu", limit: 7 });
	assert.deepEqual(op.gateUpBias?.shape, [3 * 80]);
	const shapes = tensorsOf(program);
	const experts = "model.layers.1.mlp.experts";
	assert.deepEqual(shapes.get(`${experts}.gate_up_proj`), [3, 24, 80]);
	assert.deepEqual(shapes.get(`${experts}.down_proj`), [3, 40, 24]);
	assert.deepEqual(shapes.get(`${experts}.gate_up_proj_bias`), [3, 80]);
	assert.deepEqual(op.gateUp.parts[3], {
		tensor: "model.layers.0.mlp.experts.gate_up_proj",
		rows: 40,
		view: { shape: [3, 24, 80], index: 1, transposed: true, first: 1, step: 2 },
	});
});

test("gpt-oss-20b is as large as published", () => {
	const program = build("GptOssForCausalLM", {
		hidden_size: 2880,
		intermediate_size: 2880,
		num_hidden_layers: 24,
		num_attention_heads: 64,
		num_key_value_heads: 8,
		head_dim: 64,
		vocab_size: 201_088,
		num_local_experts: 32,
		num_experts_per_tok: 4,
	});
	const numParameters = weightsOf(program).reduce(
		(sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
		0,
	);
	assert.ok(Math.abs(numParameters / 20.91e9 - 1) < 0.001, `${numParameters}`);
});

test("an architecture nobody knows is named, not the fields its config lacks", () => {
	const config = { architectures: ["GPT2LMHeadModel"], n_embd: 768 };
	assert.throws(() => parseModelConfig(config), {
		code: "unsupported_model",
		message:
			/"GPT2LMHeadModel" is not supported. Supported: Gemma2ForCausalLM, /,
	});
});

// biome-ignore format: a table
const refused: [string, string, object, string, RegExp][] = [
	["experts without a number", "MixtralForCausalLM", {}, "invalid_model_config", /MixtralForCausalLM needs num_experts or num_local_experts/],
	["more experts a token than there are", "MixtralForCausalLM", { num_local_experts: 2, num_experts_per_tok: 3 }, "invalid_model_config", /num_experts_per_tok 3 is more than num_local_experts 2/],
	["layers without experts that are no list", "Qwen3MoeForCausalLM", { num_experts: 2, num_experts_per_tok: 1, mlp_only_layers: 3 }, "invalid_model_config", /mlp_only_layers must be a list of layer numbers, got 3/],
	["positions for too few layers", "SmolLM3ForCausalLM", { no_rope_layers: [1] }, "invalid_model_config", /no_rope_layers has 1 entries for 4 layers/],
	["an unknown activation", "Gemma2ForCausalLM", { hidden_activation: "relu" }, "unsupported_model", /hidden_activation "relu" is not supported/],
	["attention to later tokens", "Gemma3ForCausalLM", { use_bidirectional_attention: true }, "unsupported_model", /use_bidirectional_attention is not supported/],
	["a text_config that is a word", "Gemma3ForConditionalGeneration", { text_config: "gemma" }, "invalid_model_config", /text_config must be an object, got "gemma"/],
	["a soft cap of nothing", "Gemma2ForCausalLM", { attn_logit_softcapping: 0 }, "invalid_model_config", /attn_logit_softcapping must be a positive number, got 0/],
];
for (const [name, architecture, changes, code, message] of refused)
	test(`refused: ${name}`, () => {
		assert.throws(() => build(architecture, changes), { code, message });
	});
