/** The decoder all families share, as a program: embedding, layers, output head. A family's file names what is its own, its traits. */
import type { Activation, Op, Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { attentionOps, feedForwardOps } from "./decoder-layer.ts";
import { matrix } from "./parts.ts";
import { createRope } from "./rope.ts";
import { createParts, type DecoderParts, type Traits } from "./traits.ts";

/** maxModelLen: tokens of the longest text that will be served, see createRope. */
export function decoder(
	config: ModelConfig,
	maxModelLen: number,
	traits: Traits = {},
): Program {
	const { hiddenSize, vocabSize, numLayers } = config;
	const prefix = traits.prefix ?? "";
	const parts = createParts(config, traits);
	const logits: Activation = { name: "logits", rows: "R", width: vocabSize };
	const embedding = matrix("embed_tokens", hiddenSize, [
		[`${prefix}model.embed_tokens.weight`, vocabSize],
	]);
	const head = config.tieWordEmbeddings
		? embedding
		: matrix("lm_head", hiddenSize, [[`${prefix}lm_head.weight`, vocabSize]]);
	return {
		name: config.architecture,
		vocabSize,
		kvLayers: new Array(numLayers).fill(parts.heads),
		ops: [
			{
				op: "embed",
				weight: embedding,
				scale: traits.embeddingScale ?? 1,
				output: parts.residual,
			},
			...layers(parts, maxModelLen),
			{
				op: "logits",
				input: parts.residual,
				norm: parts.norm(`${prefix}model.norm`, hiddenSize),
				weight: head,
				scale: config.logitsMultiplier,
				softCap: config.logitsSoftCap,
				output: logits,
			},
			{ op: "sample", logits },
		],
	};
}

function layers(parts: DecoderParts, maxModelLen: number): Op[] {
	const { config, traits } = parts;
	const rope = createRope(config.rope, maxModelLen);
	const slidingRope =
		config.slidingRope === config.rope
			? rope
			: createRope(config.slidingRope, maxModelLen);
	return config.slidingWindows.flatMap((window, layer) => {
		const at = `${traits.prefix ?? ""}model.layers.${layer}`;
		const own = window === null ? rope : slidingRope;
		const turned = config.ropeLayers[layer] ? own : null;
		return [
			...attentionOps(parts, at, layer, turned),
			...feedForwardOps(parts, at, layer),
		];
	});
}
