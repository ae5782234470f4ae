/** Qwen3 dense: pre-norm blocks of grouped-query attention with q/k norms and a SiLU-gated MLP.  Qwen3 Technical Report, 2025. */
import type { Activation, Heads, Op, Program } from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import { bias, inverseFrequencies, matrix, norm } from "./parts.ts";

export function qwen3(config: ModelConfig): Program {
	const { hiddenSize, intermediateSize, vocabSize, numLayers } = config;
	const heads: Heads = {
		numHeads: config.numHeads,
		numKvHeads: config.numKvHeads,
		headDim: config.headDim,
	};
	const qSize = heads.numHeads * heads.headDim;
	const kvSize = heads.numKvHeads * heads.headDim;
	const eps = config.rmsNormEps;
	const rope = { inverseFrequencies: inverseFrequencies(config), scale: 1 };

	const tokens = (name: string, width: number): Activation => ({
		name,
		rows: "T",
		width,
	});
	const residual = tokens("residual", hiddenSize);
	const qkv = tokens("qkv", qSize + 2 * kvSize);
	const attended = tokens("attended", qSize);
	const gated = tokens("gated", intermediateSize);
	const logits: Activation = { name: "logits", rows: "R", width: vocabSize };

	const embedding = matrix("embed_tokens", hiddenSize, [
		["model.embed_tokens.weight", vocabSize],
	]);
	const lmHead = config.tieWordEmbeddings
		? embedding
		: matrix("lm_head", hiddenSize, [["lm_head.weight", vocabSize]]);

	const layerOps = (layer: number): Op[] => {
		const at = `model.layers.${layer}`;
		const attn = `${at}.self_attn`;
		return [
			{
				op: "normLinear",
				input: residual,
				norm: norm(`${at}.input_layernorm`, hiddenSize, eps),
				weight: matrix(`layers.${layer}.qkv_proj`, hiddenSize, [
					[`${attn}.q_proj.weight`, qSize],
					[`${attn}.k_proj.weight`, kvSize],
					[`${attn}.v_proj.weight`, kvSize],
				]),
				bias: config.attentionBias
					? bias(`layers.${layer}.qkv_proj.bias`, [
							[`${attn}.q_proj.bias`, qSize],
							[`${attn}.k_proj.bias`, kvSize],
							[`${attn}.v_proj.bias`, kvSize],
						])
					: null,
				output: qkv,
			},
			{
				op: "ropeAndCache",
				layer,
				heads,
				qNorm: norm(`${attn}.q_norm`, heads.headDim, eps),
				kNorm: norm(`${attn}.k_norm`, heads.headDim, eps),
				rope,
				qkv,
			},
			{
				op: "attention",
				layer,
				heads,
				scale: heads.headDim ** -0.5,
				slidingWindow: config.slidingWindows[layer],
				softCap: null,
				sinks: null,
				qkv,
				output: attended,
			},
			{
				op: "linearAdd",
				input: attended,
				weight: matrix(`layers.${layer}.o_proj`, qSize, [
					[`${attn}.o_proj.weight`, hiddenSize],
				]),
				bias: config.attentionBias
					? bias(`layers.${layer}.o_proj.bias`, [
							[`${attn}.o_proj.bias`, hiddenSize],
						])
					: null,
				postNorm: null,
				scale: 1,
				residual,
			},
			{
				op: "normGatedLinear",
				input: residual,
				norm: norm(`${at}.post_attention_layernorm`, hiddenSize, eps),
				weight: matrix(`layers.${layer}.gate_up_proj`, hiddenSize, [
					[`${at}.mlp.gate_proj.weight`, intermediateSize],
					[`${at}.mlp.up_proj.weight`, intermediateSize],
				]),
				bias: null,
				activation: "silu",
				output: gated,
			},
			{
				op: "linearAdd",
				input: gated,
				weight: matrix(`layers.${layer}.down_proj`, intermediateSize, [
					[`${at}.mlp.down_proj.weight`, hiddenSize],
				]),
				bias: null,
				postNorm: null,
				scale: 1,
				residual,
			},
		];
	};

	return {
		name: config.architecture,
		vocabSize,
		kvLayers: new Array(numLayers).fill(heads),
		ops: [
			{ op: "embed", weight: embedding, scale: 1, output: residual },
			...Array.from({ length: numLayers }, (_, i) => layerOps(i)).flat(),
			{
				op: "logits",
				input: residual,
				norm: norm("model.norm", hiddenSize, eps),
				weight: lmHead,
				scale: 1,
				softCap: null,
				output: logits,
			},
			{ op: "sample", logits },
		],
	};
}
