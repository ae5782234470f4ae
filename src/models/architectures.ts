/** The table of model families: config.json's architecture → the file that writes its program. */
import type { Program } from "../backends/program.ts";
import { NanoVllmError } from "../errors.ts";
import type { ModelConfig } from "./config.ts";
import { qwen3 } from "./qwen3.ts";

const ARCHITECTURES: Readonly<
	Record<string, (config: ModelConfig) => Program>
> = {
	Qwen3ForCausalLM: qwen3,
};

/** @throws unsupported_model */
export function buildProgram(config: ModelConfig): Program {
	if (!Object.hasOwn(ARCHITECTURES, config.architecture))
		throw new NanoVllmError(
			"unsupported_model",
			`config.json: architecture ${JSON.stringify(config.architecture)} is not supported. Supported: ${Object.keys(ARCHITECTURES).join(", ")}.`,
		);
	return ARCHITECTURES[config.architecture](config);
}
