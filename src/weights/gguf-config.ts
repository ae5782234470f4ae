/**
 * A GGUF's metadata → the object that a Hugging Face config.json of the same model holds, for models/config.ts to parse. Pure: what is not
 * in the metadata comes in as shapes and as the vectors that scaled ropes have.
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; constants that GGUF leaves out are those of llama.cpp and transformers.
 */
import { NanoVllmError } from "../errors.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";
import { ropeConfig } from "./gguf-rope.ts";
import { show } from "./safetensors-header.ts";

type Json = Record<string, unknown>;

/** What the config needs to know of the tensors, by ggml's names. */
export interface TensorFacts {
	shape(name: string): readonly number[] | undefined;
	/** rope_freqs.weight and rope_factors_long.weight, rope_factors_short.weight, where they are. */
	readonly ropeVectors: ReadonlyMap<string, readonly number[]>;
}

/** A family's own part of the config. */
interface Family {
	readonly architecture: string;
	readonly own?: (source: Source) => Json;
}

interface Source {
	readonly metadata: GgufMetadata;
	readonly facts: TensorFacts;
	readonly numLayers: number;
	readonly headDim: number;
	/** The value of `${architecture}.${key}`. */
	number(key: string): number | undefined;
	needNumber(key: string): number;
}

/** More than any model has: beyond it a file is broken, not deep. */
const MAX_LAYERS = 4096;

/** By ggml's name of the architecture. */
const FAMILIES: Readonly<Record<string, Family>> = {
	llama: { architecture: "LlamaForCausalLM" },
	qwen2: { architecture: "Qwen2ForCausalLM" },
	qwen3: { architecture: "Qwen3ForCausalLM" },
	qwen3moe: { architecture: "Qwen3MoeForCausalLM", own: qwen3Moe },
	gemma2: { architecture: "Gemma2ForCausalLM", own: gemma2 },
	gemma3: { architecture: "Gemma3ForCausalLM", own: gemma3 },
	phi3: { architecture: "Phi3ForCausalLM", own: phi3 },
	smollm3: { architecture: "SmolLM3ForCausalLM", own: smolLm3 },
	olmo2: { architecture: "Olmo2ForCausalLM" },
	granite: { architecture: "GraniteForCausalLM", own: granite },
	"gpt-oss": { architecture: "GptOssForCausalLM", own: gptOss },
};

/** llama.cpp has one name for families that it runs alike: these are behind "llama" and "olmo2". */
const MIXTRAL: Family = { architecture: "MixtralForCausalLM", own: mixtral };
const OLMO3: Family = { architecture: "Olmo3ForCausalLM", own: olmo3 };

/** general.architecture, checked. @throws unsupported_model, invalid_model_config */
export function ggufArchitecture(metadata: GgufMetadata): string {
	const type = metadata.string("general.type") ?? "model";
	if (type !== "model")
		throw new NanoVllmError(
			"unsupported_model",
			`${metadata.file}: wanted a model, general.type says ${show(type)}. Give the file of the model itself.`,
		);
	const name = metadata.needString("general.architecture");
	if (Object.hasOwn(FAMILIES, name)) return name;
	const known = Object.keys(FAMILIES).join(", ");
	throw new NanoVllmError(
		"unsupported_model",
		`${metadata.file}: architecture ${show(name)} is not supported in GGUF. Supported: ${known}.`,
	);
}

/** @throws unsupported_model, invalid_model_config */
export function ggufConfig(metadata: GgufMetadata, facts: TensorFacts): Json {
	const name = ggufArchitecture(metadata);
	const source = createSource(metadata, facts, name);
	const { architecture, own } = familyOf(name, source);
	return {
		architectures: [architecture],
		...sizes(source),
		...ropeConfig(source),
		attention_bias: facts.shape("blk.0.attn_q.bias") !== undefined,
		mlp_bias: facts.shape("blk.0.ffn_gate.bias") !== undefined,
		tie_word_embeddings: facts.shape("output.weight") === undefined,
		bos_token_id: metadata.number("tokenizer.ggml.bos_token_id"),
		eos_token_id: eosTokenIds(metadata),
		...own?.(source),
	};
}

