/** OLMo 2: norms after attention and MLP in place of before them; q and k are normalised over all heads.  Team OLMo 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function olmo2(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias } = config;
	return decoder(config, maxModelLen, {
		norms: {
			attention: null,
			attentionPost: "post_attention_layernorm",
			mlp: null,
			mlpPost: "post_feedforward_layernorm",
		},
		qkNorm: "all",
		qkvBias: attentionBias,
		outputBias: attentionBias,
	});
}
