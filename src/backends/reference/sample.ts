/**
 * Sampling of one row of logits: the definition of the `sample` op. Order of the stages as in vLLM's sampler:
 * raw logprobs · allowed tokens, bias · penalties · temperature · min-p · top-k · top-p · draw.
 * The draw is an exponential race keyed by (seed, output position, token id), so a seeded request gives the same tokens
 * in any batch, and a device needs no sort and no running sum to draw from a filtered distribution.
 */
import type { SamplingInput } from "../backend.ts";

/**
 * The token sampled for row `row`; null where mask and bias forbid every token. logits: f32 [V], overwritten.
 * `carried`: the row's token the host did not know, if any.
 */
export function sampleRow(
	logits: Float32Array,
	sampling: SamplingInput,
	row: number,
	carried: number | null,
): number | null {
	applyMask(logits, sampling, row);
	applyBias(logits, sampling, row);
	applyPenalties(logits, sampling, row, carried);
	if (logits[argmax(logits)] === -Infinity) return null;
	const temperature = sampling.temperature[row];
	if (temperature === 0) return argmax(logits);
	for (let i = 0; i < logits.length; i++) logits[i] /= temperature;
	filter(logits, sampling.minP[row], sampling.topK[row], sampling.topP[row]);
	return draw(
		logits,
		sampling.seeds[2 * row],
		sampling.seeds[2 * row + 1],
		sampling.outputPosition[row],
	);
}

/** Lowest id among the greatest logits. */
export function argmax(logits: Float32Array): number {
	let best = 0;
	for (let i = 1; i < logits.length; i++)
		if (logits[i] > logits[best]) best = i;
	return best;
}

/** log Σ exp(logits) */
export function logSumExp(logits: Float32Array): number {
	let max = -Infinity;
	for (let i = 0; i < logits.length; i++) if (logits[i] > max) max = logits[i];
	let sum = 0;
	for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - max);
	return max + Math.log(sum);
}

function applyMask(
	logits: Float32Array,
	{ numMasks, maskRows, masks }: SamplingInput,
	row: number,
): void {
	const words = Math.ceil(logits.length / 32);
	for (let m = 0; m < numMasks; m++) {
		if (maskRows[m] !== row) continue;
		for (let i = 0; i < logits.length; i++) {
			const allowed = (masks[m * words + (i >>> 5)] >>> (i & 31)) & 1;
			if (allowed === 0) logits[i] = -Infinity;
		}
	}
}

function applyBias(
	logits: Float32Array,
	{ biasStart, biasTokens, biasValues }: SamplingInput,
	row: number,
): void {
	for (let i = biasStart[row]; i < biasStart[row + 1]; i++)
		logits[biasTokens[i]] += biasValues[i];
}

/** Repetition over prompt and output (Keskar et al. 2019), then frequency and presence over the output (OpenAI). */
function applyPenalties(
	logits: Float32Array,
	sampling: SamplingInput,
	row: number,
	carried: number | null,
): void {
	const start = sampling.historyStart[row];
	const end = sampling.historyStart[row + 1];
	if (start === end) return;
	const promptEnd = start + sampling.historyPromptLen[row];
	const outputCounts = new Map<number, number>();
	for (let i = start; i < end; i++) {
		const token = sampling.historyTokens[i];
		const count = outputCounts.get(token) ?? 0;
		outputCounts.set(token, count + (i >= promptEnd ? 1 : 0));
	}
	if (carried !== null)
		outputCounts.set(carried, (outputCounts.get(carried) ?? 0) + 1);

	const repetition = sampling.repetitionPenalty[row];
	for (const [token, count] of outputCounts) {
		logits[token] =
			logits[token] > 0
				? logits[token] / repetition
				: logits[token] * repetition;
		if (count === 0) continue;
		logits[token] -=
			sampling.frequencyPenalty[row] * count + sampling.presencePenalty[row];
	}
}

/** Sets every token outside the min-p, top-k and top-p sets to -Infinity. Tokens equal to the last one kept are kept too. */
function filter(
	logits: Float32Array,
	minP: number,
	topK: number,
	topP: number,
): void {
	if (minP > 0) {
		const max = logits[argmax(logits)];
		keepFrom(logits, max + Math.log(minP));
	}
	if (topK <= 0 && topP >= 1) return;
	const sorted = logits.slice().sort().reverse();
	if (topK > 0 && topK < sorted.length) keepFrom(logits, sorted[topK - 1]);
	if (topP < 1) {
		const total = logSumExp(logits);
		let mass = 0;
		let last = 0;
		while (last < sorted.length) {
			mass += Math.exp(sorted[last] - total);
			if (mass >= topP) break;
			last++;
		}
		keepFrom(logits, sorted[Math.min(last, sorted.length - 1)]);
	}
}

function keepFrom(logits: Float32Array, threshold: number): void {
	for (let i = 0; i < logits.length; i++)
		if (logits[i] < threshold) logits[i] = -Infinity;
}

/** argmax_i of logits[i] − log E_i with E_i exponential: a draw from softmax(logits) (the Gumbel-max trick). */
function draw(
	logits: Float32Array,
	seedHigh: number,
	seedLow: number,
	position: number,
): number {
	let best = 0;
	let bestScore = -Infinity;
	for (let i = 0; i < logits.length; i++) {
		if (logits[i] === -Infinity) continue;
		const bits = hash4(i, position, seedHigh, seedLow);
		const exponential = -Math.log1p(-(bits + 0.5) / 2 ** 32);
		const score = logits[i] - Math.log(exponential);
		if (score > bestScore) {
			bestScore = score;
			best = i;
		}
	}
	return best;
}

/** First word of pcg4d, a 4 × 32 bit integer hash.  Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 2020. */
export function hash4(a: number, b: number, c: number, d: number): number {
	let x = (Math.imul(a, 1664525) + 1013904223) | 0;
	let y = (Math.imul(b, 1664525) + 1013904223) | 0;
	let z = (Math.imul(c, 1664525) + 1013904223) | 0;
	let w = (Math.imul(d, 1664525) + 1013904223) | 0;
	x = (x + Math.imul(y, w)) | 0;
	y = (y + Math.imul(z, x)) | 0;
	z = (z + Math.imul(x, y)) | 0;
	w = (w + Math.imul(y, z)) | 0;
	x ^= x >>> 16;
	y ^= y >>> 16;
	z ^= z >>> 16;
	w ^= w >>> 16;
	return (x + Math.imul(y, w)) >>> 0;
}
