/** Metadata → what config.json of the same model says, family by family. What is wanted is as published config.json files spell it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModelConfig } from "../../src/models/config.ts";
import { ggufConfig } from "../../src/weights/gguf-config.ts";
import {
	createMetadata,
	type GgufValue,
} from "../../src/weights/gguf-metadata.ts";

interface Given {
	readonly architecture: string;
	readonly own?: Readonly<Record<string, GgufValue>>;
	readonly values?: Readonly<Record<string, GgufValue>>;
	readonly shapes?: Readonly<Record<string, readonly number[]>>;
	readonly ropeVectors?: Readonly<Record<string, readonly number[]>>;
}

const SIZES: Readonly<Record<string, GgufValue>> = {
	block_count: 4,
	context_length: 4096,
	embedding_length: 256,
	feed_forward_length: 512,
	"attention.head_count": 4,
	"attention.head_count_kv": 2,
	"attention.layer_norm_rms_epsilon": 1e-5,
	"rope.freq_base": 500_000,
};

function configOf({ architecture, own, values, shapes, ropeVectors }: Given) {
	const entries = Object.entries({ ...SIZES, ...own })
		.filter(([, value]) => value !== "")
		.map(([key, value]) => [`${architecture}.${key}`, value] as const);
	const metadata = createMetadata(
		"m.gguf",
		new Map<string, GgufValue>([
			["general.architecture", architecture],
			...entries,
			...Object.entries(values ?? {}),
		]),
	);
	const known: Readonly<Record<string, readonly number[]>> = {
		"token_embd.weight": [1000, 256],
		...shapes,
	};
	return ggufConfig(metadata, {
		shape: (name) => known[name],
		ropeVectors: new Map(Object.entries(ropeVectors ?? {})),
	});
}

/** The keys of `want` are as in the config. */
function has(given: Given, want: Readonly<Record<string, unknown>>): void {
	const config = configOf(given);
	for (const [key, value] of Object.entries(want))
		assert.deepEqual(config[key], value, key);
}

test("what families share", () => {
	const given = { architecture: "qwen3", own: { "attention.key_length": 128 } };
	has(given, {
		architectures: ["Qwen3ForCausalLM"],
		hidden_size: 256,
		intermediate_size: 512,
		num_hidden_layers: 4,
		num_attention_heads: 4,
		num_key_value_heads: 2,
		head_dim: 128,
		max_position_embeddings: 4096,
		rms_norm_eps: 1e-5,
		rope_theta: 500_000,
		rope_scaling: null,
		vocab_size: 1000,
		tie_word_embeddings: true,
		attention_bias: false,
	});
	has(
		{
			architecture: "qwen2",
			own: { "attention.head_count_kv": "", "rope.freq_base": "" },
			shapes: { "output.weight": [1000, 256], "blk.0.attn_q.bias": [256] },
		},
		{
			architectures: ["Qwen2ForCausalLM"],
			num_key_value_heads: 4,
			head_dim: 64,
			rope_theta: 10_000,
			tie_word_embeddings: false,
			attention_bias: true,
		},
	);
	const parsed = parseModelConfig(configOf(given));
	assert.equal(parsed.headDim, 128);
	assert.equal(parsed.rope.theta, 500_000);
	assert.deepEqual(parsed.slidingWindows, [null, null, null, null]);
});

