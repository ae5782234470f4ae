/**
 * A checkpoint's config as GGUF metadata, and the vectors of scaled ropes as tensors, as llama.cpp's converters write them. What GGUF
 * has no word for is left out: each engine then takes the family's usual value. Shares no code with the reader in src/weights.
 */
import type { ModelConfig } from "../../src/models/config.ts";
import type { RopeScaling } from "../../src/models/rope-config.ts";
import type { GgufTensor, GgufValue } from "./gguf-writer.ts";

/** ggml's name of each architecture. */
const NAMES: Readonly<Record<string, string>> = {
	LlamaForCausalLM: "llama",
	MistralForCausalLM: "llama",
	MixtralForCausalLM: "llama",
	Qwen2ForCausalLM: "qwen2",
	Qwen3ForCausalLM: "qwen3",
	Qwen3MoeForCausalLM: "qwen3moe",
	Gemma2ForCausalLM: "gemma2",
	Gemma3ForCausalLM: "gemma3",
	Phi3ForCausalLM: "phi3",
	SmolLM3ForCausalLM: "smollm3",
	Olmo2ForCausalLM: "olmo2",
	GraniteForCausalLM: "granite",
	GptOssForCausalLM: "gpt-oss",
};

/** @throws where llama.cpp's converters have no name for it */
export function ggmlArchitecture({ architecture }: ModelConfig): string {
	const name = NAMES[architecture];
	if (name === undefined) throw new Error(`${architecture}: not in GGUF`);
	return name;
}

type Values = Readonly<Record<string, GgufValue | null>>;

const u32 = (value: number | null): GgufValue | null =>
	value === null ? null : { u32: value };
const f32 = (value: number | null): GgufValue | null =>
	value === null ? null : { f32: value };

/** Without the tokenizer's. */
export function modelMetadata(config: ModelConfig): Map<string, GgufValue> {
	const name = ggmlArchitecture(config);
	const values = {
		...sizes(config),
		...ropes(config),
		...attention(name, config),
		...experts(config),
	};
	const metadata = new Map<string, GgufValue>([
		["general.architecture", { string: name }],
		["general.quantization_version", { u32: 2 }],
	]);
	for (const [key, value] of Object.entries(values))
		if (value !== null) metadata.set(`${name}.${key}`, value);
	return metadata;
}

function sizes(config: ModelConfig): Values {
	return {
		block_count: u32(config.numLayers),
		context_length: u32(config.maxPositionEmbeddings),
		embedding_length: u32(config.hiddenSize),
		feed_forward_length: u32(config.intermediateSize),
		vocab_size: u32(config.vocabSize),
		"attention.head_count": u32(config.numHeads),
		"attention.head_count_kv": u32(config.numKvHeads),
		"attention.key_length": u32(config.headDim),
		"attention.value_length": u32(config.headDim),
		"attention.layer_norm_rms_epsilon": f32(config.rmsNormEps),
	};
}

/** Windows where the family's key has them, scales and caps where they are not the usual ones. */
function attention(name: string, config: ModelConfig): Values {
	const window = config.slidingWindows.find((it) => it !== null) ?? null;
	const hasWindow = ["gemma2", "gemma3", "phi3", "gpt-oss"].includes(name);
	const isGranite = name === "granite";
	return {
		"attention.sliding_window": hasWindow ? u32(window) : null,
		attn_logit_softcapping: f32(config.attentionSoftCap),
		final_logit_softcapping: f32(config.logitsSoftCap),
		"attention.scale": isGranite ? f32(config.attentionScale) : null,
		embedding_scale: isGranite ? f32(config.embeddingMultiplier) : null,
		residual_scale: isGranite ? f32(config.residualMultiplier) : null,
		logit_scale: isGranite ? f32(1 / config.logitsMultiplier) : null,
	};
}

function experts({ experts }: ModelConfig): Values {
	if (experts === null) return {};
	return {
		expert_count: u32(experts.numExperts),
		expert_used_count: u32(experts.topK),
		expert_feed_forward_length: u32(experts.intermediateSize),
	};
}

function ropes({ rope, maxPositionEmbeddings }: ModelConfig): Values {
	return {
		"rope.freq_base": f32(rope.theta),
		"rope.dimension_count": u32(rope.rotaryDim),
		...scalingValues(rope.scaling, maxPositionEmbeddings),
	};
}

function scalingValues(scaling: RopeScaling, length: number): Values {
	switch (scaling.type) {
		case "default":
		case "llama3":
			return {};
		case "linear":
			return {
				"rope.scaling.type": { string: "linear" },
				"rope.scaling.factor": f32(scaling.factor),
			};
		case "yarn":
			return {
				"rope.scaling.type": { string: "yarn" },
				"rope.scaling.factor": f32(scaling.factor),
				"rope.scaling.original_context_length": u32(scaling.originalLength),
				context_length: u32(length),
			};
		case "longrope":
			return {
				"rope.scaling.original_context_length": u32(scaling.originalLength),
				"rope.scaling.attn_factor": f32(scaling.attentionFactor),
			};
		case "dynamic":
			throw new Error("GGUF has no word for a dynamic rope");
		default:
			return scaling satisfies never;
	}
}

/** Divisors of frequencies: one tensor for Llama 3, two for long ropes. */
export function ropeTensors({ rope }: ModelConfig): GgufTensor[] {
	const { scaling, theta, rotaryDim } = rope;
	const vector = (name: string, values: readonly number[]): GgufTensor => ({
		name: `${name}.weight`,
		type: "f32",
		shape: [values.length],
		data: () => [new Uint8Array(Float32Array.from(values).buffer)],
	});
	if (scaling.type === "longrope")
		return [
			vector("rope_factors_long", scaling.longFactors),
			vector("rope_factors_short", scaling.shortFactors),
		];
	if (scaling.type !== "llama3") return [];
	const divisors = Array.from({ length: rotaryDim / 2 }, (_, i) => {
		const turns =
			scaling.originalLength / (2 * Math.PI * theta ** ((2 * i) / rotaryDim));
		const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
		if (turns > high) return 1;
		if (turns < low) return scaling.factor;
		const share = (turns - low) / (high - low);
		return 1 / ((1 - share) / scaling.factor + share);
	});
	return [vector("rope_freqs", divisors)];
}
