/** What a family's decoder has of its own, and what all its layers share. With no traits it is Llama's. */
import type { Activation, Heads, Norm } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import type { ExpertTensors } from "./experts.ts";
import type { ExpertsConfig } from "./experts-config.ts";
import { norm } from "./parts.ts";

/** What a family does otherwise. */
export interface Traits {
	/** What every tensor's name begins with. */
	readonly prefix?: string;
	/** Embeddings are multiplied by it. */
	readonly embeddingScale?: number;
	/** Added to the weights of norms. */
	readonly normPlus?: number;
	/** Names of a layer's norms before and after attention and MLP; null: there is none. */
	readonly norms?: Partial<LayerNorms>;
	readonly qkvBias?: boolean;
	readonly outputBias?: boolean;
	/** q_norm and k_norm: one for each head, or one over all heads of a token. */
	readonly qkNorm?: "head" | "all";
	/** A learned score per head that takes attention away from the tokens. */
	readonly sinks?: boolean;
	/** One tensor qkv_proj, one gate_up_proj. */
	readonly fused?: boolean;
	/** Where the experts lie of a layer that has them in place of the MLP. `at`: the layer's name. */
	readonly experts?: (at: string, config: ExpertsConfig) => ExpertTensors;
}

interface LayerNorms {
	readonly attention: string | null;
	readonly attentionPost: string | null;
	readonly mlp: string | null;
	readonly mlpPost: string | null;
}

const LLAMA_NORMS: LayerNorms = {
	attention: "input_layernorm",
	attentionPost: null,
	mlp: "post_attention_layernorm",
	mlpPost: null,
};

/** What every layer of a model is built of. */
export interface DecoderParts {
	readonly config: ModelConfig;
	readonly traits: Traits;
	readonly norms: LayerNorms;
	readonly heads: Heads;
	readonly residual: Activation;
	readonly qkv: Activation;
	readonly attended: Activation;
	readonly gated: Activation;
	/** `${module}.weight`, of so many elements. */
	norm(module: string, length: number): Norm;
}

export function createParts(config: ModelConfig, traits: Traits): DecoderParts {
	const { numHeads, numKvHeads, headDim, hiddenSize } = config;
	const tokens = (name: string, width: number): Activation => ({
		name,
		rows: "T",
		width,
	});
	return {
		config,
		traits,
		norms: { ...LLAMA_NORMS, ...traits.norms },
		heads: { numHeads, numKvHeads, headDim },
		residual: tokens("residual", hiddenSize),
		qkv: tokens("qkv", (numHeads + 2 * numKvHeads) * headDim),
		attended: tokens("attended", numHeads * headDim),
		gated: tokens("gated", config.intermediateSize),
		norm: (module, length) =>
			norm(module, length, config.rmsNormEps, traits.normPlus),
	};
}

/** null where the family has none there. */
export function layerNorm(
	parts: DecoderParts,
	at: string,
	name: string | null,
): Norm | null {
	if (name === null) return null;
	return parts.norm(`${at}.${name}`, parts.config.hiddenSize);
}