test("tokens that end an answer: those named, and control tokens known by their text", () => {
	const tokens = ["a", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end|>"];
	const values = {
		"tokenizer.ggml.tokens": tokens,
		"tokenizer.ggml.token_type": Int32Array.of(1, 3, 3, 1, 3),
		"tokenizer.ggml.bos_token_id": 2,
		"tokenizer.ggml.eos_token_id": 1,
		"tokenizer.ggml.eot_token_id": 0,
	};
	has(
		{ architecture: "qwen3", values },
		{ bos_token_id: 2, eos_token_id: [1, 0, 2, 4] },
	);
	// gpt-oss: <|end|> ends a message, <|return|> the answer.
	const more = {
		...values,
		"tokenizer.ggml.tokens": [...tokens.slice(1), "<|return|>"],
		"tokenizer.ggml.token_type": Int32Array.of(1, 3, 3, 3, 3),
	};
	has({ architecture: "qwen3", values: more }, { eos_token_id: [1, 0, 2, 4] });
});

/** Llama 3's divisors as its published code computes them. */
function llama3Divisors(theta: number, dimensions: number, factor: number) {
	return Array.from({ length: dimensions / 2 }, (_, i) => {
		const wavelength = 2 * Math.PI * theta ** ((2 * i) / dimensions);
		if (wavelength < 8192 / 4) return 1;
		if (wavelength > 8192) return factor;
		const smooth = (8192 / wavelength - 1) / 3;
		return 1 / ((1 - smooth) / factor + smooth);
	}).map(Math.fround);
}

test("llama: Llama 3's frequencies, linear and yarn scaling", () => {
	for (const factor of [8, 32])
		has(
			{
				architecture: "llama",
				ropeVectors: {
					"rope_freqs.weight": llama3Divisors(500_000, 64, factor),
				},
			},
			{
				architectures: ["LlamaForCausalLM"],
				rope_scaling: {
					rope_type: "llama3",
					factor,
					low_freq_factor: 1,
					high_freq_factor: 4,
					original_max_position_embeddings: 8192,
				},
			},
		);
	const scaled = (own: Given["own"], rope_scaling: unknown) =>
		has({ architecture: "llama", own }, { rope_scaling });
	scaled({ "rope.scale_linear": 4 }, { rope_type: "linear", factor: 4 });
	scaled(
		{ "rope.scaling.type": "linear", "rope.scaling.factor": 8 },
		{ rope_type: "linear", factor: 8 },
	);
	scaled(
		{
			"rope.scaling.type": "yarn",
			"rope.scaling.factor": 4,
			"rope.scaling.original_context_length": 32_768,
		},
		{
			rope_type: "yarn",
			factor: 4,
			original_max_position_embeddings: 32_768,
		},
	);
	assert.throws(
		() =>
			configOf({ architecture: "llama", own: { "rope.scaling.type": "x" } }),
		{ code: "unsupported_model", message: /rope scaling "x"/ },
	);
	assert.throws(
		() =>
			configOf({
				architecture: "llama",
				ropeVectors: { "rope_freqs.weight": Array(32).fill(3) },
			}),
		{ code: "unsupported_model", message: /as Llama 3 scales/ },
	);
	const ones = { "rope_freqs.weight": Array(32).fill(1) };
	has({ architecture: "llama", ropeVectors: ones }, { rope_scaling: null });
});

test("mixtures of experts", () => {
	const experts = { expert_count: 8, expert_used_count: 2 };
	has(
		{ architecture: "llama", own: experts },
		{
			architectures: ["MixtralForCausalLM"],
			num_local_experts: 8,
			num_experts_per_tok: 2,
		},
	);
	const own = {
		...experts,
		expert_feed_forward_length: 96,
		feed_forward_length: "",
	};
	has(
		{ architecture: "qwen3moe", own },
		{
			architectures: ["Qwen3MoeForCausalLM"],
			num_experts: 8,
			num_experts_per_tok: 2,
			moe_intermediate_size: 96,
			norm_topk_prob: true,
		},
	);
	has(
		{
			architecture: "gpt-oss",
			own: {
				...own,
				"attention.sliding_window": 128,
				"rope.scaling.type": "yarn",
				"rope.scaling.factor": 32,
				"rope.scaling.original_context_length": 4096,
			},
		},
		{
			architectures: ["GptOssForCausalLM"],
			intermediate_size: 96,
			num_local_experts: 8,
			sliding_window: 128,
			layer_types: [
				"sliding_attention",
				"full_attention",
				"sliding_attention",
				"full_attention",
			],
			rope_scaling: {
				rope_type: "yarn",
				factor: 32,
				original_max_position_embeddings: 4096,
				truncate: false,
			},
		},
	);
});

test("Gemma 2 and 3", () => {
	has(
		{
			architecture: "gemma2",
			own: {
				"attention.key_length": 256,
				"attention.sliding_window": 4096,
				attn_logit_softcapping: 50,
				final_logit_softcapping: 30,
			},
		},
		{
			architectures: ["Gemma2ForCausalLM"],
			hidden_activation: "gelu_pytorch_tanh",
			query_pre_attn_scalar: 256,
			attn_logit_softcapping: 50,
			final_logit_softcapping: 30,
			sliding_window: 4096,
			layer_types: [
				"sliding_attention",
				"full_attention",
				"sliding_attention",
				"full_attention",
			],
		},
	);
	// gemma-2-27b: hidden 4608 over 32 heads of 128.
	has(
		{
			architecture: "gemma2",
			own: {
				block_count: 46,
				embedding_length: 4608,
				"attention.head_count": 32,
				"attention.key_length": 128,
			},
		},
		{ query_pre_attn_scalar: 144, head_dim: 128 },
	);
	const own = {
		block_count: 7,
		"attention.key_length": 256,
		"attention.sliding_window": 512,
		"rope.scaling.type": "linear",
		"rope.scaling.factor": 8,
	};
	has(
		{ architecture: "gemma3", own },
		{
			architectures: ["Gemma3ForCausalLM"],
			query_pre_attn_scalar: 256,
			attn_logit_softcapping: null,
			rope_local_base_freq: 10_000,
			rope_scaling: { rope_type: "linear", factor: 8 },
			sliding_window: 512,
			layer_types: [
				...Array(5).fill("sliding_attention"),
				"full_attention",
				"sliding_attention",
			],
		},
	);
});

test("Phi-3, SmolLM3, OLMo 2 and 3, Granite", () => {
	const factors = Array.from({ length: 24 }, (_, i) => 1 + i / 10);
	has(
		{
			architecture: "phi3",
			own: {
				"rope.dimension_count": 48,
				"attention.sliding_window": 0,
				"rope.scaling.original_context_length": 4096,
				"rope.scaling.attn_factor": 1.25,
			},
			ropeVectors: {
				"rope_factors_long.weight": factors,
				"rope_factors_short.weight": factors.slice().reverse(),
			},
		},
		{
			architectures: ["Phi3ForCausalLM"],
			partial_rotary_factor: 0.75,
			sliding_window: null,
			rope_scaling: {
				rope_type: "longrope",
				long_factor: factors,
				short_factor: factors.slice().reverse(),
				original_max_position_embeddings: 4096,
				attention_factor: 1.25,
			},
		},
	);
	has(
		{ architecture: "smollm3" },
		{
			architectures: ["SmolLM3ForCausalLM"],
			no_rope_layers: [1, 1, 1, 0],
			no_rope_layer_interval: 4,
		},
	);
	has({ architecture: "olmo2" }, { architectures: ["Olmo2ForCausalLM"] });
	has(
		{
			architecture: "olmo2",
			own: {
				"attention.sliding_window": 4096,
				"attention.sliding_window_pattern": Uint8Array.of(1, 1, 0, 1),
			},
		},
		{
			architectures: ["Olmo3ForCausalLM"],
			sliding_window: 4096,
			layer_types: [
				"sliding_attention",
				"sliding_attention",
				"full_attention",
				"sliding_attention",
			],
		},
	);
	has(
		{
			architecture: "granite",
			own: {
				"attention.scale": 0.015625,
				embedding_scale: 12,
				residual_scale: 0.22,
				logit_scale: 8,
			},
		},
		{
			architectures: ["GraniteForCausalLM"],
			attention_multiplier: 0.015625,
			embedding_multiplier: 12,
			residual_multiplier: 0.22,
			logits_scaling: 8,
		},
	);
});

test("what is refused", () => {
	const wrong = (given: Given, code: string, message: RegExp) =>
		assert.throws(() => configOf(given), { code, message });
	wrong({ architecture: "mamba" }, "unsupported_model", /"mamba" .*llama/);
	wrong({ architecture: "mixtral" }, "unsupported_model", /"mixtral"/);
	wrong(
		{ architecture: "llama", values: { "general.type": "mmproj" } },
		"unsupported_model",
		/general\.type says "mmproj"/,
	);
	for (const key of ["block_count", "context_length", "embedding_length"])
		wrong(
			{ architecture: "llama", own: { [key]: "" } },
			"invalid_model_config",
			new RegExp(`"llama\\.${key}": wanted a number, got nothing`),
		);
	for (const block_count of [0, 1.5, 2 ** 31])
		wrong(
			{ architecture: "smollm3", own: { block_count } },
			"invalid_model_config",
			/block_count: wanted 1 to 4096 layers/,
		);
	wrong(
		{
			architecture: "llama",
			own: { "attention.head_count_kv": Int32Array.of(1, 2) },
		},
		"invalid_model_config",
		/wanted a number, got a list of 2/,
	);
});
