/** Qwen2 and 2.5: biases on q, k and v alone.  Qwen2 Technical Report, 2024. */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";

export function qwen2(config: ModelConfig, maxModelLen: number): Program {
	return decoder(config, maxModelLen, { qkvBias: true });
}
