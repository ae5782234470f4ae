/** Llama 2 and 3: the decoder as it is, with biases where the config says so.  Touvron et al. 2023; Dubey et al. 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function llama(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias } = config;
	return decoder(config, maxModelLen, {
		qkvBias: attentionBias,
		outputBias: attentionBias,
	});
}
