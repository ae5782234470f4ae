/** Qwen3 with a mixture of experts in some or all layers, each expert's matrices tensors of their own.  Qwen3 Technical Report, 2025. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function qwen3Moe(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias } = config;
	return decoder(config, maxModelLen, {
		qkNorm: "head",
		qkvBias: attentionBias,
		outputBias: attentionBias,
		experts: (at) => ({
			router: `${at}.mlp.gate.weight`,
			gate: (e) => `${at}.mlp.experts.${e}.gate_proj.weight`,
			up: (e) => `${at}.mlp.experts.${e}.up_proj.weight`,
			down: (e) => `${at}.mlp.experts.${e}.down_proj.weight`,
		}),
	});
}
