/**
 * gpt-oss: attention sinks, windows in every second layer, biases everywhere, and experts stacked in one tensor a layer,
 * columns before rows, gate and up alternating.  gpt-oss model card, OpenAI 2025.
 */
import type { Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { decoder } from "./decoder.ts";
import type { ExpertTensors } from "./experts.ts";
import type { ExpertsConfig } from "./experts-config.ts";

export function gptOss(config: ModelConfig, maxModelLen: number): Program {
	const { attentionBias, hiddenSize } = config;
	return decoder(config, maxModelLen, {
		qkvBias: attentionBias,
		outputBias: attentionBias,
		sinks: true,
		experts: (at, sizes) => expertTensors(`${at}.mlp`, hiddenSize, sizes),
	});
}

function expertTensors(
	mlp: string,
	H: number,
	{ numExperts: E, intermediateSize: I, swigluLimit }: ExpertsConfig,
): ExpertTensors {
	const stack = `${mlp}.experts`;
	/** Rows first, first + step, … of one expert of a stack. */
	const at =
		(name: string, shape: readonly number[], first: number, step: number) =>
		(index: number) => ({
			tensor: `${stack}.${name}`,
			view: { shape, index, transposed: shape.length === 3, first, step },
		});
	return {
		router: `${mlp}.router.weight`,
		routerBias: `${mlp}.router.bias`,
		gate: at("gate_up_proj", [E, H, 2 * I], 0, 2),
		up: at("gate_up_proj", [E, H, 2 * I], 1, 2),
		down: at("down_proj", [E, I, H], 0, 1),
		biases: {
			gate: at("gate_up_proj_bias", [E, 2 * I], 0, 2),
			up: at("gate_up_proj_bias", [E, 2 * I], 1, 2),
			down: at("down_proj_bias", [E, H], 0, 1),
		},
		gating: { kind: "clamped_swiglu", limit: swigluLimit },
	};
}
