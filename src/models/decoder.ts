/**
 * The decoder all families share, as a program: per layer attention then MLP, each added to the residual. With no traits it is Llama's;
 * a family's file names what is its own. Names of tensors are transformers'.
 */
import type {
	Activation,
	Heads,
	Norm,
	Op,
	Program,
	Weight,
} from "../backends/program.ts";
import { assert } from "../errors.ts";
import type { ModelConfig } from "./config.ts";
import { type ExpertTensors, expertsOp } from "./experts.ts";
import type { ExpertsConfig } from "./experts-config.ts";
import { invalid } from "./fields.ts";
import { matrix, norm, vector } from "./parts.ts";
import { createRope } from "./rope.ts";

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

/** What layers are built of. */
interface Decoder {
	readonly config: ModelConfig;
	readonly traits: Traits;
	readonly norms: LayerNorms;
	readonly heads: Heads;
	readonly residual: Activation;
	readonly qkv: Activation;
	readonly attended: Activation;
	readonly gated: Activation;
	/** Norm of so many elements; null: none by that name. */
	norm(module: string, length: number): Norm;
}

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
	const rope = createRope(config.rope, maxModelLen);
	const slidingRope =
		config.slidingRope === config.rope
			? rope
			: createRope(config.slidingRope, maxModelLen);
	const layerOps = (layer: number): Op[] => {
		const at = `${prefix}model.layers.${layer}`;
		const isSliding = config.slidingWindows[layer] !== null;
		const turns = config.ropeLayers[layer];
		const layerRope = isSliding ? slidingRope : rope;
		return [
			projectQkv(parts, at, layer),
			{
				op: "ropeAndCache",
				layer,
				heads: parts.heads,
				...qkNorms(parts, at),
				rope: turns ? layerRope : null,
				qkv: parts.qkv,
			},
			attend(parts, at, layer),
			projectOutput(parts, at, layer),
			...(traits.experts && expertsOf(config).layers[layer]
				? [experts(parts, at, layer, traits.experts)]
				: mlp(parts, at, layer)),
		];
	};
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
			...Array.from({ length: numLayers }, (_, i) => layerOps(i)).flat(),
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

function createParts(config: ModelConfig, traits: Traits): Decoder {
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

function layerNorm(parts: Decoder, at: string, name: string | null) {
	if (name === null) return null;
	return parts.norm(`${at}.${name}`, parts.config.hiddenSize);
}

function projectQkv(parts: Decoder, at: string, layer: number): Op {
	const { config, traits, heads, qkv } = parts;
	const kvSize = heads.numKvHeads * heads.headDim;
	const rows: [string, number][] = traits.fused
		? [["qkv_proj", qkv.width]]
		: [
				["q_proj", heads.numHeads * heads.headDim],
				["k_proj", kvSize],
				["v_proj", kvSize],
			];
	const named = (kind: "weight" | "bias") =>
		rows.map(([name, n]) => [`${at}.self_attn.${name}.${kind}`, n] as const);
	const name = `layers.${layer}.qkv_proj`;
	return {
		op: "normLinear",
		input: parts.residual,
		norm: layerNorm(parts, at, parts.norms.attention),
		weight: matrix(name, config.hiddenSize, named("weight")),
		bias: traits.qkvBias ? vector(`${name}.bias`, named("bias")) : null,
		output: qkv,
	};
}

function qkNorms({ traits, heads, norm }: Decoder, at: string) {
	const { numHeads, numKvHeads, headDim } = heads;
	if (traits.qkNorm === undefined) return { qNorm: null, kNorm: null };
	const length = (count: number) =>
		traits.qkNorm === "all" ? count * headDim : headDim;
	return {
		qNorm: norm(`${at}.self_attn.q_norm`, length(numHeads)),
		kNorm: norm(`${at}.self_attn.k_norm`, length(numKvHeads)),
	};
}

function attend(parts: Decoder, at: string, layer: number): Op {
	const { config, traits, heads } = parts;
	const sinks = `${at}.self_attn.sinks`;
	return {
		op: "attention",
		layer,
		heads,
		scale: config.attentionScale ?? heads.headDim ** -0.5,
		slidingWindow: config.slidingWindows[layer],
		softCap: config.attentionSoftCap,
		sinks: traits.sinks ? vector(sinks, [[sinks, heads.numHeads]]) : null,
		qkv: parts.qkv,
		output: parts.attended,
	};
}

function projectOutput(parts: Decoder, at: string, layer: number): Op {
	const { config, traits, attended } = parts;
	const name = `layers.${layer}.o_proj`;
	const rows = config.hiddenSize;
	return {
		op: "linearAdd",
		input: attended,
		weight: matrix(name, attended.width, [
			[`${at}.self_attn.o_proj.weight`, rows],
		]),
		bias: traits.outputBias
			? vector(`${name}.bias`, [[`${at}.self_attn.o_proj.bias`, rows]])
			: null,
		postNorm: layerNorm(parts, at, parts.norms.attentionPost),
		scale: config.residualMultiplier,
		residual: parts.residual,
	};
}

function mlp(parts: Decoder, at: string, layer: number): Op[] {
	const { config, traits, gated, residual } = parts;
	const { hiddenSize, intermediateSize, mlpBias } = config;
	const rows: [string, number][] = traits.fused
		? [["gate_up_proj", 2 * intermediateSize]]
		: [
				["gate_proj", intermediateSize],
				["up_proj", intermediateSize],
			];
	const named = (names: [string, number][], kind: "weight" | "bias") =>
		names.map(([name, n]) => [`${at}.mlp.${name}.${kind}`, n] as const);
	const bias = (name: string, names: [string, number][]): Weight | null =>
		mlpBias ? vector(`${name}.bias`, named(names, "bias")) : null;
	const gateUp = `layers.${layer}.gate_up_proj`;
	const down = `layers.${layer}.down_proj`;
	const downRows: [string, number][] = [["down_proj", hiddenSize]];
	return [
		{
			op: "normGatedLinear",
			input: residual,
			norm: layerNorm(parts, at, parts.norms.mlp),
			weight: matrix(gateUp, hiddenSize, named(rows, "weight")),
			bias: bias(gateUp, rows),
			activation: config.activation,
			output: gated,
		},
		{
			op: "linearAdd",
			input: gated,
			weight: matrix(down, intermediateSize, named(downRows, "weight")),
			bias: bias(down, downRows),
			postNorm: layerNorm(parts, at, parts.norms.mlpPost),
			scale: config.residualMultiplier,
			residual,
		},
	];
}

function experts(
	parts: Decoder,
	at: string,
	layer: number,
	tensorsOf: NonNullable<Traits["experts"]>,
): Op {
	const config = expertsOf(parts.config);
	const norm = layerNorm(parts, at, parts.norms.mlp);
	assert(norm !== null, "a mixture of experts has a norm before it");
	const name = `layers.${layer}`;
	const { residual } = parts;
	const tensors = tensorsOf(at, config);
	return expertsOp(parts.config, config, name, tensors, { norm, residual });
}

function expertsOf({ experts, architecture }: ModelConfig): ExpertsConfig {
	if (experts !== null) return experts;
	throw invalid(
		`config.json: ${architecture} needs num_experts or num_local_experts, got neither.`,
	);
}
