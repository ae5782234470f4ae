/** SmolLM3: Llama's decoder whose every fourth layer knows no positions (the config's ropeLayers).  Bakouch et al. 2025; Yang et al. 2025. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function smollm3(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias } = config;
	return decoder(config, maxModelLen, {
		qkvBias: attentionBias,
		outputBias: attentionBias,
	});
}
