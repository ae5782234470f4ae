/**
 * How long a step of an engine takes, by what is in it. Knows figures that were measured, and nothing of how they came about.
 * seconds = base(B) + cachedToken · C + P / prefillRate; B decodes, C tokens they have cached together, P prompt tokens.
 * base(B) goes through the measured points, straight in between; a step of prompts alone is at least base(1) long.
 */

/** A decode step as measured: `batch` sequences of `contextLen` tokens on average. */
export interface MeasuredStep {
	readonly batch: number;
	readonly contextLen: number;
	readonly ms: number;
}

export interface EngineProfile {
	readonly name: string;
	/** Where the figures come from. */
	readonly source: string;
	/** By rising batch; the first is of one sequence, the last of maxNumSeqs: nothing is extrapolated. */
	readonly decodeSteps: readonly MeasuredStep[];
	/** What attention adds to a step for each cached token of its sequences. */
	readonly nsPerCachedToken: number;
	readonly prefillTokensPerSecond: number;
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	readonly loadSeconds: number;
}

export type StepSeconds = (
	numDecodes: number,
	contextTokens: number,
	prefillTokens: number,
) => number;

export function stepSeconds(profile: EngineProfile): StepSeconds {
	const perContextToken = profile.nsPerCachedToken / 1e9;
	const base = Float64Array.from({ length: profile.maxNumSeqs + 1 }, (_, b) =>
		b === 0 ? 0 : baseSeconds(profile, b),
	);
	return (numDecodes, contextTokens, prefillTokens) => {
		const decode = base[numDecodes] + perContextToken * contextTokens;
		const prefill = prefillTokens / profile.prefillTokensPerSecond;
		return Math.max(base[1], decode + prefill);
	};
}

function baseSeconds(profile: EngineProfile, batch: number): number {
	const { decodeSteps, nsPerCachedToken } = profile;
	const points = decodeSteps.map((step) => ({
		batch: step.batch,
		seconds:
			step.ms / 1000 - (nsPerCachedToken / 1e9) * step.batch * step.contextLen,
	}));
	const after = points.findIndex((point) => point.batch >= batch);
	if (points[0].batch !== 1 || after < 0)
		throw new RangeError(
			`profile ${profile.name}: wanted measured steps from batch 1 to ${profile.maxNumSeqs}, got ${points.map((p) => p.batch).join(", ")}. Measure those, or lower maxNumSeqs.`,
		);
	const high = points[after];
	if (high.batch === batch) return high.seconds;
	const low = points[after - 1];
	const share = (batch - low.batch) / (high.batch - low.batch);
	return low.seconds + share * (high.seconds - low.seconds);
}
