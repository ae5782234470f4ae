/** The ops of one layer: attention, then MLP or experts, each added to the residual. Names of tensors are transformers'. */
import type { Op, Rope, Weight } from "../backends/program.ts";
import { assert } from "../errors.ts";
import type { ModelConfig } from "./config.ts";
import { expertsOp } from "./experts.ts";
import type { ExpertsConfig } from "./experts-config.ts";
import { invalid } from "./fields.ts";
import { matrix, vector } from "./parts.ts";
import { type DecoderParts, layerNorm, type Traits } from "./traits.ts";

/** rope null: the layer knows no positions. `at`: the layer's name in the checkpoint. */
export function attentionOps(
	parts: DecoderParts,
	at: string,
	layer: number,
	rope: Rope | null,
): Op[] {
	const { heads, qkv } = parts;
	const norms = qkNorms(parts, at);
	return [
		projectQkv(parts, at, layer),
		{ op: "ropeAndCache", layer, heads, ...norms, rope, qkv },
		attend(parts, at, layer),
		projectOutput(parts, at, layer),
	];
}

function projectQkv(parts: DecoderParts, at: string, layer: number): Op {
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

function qkNorms({ traits, heads, norm }: DecoderParts, at: string) {
	const { numHeads, numKvHeads, headDim } = heads;
	if (traits.qkNorm === undefined) return { qNorm: null, kNorm: null };
	const length = (count: number) =>
		traits.qkNorm === "all" ? count * headDim : headDim;
	return {
		qNorm: norm(`${at}.self_attn.q_norm`, length(numHeads)),
		kNorm: norm(`${at}.self_attn.k_norm`, length(numKvHeads)),
	};
}

function attend(parts: DecoderParts, at: string, layer: number): Op {
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

function projectOutput(parts: DecoderParts, at: string, layer: number): Op {
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

/** The MLP, or the experts in its place. `at`: the layer's name in the checkpoint. */
export function feedForwardOps(
	parts: DecoderParts,
	at: string,
	layer: number,
): Op[] {
	const { experts } = parts.traits;
	if (experts && expertsOf(parts.config).layers[layer])
		return [mixture(parts, at, layer, experts)];
	return mlp(parts, at, layer);
}

function mlp(parts: DecoderParts, at: string, layer: number): Op[] {
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

function mixture(
	parts: DecoderParts,
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
