/** Granite 3: Llama's decoder with multipliers on embeddings, scores, what is added to the residual, and logits.  IBM 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function granite(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias, embeddingMultiplier } = config;
	return decoder(config, maxModelLen, {
		embeddingScale: embeddingMultiplier,
		qkvBias: attentionBias,
		outputBias: attentionBias,
	});
}
