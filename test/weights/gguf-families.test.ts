/** Every family through GGUF answers what its checkpoint answers, bit for bit, on the reference device. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GgufTensor, GgufValue } from "../../bench/peers/gguf-writer.ts";
import { checkpointTensors } from "../../src/backends/program.ts";
import { LLM } from "../../src/llm.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { greedy } from "../backends/cpu/tiny-model.ts";
import { convert, type PlainTensor } from "../support/gguf-converter.ts";
import {
	f32,
	floatBytes,
	gguf,
	type Metadata,
	string,
	tensor,
	u32,
} from "../support/gguf-files.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";

type Json = Readonly<Record<string, unknown>>;

interface Family {
	readonly architecture: string;
	readonly config: Json;
	/** The family's own keys, without its name before them. */
	readonly keys?: Metadata;
	readonly extra?: readonly GgufTensor[];
}

/** Numbers that f32 holds exactly, as GGUF keeps them. */
const SIZES: Json = {
	vocab_size: 97,
	hidden_size: 32,
	intermediate_size: 48,
	num_hidden_layers: 4,
	num_attention_heads: 4,
	num_key_value_heads: 2,
	head_dim: 16,
	max_position_embeddings: 64,
	rms_norm_eps: 2 ** -20,
	rope_theta: 10_000,
	tie_word_embeddings: false,
};

const EXPERTS: Metadata = {
	expert_count: u32(4),
	expert_used_count: u32(2),
	expert_feed_forward_length: u32(24),
};

/** Llama 3's divisors of frequencies, factor 8, as its published code has them. */
const llama3Factors = Float32Array.from({ length: 8 }, (_, i) => {
	const wavelength = 2 * Math.PI * 500_000 ** (i / 8);
	if (wavelength < 2048) return 1;
	if (wavelength > 8192) return 8;
	const smooth = (8192 / wavelength - 1) / 3;
	return 1 / ((1 - smooth) / 8 + smooth);
});

const longFactors = Float32Array.from({ length: 6 }, (_, i) => 1 + i / 4);
const shortFactors = Float32Array.from({ length: 6 }, (_, i) => 1 + i / 16);

const FAMILIES: Readonly<Record<string, Family>> = {
	LlamaForCausalLM: {
		architecture: "llama",
		config: {
			attention_bias: true,
			rope_theta: 500_000,
			rope_scaling: {
				rope_type: "llama3",
				factor: 8,
				low_freq_factor: 1,
				high_freq_factor: 4,
				original_max_position_embeddings: 8192,
			},
		},
		extra: [tensor("rope_freqs.weight", "f32", [8], floatBytes(llama3Factors))],
	},
	MixtralForCausalLM: {
		architecture: "llama",
		config: {
			num_local_experts: 4,
			num_experts_per_tok: 2,
			sliding_window: null,
		},
		keys: EXPERTS,
	},
	Qwen2ForCausalLM: { architecture: "qwen2", config: {} },
	Qwen3ForCausalLM: {
		architecture: "qwen3",
		config: { tie_word_embeddings: true },
	},
	Qwen3MoeForCausalLM: {
		architecture: "qwen3moe",
		config: {
			num_experts: 4,
			num_experts_per_tok: 2,
			moe_intermediate_size: 24,
			norm_topk_prob: true,
		},
		keys: EXPERTS,
	},
	Gemma2ForCausalLM: {
		architecture: "gemma2",
		config: {
			tie_word_embeddings: true,
			query_pre_attn_scalar: 16,
			sliding_window: 8,
			attn_logit_softcapping: 50,
			final_logit_softcapping: 30,
		},
		keys: {
			"attention.sliding_window": u32(8),
			attn_logit_softcapping: f32(50),
			final_logit_softcapping: f32(30),
		},
	},
	Gemma3ForCausalLM: {
		architecture: "gemma3",
		config: {
			num_hidden_layers: 7,
			tie_word_embeddings: true,
			query_pre_attn_scalar: 16,
			sliding_window: 8,
			rope_local_base_freq: 1000,
			rope_scaling: { rope_type: "linear", factor: 8 },
		},
		keys: {
			"attention.sliding_window": u32(8),
			"rope.freq_base_swa": f32(1000),
			"rope.scaling.type": string("linear"),
			"rope.scaling.factor": f32(8),
		},
	},
	Phi3ForCausalLM: {
		architecture: "phi3",
		config: {
			partial_rotary_factor: 0.75,
			original_max_position_embeddings: 32,
			rope_scaling: {
				type: "longrope",
				long_factor: [...longFactors],
				short_factor: [...shortFactors],
			},
		},
		keys: {
			"rope.dimension_count": u32(12),
			"rope.scaling.original_context_length": u32(32),
			"attention.sliding_window": u32(0),
		},
		extra: [
			tensor("rope_factors_long.weight", "f32", [6], floatBytes(longFactors)),
			tensor("rope_factors_short.weight", "f32", [6], floatBytes(shortFactors)),
		],
	},
	SmolLM3ForCausalLM: {
		architecture: "smollm3",
		config: { tie_word_embeddings: true },
	},
	Olmo2ForCausalLM: { architecture: "olmo2", config: {} },
	GraniteForCausalLM: {
		architecture: "granite",
		config: {
			attention_multiplier: 0.0625,
			embedding_multiplier: 12,
			residual_multiplier: 0.25,
			logits_scaling: 8,
		},
		keys: {
			"attention.scale": f32(0.0625),
			embedding_scale: f32(12),
			residual_scale: f32(0.25),
			logit_scale: f32(8),
		},
	},
	GptOssForCausalLM: {
		architecture: "gpt-oss",
		config: {
			intermediate_size: 24,
			num_local_experts: 4,
			num_experts_per_tok: 2,
			sliding_window: 8,
			rope_scaling: {
				rope_type: "yarn",
				factor: 4,
				original_max_position_embeddings: 16,
				truncate: false,
			},
		},
		keys: {
			...EXPERTS,
			"attention.sliding_window": u32(8),
			"rope.scaling.type": string("yarn"),
			"rope.scaling.factor": f32(4),
			"rope.scaling.original_context_length": u32(16),
		},
	},
};