function familyOf(name: string, { number }: Source): Family {
	if (name === "llama" && (number("expert_count") ?? 0) > 0) return MIXTRAL;
	if (name === "olmo2" && number("attention.sliding_window") !== undefined)
		return OLMO3;
	return FAMILIES[name];
}

function createSource(
	metadata: GgufMetadata,
	facts: TensorFacts,
	name: string,
): Source {
	const number = (key: string) => metadata.number(`${name}.${key}`);
	const needNumber = (key: string) => metadata.needNumber(`${name}.${key}`);
	const numHeads = needNumber("attention.head_count");
	const headDim =
		number("attention.key_length") ?? needNumber("embedding_length") / numHeads;
	const numLayers = needNumber("block_count");
	// Lists as long as this are made below.
	if (!Number.isInteger(numLayers) || numLayers < 1 || numLayers > MAX_LAYERS)
		throw new NanoVllmError(
			"invalid_model_config",
			`${metadata.file}: metadata ${name}.block_count: wanted 1 to ${MAX_LAYERS} layers, got ${numLayers}. The file is damaged; download it again.`,
		);
	return { metadata, facts, numLayers, headDim, number, needNumber };
}

function sizes({
	facts,
	numLayers,
	headDim,
	number,
	needNumber,
}: Source): Json {
	const numHeads = needNumber("attention.head_count");
	return {
		hidden_size: needNumber("embedding_length"),
		// A mixture of experts may have no dense layers, and then no size of them.
		intermediate_size:
			number("feed_forward_length") ?? needNumber("expert_feed_forward_length"),
		num_hidden_layers: numLayers,
		num_attention_heads: numHeads,
		num_key_value_heads: number("attention.head_count_kv") ?? numHeads,
		head_dim: headDim,
		max_position_embeddings: needNumber("context_length"),
		rms_norm_eps: needNumber("attention.layer_norm_rms_epsilon"),
		// The embedding's rows, not the vocabulary's tokens: converters may keep padding in one and not in the other.
		vocab_size: facts.shape("token_embd.weight")?.[0] ?? number("vocab_size"),
	};
}

/** "sliding_attention" or "full_attention" per layer. */
function layerTypes(
	numLayers: number,
	isSliding: (layer: number) => boolean,
): string[] {
	return Array.from({ length: numLayers }, (_, layer) =>
		isSliding(layer) ? "sliding_attention" : "full_attention",
	);
}

function mixtral({ needNumber }: Source): Json {
	return {
		num_local_experts: needNumber("expert_count"),
		num_experts_per_tok: needNumber("expert_used_count"),
	};
}

function qwen3Moe({ needNumber }: Source): Json {
	return {
		moe_intermediate_size: needNumber("expert_feed_forward_length"),
		num_experts: needNumber("expert_count"),
		num_experts_per_tok: needNumber("expert_used_count"),
		norm_topk_prob: true,
		decoder_sparse_step: 1,
		mlp_only_layers: [],
	};
}

/** Layers of the largest Gemma 2 and Gemma 3 (27B), whose attention is scaled by the hidden size a head instead of its width. */
const LARGEST_GEMMA2 = 46;
const LARGEST_GEMMA3 = 62;

function gemma(source: Source, largest: number): Json {
	const { numLayers, headDim, needNumber } = source;
	const numHeads = needNumber("attention.head_count");
	return {
		hidden_activation: "gelu_pytorch_tanh",
		query_pre_attn_scalar:
			numLayers === largest
				? needNumber("embedding_length") / numHeads
				: headDim,
		sliding_window: source.number("attention.sliding_window") ?? null,
	};
}

