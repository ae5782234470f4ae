/** Qwen3 dense: q and k of each head are normalised.  Qwen3 Technical Report, 2025. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function qwen3(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias } = config;
	return decoder(config, maxModelLen, {
		qkNorm: "head",
		qkvBias: attentionBias,
		outputBias: attentionBias,
	});
}
