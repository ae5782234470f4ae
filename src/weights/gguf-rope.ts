/** The rope part of a config: GGUF's keys and factor vectors → rope_theta and rope_scaling as config.json has them. */
import { NanoVllmError } from "../errors.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";
import { show } from "./safetensors-header.ts";

interface RopeSource {
	readonly metadata: GgufMetadata;
	readonly facts: {
		readonly ropeVectors: ReadonlyMap<string, readonly number[]>;
	};
	readonly headDim: number;
	number(key: string): number | undefined;
}

/** What transformers and llama.cpp take where nothing is said. */
const DEFAULT_THETA = 10_000;

/** @throws unsupported_model */
export function ropeConfig(source: RopeSource): Record<string, unknown> {
	return {
		rope_theta: source.number("rope.freq_base") ?? DEFAULT_THETA,
		rope_scaling: ropeScaling(source),
	};
}

function ropeScaling(source: RopeSource): Record<string, unknown> | null {
	const { metadata, facts, number } = source;
	const architecture = metadata.needString("general.architecture");
	const long = facts.ropeVectors.get("rope_factors_long.weight");
	const short = facts.ropeVectors.get("rope_factors_short.weight");
	const original = number("rope.scaling.original_context_length");
	if (long && short)
		return dropUndefined({
			rope_type: "longrope",
			long_factor: long,
			short_factor: short,
			original_max_position_embeddings: original,
			// The converter's own result; lengths alone would give another where the checkpoint names a factor.
			attention_factor: number("rope.scaling.attn_factor"),
		});
	const factors = facts.ropeVectors.get("rope_freqs.weight");
	if (factors) return llama3Scaling(source, factors);
	const type = metadata.string(`${architecture}.rope.scaling.type`) ?? "none";
	// Old files have the factor alone, as the divisor of positions.
	const factor =
		number("rope.scaling.factor") ?? number("rope.scale_linear") ?? 1;
	switch (type) {
		case "none":
			return factor === 1 ? null : { rope_type: "linear", factor };
		case "linear":
			return { rope_type: "linear", factor };
		case "yarn":
			return dropUndefined({
				rope_type: "yarn",
				factor,
				original_max_position_embeddings: original,
				attention_factor: yarnAttention(
					number("rope.scaling.attn_factor") ?? 1,
					factor,
				),
				beta_fast: number("rope.scaling.yarn_beta_fast"),
				beta_slow: number("rope.scaling.yarn_beta_slow"),
				// gpt-oss blends between bounds as they are; others round them to whole dimensions.
				truncate: architecture === "gpt-oss" ? false : undefined,
			});
		default:
			throw new NanoVllmError(
				"unsupported_model",
				`${metadata.file}: rope scaling ${show(type)} is not supported, only none, linear and yarn. Use the checkpoint in safetensors.`,
			);
	}
}

/** llama.cpp's factor comes on top of YaRN's own 1 + 0.1 · ln(factor), transformers' in its place. undefined: YaRN's own alone */
function yarnAttention(extra: number, factor: number): number | undefined {
	return extra === 1 ? undefined : extra * (1 + 0.1 * Math.log(factor));
}

/** Llama 3's constants. Files hold only what comes of them: a divisor for each frequency. */
const LLAMA3 = {
	low_freq_factor: 1,
	high_freq_factor: 4,
	original_max_position_embeddings: 8192,
} as const;

/** Finds the factor that, with Llama 3's other constants, gives the divisors of the file. */
function llama3Scaling(
	{ metadata, headDim, number }: RopeSource,
	divisors: readonly number[],
): Record<string, unknown> | null {
	const factor = divisors.reduce((most, value) => Math.max(most, value), 1);
	if (divisors.every((value) => value === 1)) return null;
	const theta = number("rope.freq_base") ?? DEFAULT_THETA;
	const dimensions = number("rope.dimension_count") ?? headDim;
	const isAsExpected = divisors.every((value, i) => {
		const expected = llama3Divisor(theta ** ((2 * i) / dimensions), factor);
		return Math.abs(value - expected) <= 1e-3 * expected;
	});
	if (isAsExpected && divisors.length === dimensions / 2)
		return { rope_type: "llama3", factor, ...LLAMA3 };
	throw new NanoVllmError(
		"unsupported_model",
		`${metadata.file}: wanted rope_freqs.weight as Llama 3 scales frequencies (factor ${factor}, of 8,192 positions), got other numbers. Use the checkpoint in safetensors.`,
	);
}

/** Long waves are stretched by `factor`, short ones not at all, those between by a blend. `inverse`: 1 / frequency */
function llama3Divisor(inverse: number, factor: number): number {
	const {
		low_freq_factor: low,
		high_freq_factor: high,
		original_max_position_embeddings: original,
	} = LLAMA3;
	const wavelength = 2 * Math.PI * inverse;
	if (wavelength < original / high) return 1;
	if (wavelength > original / low) return factor;
	const smooth = (original / wavelength - low) / (high - low);
	return 1 / ((1 - smooth) / factor + smooth);
}

function dropUndefined(json: Record<string, unknown>): Record<string, unknown> {
	return Object.fromEntries(
		Object.entries(json).filter(([, value]) => value !== undefined),
	);
}
