/** The table of model families: config.json's architecture → the file that writes its program. */
import type { Program } from "../backends/program.ts";
import { show } from "../config.ts";
import type { ModelConfig } from "./config.ts";
import { unsupported } from "./fields.ts";
import { gemma2, gemma3, gemma3Text } from "./gemma.ts";
import { gptOss } from "./gpt-oss.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { olmo2 } from "./olmo2.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3-moe.ts";
import { smollm3 } from "./smollm3.ts";

type Family = (config: ModelConfig, maxModelLen: number) => Program;

const ARCHITECTURES: Readonly<Record<string, Family>> = {
	Gemma2ForCausalLM: gemma2,
	Gemma3ForCausalLM: gemma3,
	Gemma3ForConditionalGeneration: gemma3Text,
	GptOssForCausalLM: gptOss,
	GraniteForCausalLM: granite,
	LlamaForCausalLM: llama,
	MistralForCausalLM: mistral,
	MixtralForCausalLM: mixtral,
	Olmo2ForCausalLM: olmo2,
	Phi3ForCausalLM: phi3,
	Qwen2ForCausalLM: qwen2,
	Qwen3ForCausalLM: qwen3,
	Qwen3MoeForCausalLM: qwen3Moe,
	SmolLM3ForCausalLM: smollm3,
};

/** Before anything else of a config is read: another family's may have none of the fields. @throws unsupported_model */
export function checkArchitecture(name: string): void {
	if (Object.hasOwn(ARCHITECTURES, name)) return;
	throw unsupported(
		`config.json: architecture ${show(name)} is not supported. Supported: ${Object.keys(ARCHITECTURES).join(", ")}.`,
	);
}

/** maxModelLen: tokens of the longest text that will be served; some rotary embeddings depend on it. @throws unsupported_model */
export function buildProgram(
	config: ModelConfig,
	maxModelLen = config.maxPositionEmbeddings,
): Program {
	checkArchitecture(config.architecture);
	return ARCHITECTURES[config.architecture](config, maxModelLen);
}
