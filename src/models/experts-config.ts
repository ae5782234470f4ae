/** The mixture of experts of a config.json: how many, which layers, how a token's experts are chosen. */
import { show } from "../config.ts";
import {
	flag,
	invalid,
	type Json,
	MAX_EXPERTS,
	MAX_LAYERS,
	MAX_SIZE,
	positive,
	size,
} from "./fields.ts";

export interface ExpertsConfig {
	readonly numExperts: number;
	/** Experts of one token. */
	readonly topK: number;
	readonly intermediateSize: number;
	/** Whether the weights of a token's experts add up to one. */
	readonly normalize: boolean;
	/** Per layer: experts, or a plain MLP. */
	readonly layers: readonly boolean[];
	/** Where gpt-oss cuts gate and up. */
	readonly swigluLimit: number;
}

/** null where the config names no experts. @throws invalid_model_config */
export function parseExperts(
	json: Json,
	numLayers: number,
): ExpertsConfig | null {
	const key = "num_local_experts" in json ? "num_local_experts" : "num_experts";
	if ((json[key] ?? 0) === 0) return null;
	const numExperts = size(json, key, MAX_EXPERTS);
	const topK = size(json, "num_experts_per_tok", MAX_EXPERTS);
	if (topK > numExperts)
		throw invalid(
			`config.json: num_experts_per_tok ${topK} is more than ${key} ${numExperts}.`,
		);
	const width =
		(json.moe_intermediate_size ?? null) === null
			? "intermediate_size"
			: "moe_intermediate_size";
	const every = size(json, "decoder_sparse_step", MAX_LAYERS, 1);
	const plain = plainLayers(json);
	return {
		numExperts,
		topK,
		intermediateSize: size(json, width, MAX_SIZE),
		normalize: flag(json, "norm_topk_prob", false),
		layers: Array.from(
			{ length: numLayers },
			(_, i) => !plain.includes(i) && (i + 1) % every === 0,
		),
		swigluLimit: positive(json, "swiglu_limit", 7),
	};
}

function plainLayers(json: Json): unknown[] {
	const layers = json.mlp_only_layers ?? [];
	if (Array.isArray(layers) && layers.every(Number.isSafeInteger))
		return layers;
	throw invalid(
		`config.json: mlp_only_layers must be a list of layer numbers, got ${show(layers)}.`,
	);
}
