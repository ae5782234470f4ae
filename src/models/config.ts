/** HF config.json → ModelConfig: the numbers a model family needs, checked. Knows transformers 4's and 5's spellings, no file system. */
import type { ActivationFunction } from "../backends/program.ts";
import { show } from "../config.ts";
import { checkArchitecture } from "./architectures.ts";
import { CONFIG_DEFAULTS } from "./defaults.ts";
import { type ExpertsConfig, parseExperts } from "./experts-config.ts";
import {
	flag,
	invalid,
	isObject,
	type Json,
	MAX_CONTEXT,
	MAX_LAYERS,
	MAX_SIZE,
	optionalPositive,
	positive,
	size,
	tokenIds,
	unsupported,
} from "./fields.ts";
import { parseRopeLayers, parseSlidingWindows } from "./layer-types.ts";
import { parseRopes, type RopeConfig, stretchedLength } from "./rope-config.ts";

export interface ModelConfig {
	readonly architecture: string;
	readonly vocabSize: number;
	readonly hiddenSize: number;
	readonly intermediateSize: number;
	readonly numLayers: number;
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
	/** Tokens of the longest text it was made for: max_position_embeddings, or more where the scaling of its rope says so. */
	readonly maxPositionEmbeddings: number;
	readonly rmsNormEps: number;
	readonly tieWordEmbeddings: boolean;
	readonly attentionBias: boolean;
	readonly mlpBias: boolean;
	readonly activation: ActivationFunction;
	readonly rope: RopeConfig;
	/** That of layers with a sliding window; nearly always the same. */
	readonly slidingRope: RopeConfig;
	/** Per layer: whether q and k turn by their positions. */
	readonly ropeLayers: readonly boolean[];
	/** Per layer: tokens a query may look back, null for all. */
	readonly slidingWindows: readonly (number | null)[];
	/** null: 1 / √headDim */
	readonly attentionScale: number | null;
	readonly attentionSoftCap: number | null;
	readonly logitsSoftCap: number | null;
	/** Granite's, else 1. */
	readonly embeddingMultiplier: number;
	readonly residualMultiplier: number;
	readonly logitsMultiplier: number;
	/** null: every layer has one MLP. */
	readonly experts: ExpertsConfig | null;
	readonly bosTokenId: number | null;
	readonly eosTokenIds: readonly number[];
}

/** @throws invalid_model_config, unsupported_model */
export function parseModelConfig(file: unknown): ModelConfig {
	if (!isObject(file))
		throw invalid(`config.json must hold an object, got ${show(file)}.`);
	const architecture = architectureOf(file);
	checkArchitecture(architecture);
	const json = textConfig(file, architecture);
	if (flag(json, "use_bidirectional_attention", false))
		throw unsupported(
			"config.json: use_bidirectional_attention is not supported: tokens are computed once, before those that follow.",
		);
	const hiddenSize = size(json, "hidden_size", MAX_SIZE);
	const numLayers = size(json, "num_hidden_layers", MAX_LAYERS);
	const heads = parseHeads(json, hiddenSize);
	const maxPositions = size(json, "max_position_embeddings", MAX_CONTEXT, 2048);
	const ropes = parseRopes(json, heads.headDim, maxPositions);
	return {
		architecture,
		vocabSize: size(json, "vocab_size", MAX_SIZE),
		hiddenSize,
		intermediateSize: size(json, "intermediate_size", MAX_SIZE),
		numLayers,
		...heads,
		maxPositionEmbeddings: stretchedLength(ropes.rope, maxPositions),
		rmsNormEps: positive(json, "rms_norm_eps", 1e-6),
		tieWordEmbeddings: flag(json, "tie_word_embeddings", false),
		attentionBias: flag(json, "attention_bias", false),
		mlpBias: flag(json, "mlp_bias", false),
		activation: parseActivation(json),
		...ropes,
		ropeLayers: parseRopeLayers(json, numLayers),
		slidingWindows: parseSlidingWindows(json, numLayers),
		attentionScale: attentionScale(json),
		attentionSoftCap: optionalPositive(json, "attn_logit_softcapping"),
		logitsSoftCap: optionalPositive(json, "final_logit_softcapping"),
		embeddingMultiplier: positive(json, "embedding_multiplier", 1),
		residualMultiplier: positive(json, "residual_multiplier", 1),
		logitsMultiplier: 1 / positive(json, "logits_scaling", 1),
		experts: parseExperts(json, numLayers),
		bosTokenId:
			typeof json.bos_token_id === "number" ? json.bos_token_id : null,
		eosTokenIds: tokenIds(json.eos_token_id, "config.json: eos_token_id"),
	};
}

function architectureOf({ architectures }: Json): string {
	const name = Array.isArray(architectures) ? architectures[0] : undefined;
	if (typeof name === "string") return name;
	throw invalid(
		`config.json: "architectures" must name one, like ["Qwen3ForCausalLM"], got ${show(architectures)}.`,
	);
}

/** The fields of the language model with what they leave out. A model of text and images keeps them in text_config, its token ids outside. */
function textConfig(file: Json, architecture: string): Json {
	const defaults = Object.hasOwn(CONFIG_DEFAULTS, architecture)
		? CONFIG_DEFAULTS[architecture]
		: {};
	const inner = file.text_config ?? null;
	if (inner === null) return { ...defaults, ...file };
	if (!isObject(inner))
		throw invalid(
			`config.json: text_config must be an object, got ${show(inner)}.`,
		);
	const { eos_token_id, bos_token_id } = file;
	return {
		...defaults,
		...inner,
		eos_token_id: eos_token_id ?? inner.eos_token_id,
		bos_token_id: bos_token_id ?? inner.bos_token_id,
	};
}

function parseHeads(json: Json, hiddenSize: number) {
	const numHeads = size(json, "num_attention_heads", MAX_SIZE);
	const numKvHeads = size(json, "num_key_value_heads", MAX_SIZE, numHeads);
	if (numHeads % numKvHeads !== 0)
		throw invalid(
			`config.json: num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKvHeads}.`,
		);
	const headDim = size(json, "head_dim", MAX_SIZE, hiddenSize / numHeads);
	if (headDim % 2 !== 0)
		throw invalid(
			`config.json: head_dim ${headDim} is odd, rotary embeddings need pairs.`,
		);
	return { numHeads, numKvHeads, headDim };
}

function parseActivation(json: Json): ActivationFunction {
	const key =
		(json.hidden_activation ?? null) === null
			? "hidden_act"
			: "hidden_activation";
	const name = json[key] ?? "silu";
	switch (name) {
		case "silu":
			return "silu";
		case "gelu_pytorch_tanh":
		case "gelu_new":
			return "gelu_tanh";
		default:
			throw unsupported(
				`config.json: ${key} ${show(name)} is not supported, only "silu" and "gelu_pytorch_tanh".`,
			);
	}
}

/** Gemma has the number whose root divides, Granite the factor itself. */
function attentionScale(json: Json): number | null {
	const divisor = optionalPositive(json, "query_pre_attn_scalar");
	if (divisor !== null) return divisor ** -0.5;
	return optionalPositive(json, "attention_multiplier");
}
