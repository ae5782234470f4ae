/** Rotary frequencies from a config's numbers: plain, or changed so that longer texts than those of the training turn as the model knows it. */
import type { Rope } from "../backends/program.ts";
import type { RopeConfig, RopeScaling } from "./rope-config.ts";

/**
 * f32 [rotaryDim / 2] θ^(−2i/rotaryDim), scaled. Where transformers changes the frequencies as a text grows (dynamic, longrope), one set is
 * chosen for good by the length that is served, maxModelLen, as vLLM does: keys in the cache must not turn otherwise than they did.
 */
export function createRope(
	{ theta, rotaryDim, scaling }: RopeConfig,
	maxModelLen: number,
): Rope {
	const base = baseOf(theta, rotaryDim, scaling, maxModelLen);
	const plain = Array.from(
		{ length: rotaryDim / 2 },
		(_, i) => base ** (-(2 * i) / rotaryDim),
	);
	const scale = "attentionFactor" in scaling ? scaling.attentionFactor : 1;
	const change = changeOf(theta, rotaryDim, scaling, maxModelLen);
	return { inverseFrequencies: Float32Array.from(plain, change), scale };
}

/** θ, or greater where it is scaled with the length ("NTK-aware"). */
function baseOf(
	theta: number,
	rotaryDim: number,
	scaling: RopeScaling,
	maxModelLen: number,
): number {
	if (scaling.type !== "dynamic") return theta;
	const { factor, originalLength } = scaling;
	if (maxModelLen <= originalLength) return theta;
	const growth = (factor * maxModelLen) / originalLength - (factor - 1);
	return theta * growth ** (rotaryDim / (rotaryDim - 2));
}

/** What becomes of the frequency of pair i. */
function changeOf(
	theta: number,
	rotaryDim: number,
	scaling: RopeScaling,
	maxModelLen: number,
): (frequency: number, i: number) => number {
	switch (scaling.type) {
		case "default":
		case "dynamic":
			return (frequency) => frequency;
		case "linear":
			return (frequency) => frequency / scaling.factor;
		case "yarn":
			return yarn(theta, rotaryDim, scaling);
		case "llama3":
			return llama3(scaling);
		case "longrope": {
			const { shortFactors, longFactors, originalLength } = scaling;
			const factors = maxModelLen > originalLength ? longFactors : shortFactors;
			return (frequency, i) => frequency / factors[i];
		}
		default:
			return scaling satisfies never;
	}
}

/** Between the pairs that turn betaFast and betaSlow times in originalLength, from the frequency to a factor-th of it.  Peng et al. 2023. */
function yarn(
	theta: number,
	rotaryDim: number,
	scaling: Extract<RopeScaling, { type: "yarn" }>,
) {
	const { originalLength, factor, truncate } = scaling;
	const pairTurning = (turns: number) =>
		(rotaryDim * Math.log(originalLength / (turns * 2 * Math.PI))) /
		(2 * Math.log(theta));
	const first = pairTurning(scaling.betaFast);
	const last = pairTurning(scaling.betaSlow);
	const low = Math.max(truncate ? Math.floor(first) : first, 0);
	const high = Math.min(truncate ? Math.ceil(last) : last, rotaryDim - 1);
	const width = high === low ? 0.001 : high - low;
	return (frequency: number, i: number) => {
		const slow = Math.min(1, Math.max(0, (i - low) / width));
		return (frequency / factor) * slow + frequency * (1 - slow);
	};
}

/** Between wavelengths of originalLength / highFrequencyFactor and / lowFrequencyFactor, from the frequency to a factor-th of it.  Llama 3.1. */
function llama3({
	factor,
	originalLength,
	lowFrequencyFactor,
	highFrequencyFactor,
}: Extract<RopeScaling, { type: "llama3" }>) {
	return (frequency: number) => {
		const turns = (originalLength * frequency) / (2 * Math.PI);
		const place =
			(turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
		const fast = Math.min(1, Math.max(0, place));
		return (frequency / factor) * (1 - fast) + frequency * fast;
	};
}
