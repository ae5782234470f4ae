/**
 * What a config.json leaves out: published ones say only what differs from their class in transformers. Known per architecture, and
 * only fields that a family of ours reads. A field that is null in the file stays null.
 */
import type { Json } from "./fields.ts";

const QWEN: Json = { use_sliding_window: false, max_window_layers: 28 };
const GEMMA: Json = {
	hidden_activation: "gelu_pytorch_tanh",
	head_dim: 256,
	query_pre_attn_scalar: 256,
	sliding_window: 4096,
	tie_word_embeddings: true,
};
const GEMMA_3: Json = {
	...GEMMA,
	vocab_size: 262_208,
	hidden_size: 2304,
	intermediate_size: 9216,
	num_hidden_layers: 26,
	num_attention_heads: 8,
	num_key_value_heads: 4,
	max_position_embeddings: 131_072,
	rope_theta: 1_000_000,
	rope_local_base_freq: 10_000,
	sliding_window_pattern: 6,
};

export const CONFIG_DEFAULTS: Readonly<Record<string, Json>> = {
	Qwen2ForCausalLM: QWEN,
	Qwen3ForCausalLM: QWEN,
	Qwen3MoeForCausalLM: { use_sliding_window: false },
	MistralForCausalLM: { sliding_window: 4096 },
	MixtralForCausalLM: {
		rope_theta: 1_000_000,
		rms_norm_eps: 1e-5,
		norm_topk_prob: true,
	},
	Gemma2ForCausalLM: {
		...GEMMA,
		max_position_embeddings: 8192,
		attn_logit_softcapping: 50,
		final_logit_softcapping: 30,
		sliding_window_pattern: 2,
	},
	Gemma3ForCausalLM: GEMMA_3,
	Gemma3ForConditionalGeneration: GEMMA_3,
	Phi3ForCausalLM: { rms_norm_eps: 1e-5 },
	SmolLM3ForCausalLM: {
		use_sliding_window: false,
		no_rope_layer_interval: 4,
		rope_theta: 2_000_000,
		tie_word_embeddings: true,
	},
	Olmo2ForCausalLM: { rms_norm_eps: 1e-5 },
	GptOssForCausalLM: {
		attention_bias: true,
		rms_norm_eps: 1e-5,
		rope_theta: 150_000,
		norm_topk_prob: true,
		sliding_window: 128,
		sliding_window_pattern: 2,
	},
};