function gemma2(source: Source): Json {
	return {
		...gemma(source, LARGEST_GEMMA2),
		// The first files of the family leave them out.
		attn_logit_softcapping: source.number("attn_logit_softcapping") ?? 50,
		final_logit_softcapping: source.number("final_logit_softcapping") ?? 30,
		layer_types: layerTypes(source.numLayers, (layer) => layer % 2 === 0),
	};
}

function gemma3(source: Source): Json {
	return {
		...gemma(source, LARGEST_GEMMA3),
		attn_logit_softcapping: null,
		final_logit_softcapping: source.number("final_logit_softcapping") ?? null,
		rope_local_base_freq: source.number("rope.freq_base_swa") ?? 10_000,
		layer_types: layerTypes(source.numLayers, (layer) => layer % 6 !== 5),
	};
}

/** A sliding window of 0 is the converter's word for none. */
function phi3({ headDim, number }: Source): Json {
	const window = number("attention.sliding_window") ?? 0;
	const rotated = number("rope.dimension_count") ?? headDim;
	return {
		partial_rotary_factor: rotated / headDim,
		sliding_window: window > 0 ? window : null,
	};
}

/** Every fourth layer knows no positions. */
function smolLm3({ numLayers }: Source): Json {
	return {
		no_rope_layer_interval: 4,
		no_rope_layers: Array.from({ length: numLayers }, (_, i) =>
			i % 4 === 3 ? 0 : 1,
		),
	};
}

function olmo3({ metadata, numLayers, needNumber }: Source): Json {
	const key = "olmo2.attention.sliding_window_pattern";
	const pattern = metadata.numbers(key);
	return {
		sliding_window: needNumber("attention.sliding_window"),
		layer_types: layerTypes(numLayers, (layer) =>
			pattern ? pattern[layer] === 1 : layer % 4 !== 3,
		),
	};
}

function granite({ headDim, number }: Source): Json {
	return {
		attention_multiplier: number("attention.scale") ?? headDim ** -0.5,
		embedding_multiplier: number("embedding_scale") ?? 1,
		residual_multiplier: number("residual_scale") ?? 1,
		logits_scaling: number("logit_scale") ?? 1,
	};
}

function gptOss({ numLayers, needNumber }: Source): Json {
	return {
		intermediate_size: needNumber("expert_feed_forward_length"),
		num_local_experts: needNumber("expert_count"),
		num_experts_per_tok: needNumber("expert_used_count"),
		sliding_window: needNumber("attention.sliding_window"),
		layer_types: layerTypes(numLayers, (layer) => layer % 2 === 0),
		swiglu_limit: 7,
		attention_bias: true,
	};
}

/** Names of tokens that end an answer, though metadata has room for one or two of them. After llama.cpp's list. */
const END_TOKENS: ReadonlySet<string> = new Set([
	"<|eot_id|>",
	"<|eom_id|>",
	"<|im_end|>",
	"<|end|>",
	"<|return|>",
	"<|call|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"<|end_of_text|>",
	"<EOT>",
	"[EOT]",
	"<｜end▁of▁sentence｜>",
]);
const CONTROL = 3;

/** What the metadata names, and control tokens with the names of such. */
function eosTokenIds(metadata: GgufMetadata): number[] {
	const ids = new Set<number>();
	for (const key of ["eos_token_id", "eot_token_id", "eom_token_id"]) {
		const id = metadata.number(`tokenizer.ggml.${key}`);
		if (id !== undefined) ids.add(id);
	}
	const tokens = metadata.strings("tokenizer.ggml.tokens") ?? [];
	const types = metadata.numbers("tokenizer.ggml.token_type") ?? [];
	// Where <|return|> and <|call|> end answers, <|end|> ends a part of one (gpt-oss).
	const hasReturn = tokens.includes("<|return|>");
	for (const [id, token] of tokens.entries()) {
		if (types[id] !== CONTROL || !END_TOKENS.has(token)) continue;
		if (token === "<|end|>" && hasReturn) continue;
		ids.add(id);
	}
	return [...ids];
}
