/** Mistral: Llama's decoder whose layers look back only so far, where the config says so.  Jiang et al. 2023. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function mistral(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen);
}