function metadataOf({ architecture, keys }: Family, json: Json): Metadata {
	const n = (key: string) => u32(json[key] as number);
	const own: Record<string, GgufValue> = {
		block_count: n("num_hidden_layers"),
		context_length: n("max_position_embeddings"),
		embedding_length: n("hidden_size"),
		feed_forward_length: n("intermediate_size"),
		"attention.head_count": n("num_attention_heads"),
		"attention.head_count_kv": n("num_key_value_heads"),
		"attention.key_length": n("head_dim"),
		"attention.layer_norm_rms_epsilon": f32(json.rms_norm_eps as number),
		"rope.freq_base": f32(json.rope_theta as number),
		...keys,
	};
	return {
		"general.architecture": string(architecture),
		...Object.fromEntries(
			Object.entries(own).map(([key, value]) => [
				`${architecture}.${key}`,
				value,
			]),
		),
	};
}

/** The checkpoint's tensors, small random numbers in f32. */
async function checkpointOf(json: Json): Promise<Map<string, PlainTensor>> {
	const program = buildProgram(parseModelConfig(json), 64);
	const tensors = checkpointTensors(program);
	const source = dummyWeights(tensors, { seed: 29, dtype: "f32" });
	const checkpoint = new Map<string, PlainTensor>();
	for (const { name, shape } of tensors) {
		const bytes = await source.read(name, 0, shape[0]);
		checkpoint.set(name, { shape, values: toFloat32(bytes, "f32") });
	}
	return checkpoint;
}

async function answers(files: ModelFiles) {
	await using llm = await LLM.load(files, {
		device: "reference",
		skipTokenizerInit: true,
	});
	const prompts = [
		Array.from({ length: 21 }, (_, i) => (i * 37 + 5) % 97),
		[3, 1],
	];
	return await greedy(llm, prompts, 20);
}

for (const [name, family] of Object.entries(FAMILIES))
	test(`${name}: GGUF and checkpoint answer the same`, async () => {
		const json = { ...SIZES, ...family.config, architectures: [name] };
		const checkpoint = await checkpointOf(json);
		const conversion = {
			architecture: family.architecture,
			numHeads: SIZES.num_attention_heads as number,
			numKvHeads: SIZES.num_key_value_heads as number,
		};
		const tensors = [
			...convert(checkpoint, conversion),
			...(family.extra ?? []),
		];
		const file = gguf(metadataOf(family, json), tensors);
		const plain = Object.fromEntries(
			Array.from(checkpoint, ([tensorName, { shape, values }]) => [
				tensorName,
				{ dtype: "f32" as const, shape, data: values },
			]),
		);
		const want = await answers(
			fileMap(
				"checkpoint",
				new Map([
					["config.json", new TextEncoder().encode(JSON.stringify(json))],
					["model.safetensors", writeSafetensors(plain)],
				]),
			),
		);
		const got = await answers(fileMap("gguf", new Map([["m.gguf", file]])));
		assert.deepEqual(got, want);
		assert.ok(new Set(got.flatMap((it) => it.logprobs)).size > 20);
	});
