/** Mixtral: Mistral with experts in every layer; w1 is the gate, w3 up, w2 down.  Jiang et al. 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function mixtral(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, {
		experts: (at) => ({
			router: `${at}.block_sparse_moe.gate.weight`,
			gate: (e) => `${at}.block_sparse_moe.experts.${e}.w1.weight`,
			up: (e) => `${at}.block_sparse_moe.experts.${e}.w3.weight`,
			down: (e) => `${at}.block_sparse_moe.experts.${e}.w2.weight`,
		}),
	});
}
