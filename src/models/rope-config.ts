/**
 * The rotary embedding of a config.json, in transformers 4's words (rope_theta beside rope_scaling) and 5's (one rope_parameters,
 * or one per type of layer), as numbers that rope.ts makes frequencies of. Defaults are those of transformers' modeling_rope_utils.
 */
import { show } from "../config.ts";
import {
	dropAbsent,
	flag,
	invalid,
	isObject,
	type Json,
	MAX_CONTEXT,
	optionalPositive,
	positive,
	positives,
	size,
	unsupported,
} from "./fields.ts";

export interface RopeConfig {
	readonly theta: number;
	/** Elements of a head that turn, the first ones; even. */
	readonly rotaryDim: number;
	readonly scaling: RopeScaling;
}

/** How frequencies are changed for texts longer than those of the first training, `originalLength` tokens. */
export type RopeScaling =
	| { readonly type: "default" }
	| { readonly type: "linear"; readonly factor: number }
	| {
			readonly type: "dynamic";
			readonly factor: number;
			readonly originalLength: number;
	  }
	| {
			readonly type: "yarn";
			readonly factor: number;
			readonly originalLength: number;
			readonly attentionFactor: number;
			/** Turns within originalLength: pairs with more stay as they are, those with fewer than betaSlow are divided by factor. */
			readonly betaFast: number;
			readonly betaSlow: number;
			/** Whether the bounds between them are whole pairs. */
			readonly truncate: boolean;
	  }
	| {
			readonly type: "llama3";
			readonly factor: number;
			readonly originalLength: number;
			readonly lowFrequencyFactor: number;
			readonly highFrequencyFactor: number;
	  }
	| {
			readonly type: "longrope";
			readonly originalLength: number;
			readonly attentionFactor: number;
			/** [rotaryDim / 2] */
			readonly shortFactors: readonly number[];
			readonly longFactors: readonly number[];
	  };

/** Of layers that see everything, and of those with a sliding window. */
export interface LayerRopes {
	readonly rope: RopeConfig;
	readonly slidingRope: RopeConfig;
}

/** @throws invalid_model_config, unsupported_model */
export function parseRopes(
	json: Json,
	headDim: number,
	maxPositions: number,
): LayerRopes {
	const given = json.rope_parameters ?? json.rope_scaling ?? {};
	if (!isObject(given)) throw notAnObject(given);
	const parse = (parameters: unknown): RopeConfig => {
		if (!isObject(parameters)) throw notAnObject(parameters);
		return parseRope(merged(json, parameters), headDim, maxPositions);
	};
	const isNested = "full_attention" in given || "sliding_attention" in given;
	if (isNested) {
		const full = given.full_attention ?? given.sliding_attention;
		return {
			rope: parse(full),
			slidingRope: parse(given.sliding_attention ?? full),
		};
	}
	const rope = parse(given);
	const local = optionalPositive(json, "rope_local_base_freq");
	const slidingRope =
		local === null ? rope : parse({ rope_type: "default", rope_theta: local });
	return { rope, slidingRope };
}

/** What may stand beside the parameters; they have a say over it, but for the first length (Phi-3), which has one over them. */
function merged(json: Json, parameters: Json): Json {
	const {
		rope_theta,
		partial_rotary_factor,
		original_max_position_embeddings,
	} = json;
	return {
		rope_theta,
		partial_rotary_factor,
		...dropAbsent(parameters),
		...dropAbsent({ original_max_position_embeddings }),
	};
}

function parseRope(
	json: Json,
	headDim: number,
	maxPositions: number,
): RopeConfig {
	const share = positive(json, "partial_rotary_factor", 1);
	const rotaryDim = Math.floor(headDim * share);
	if (rotaryDim > headDim || rotaryDim < 2 || rotaryDim % 2 !== 0)
		throw invalid(
			`config.json: partial_rotary_factor ${share} of head_dim ${headDim} is ${rotaryDim} elements; wanted an even number of them, at most ${headDim}.`,
		);
	return {
		theta: positive(json, "rope_theta", 10_000),
		rotaryDim,
		scaling: parseScaling(json, rotaryDim, maxPositions),
	};
}

