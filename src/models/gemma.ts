/**
 * Gemma 2 and 3: norms before and after attention and MLP, their weights stored less one; embeddings times √hidden. Gemma 2 caps scores
 * and logits, Gemma 3 normalises q and k and turns them otherwise in layers with a window.  Gemma Team 2024, 2025.
 */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";
import type { Traits } from "./traits.ts";

export function gemma2(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, gemma(config));
}

export function gemma3(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, { ...gemma(config), qkNorm: "head" });
}

/** The text half of a model of text and images. */
export function gemma3Text(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, {
		...gemma(config),
		qkNorm: "head",
		prefix: "language_model.",
	});
}

function gemma({ hiddenSize, attentionBias }: ModelConfig): Traits {
	return {
		embeddingScale: Math.sqrt(hiddenSize),
		normPlus: 1,
		norms: {
			attentionPost: "post_attention_layernorm",
			mlp: "pre_feedforward_layernorm",
			mlpPost: "post_feedforward_layernorm",
		},
		qkvBias: attentionBias,
		outputBias: attentionBias,
	};
}
