/** Phi-3 and Phi-4: q, k and v in one tensor, gate and up in another; often part of a head turns.  Abdin et al. 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function phi3(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, { fused: true });
}