function parseScaling(
	json: Json,
	rotaryDim: number,
	maxPositions: number,
): RopeScaling {
	const type = json.rope_type ?? json.type ?? "default";
	const originalLength = () =>
		size(json, "original_max_position_embeddings", MAX_CONTEXT, maxPositions);
	switch (type) {
		case "default":
			return { type: "default" };
		case "linear":
			return { type: "linear", factor: positive(json, "factor", 1) };
		case "dynamic":
			return {
				type: "dynamic",
				factor: positive(json, "factor"),
				originalLength: maxPositions,
			};
		case "yarn":
			return parseYarn(json, originalLength(), maxPositions);
		case "llama3":
			return {
				type: "llama3",
				factor: positive(json, "factor"),
				originalLength: originalLength(),
				...frequencyFactors(json),
			};
		// Phi-3's first name of it.
		case "su":
		case "longrope":
			return parseLongRope(json, originalLength(), maxPositions, rotaryDim);
		default:
			throw unsupported(
				`config.json: rope type ${show(type)} is not supported, only "default", "linear", "dynamic", "yarn", "llama3" and "longrope".`,
			);
	}
}

function frequencyFactors(json: Json) {
	const lowFrequencyFactor = positive(json, "low_freq_factor");
	const highFrequencyFactor = positive(json, "high_freq_factor");
	if (highFrequencyFactor <= lowFrequencyFactor)
		throw invalid(
			`config.json: high_freq_factor ${highFrequencyFactor} must be greater than low_freq_factor ${lowFrequencyFactor}.`,
		);
	return { lowFrequencyFactor, highFrequencyFactor };
}

function parseYarn(
	json: Json,
	originalLength: number,
	maxPositions: number,
): RopeScaling {
	const factor = positive(json, "factor", maxPositions / originalLength);
	const scaleOf = (m: number) =>
		factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
	const m = optionalPositive(json, "mscale");
	const allDims = optionalPositive(json, "mscale_all_dim");
	const usual =
		m !== null && allDims !== null ? scaleOf(m) / scaleOf(allDims) : scaleOf(1);
	return {
		type: "yarn",
		factor,
		originalLength,
		attentionFactor: positive(json, "attention_factor", usual),
		betaFast: positive(json, "beta_fast", 32),
		betaSlow: positive(json, "beta_slow", 1),
		truncate: flag(json, "truncate", true),
	};
}

function parseLongRope(
	json: Json,
	originalLength: number,
	maxPositions: number,
	rotaryDim: number,
): RopeScaling {
	const factor = positive(json, "factor", maxPositions / originalLength);
	const usual =
		factor <= 1
			? 1
			: Math.sqrt(1 + Math.log(factor) / Math.log(originalLength));
	return {
		type: "longrope",
		originalLength,
		attentionFactor: positive(json, "attention_factor", usual),
		shortFactors: positives(json, "short_factor", rotaryDim / 2),
		longFactors: positives(json, "long_factor", rotaryDim / 2),
	};
}

/** Tokens of the longest text the scaling was made for. */
export function stretchedLength(
	{ scaling }: RopeConfig,
	maxPositions: number,
): number {
	switch (scaling.type) {
		case "dynamic":
			return Math.floor(maxPositions * scaling.factor);
		case "yarn": {
			const stretched = Math.floor(scaling.originalLength * scaling.factor);
			return Math.max(maxPositions, stretched);
		}
		case "default":
		case "linear":
		case "llama3":
		case "longrope":
			return maxPositions;
		default:
			return scaling satisfies never;
	}
}

function notAnObject(value: unknown) {
	return invalid(
		`config.json: rope_parameters must be an object, got ${show(value)}.`,
	);
}
