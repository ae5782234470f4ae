/** The output of a step held against the reference's, and against itself: entries, order, ranks, and the token drawn. Knows no backend. */
import assert from "node:assert/strict";
import type { StepOutput } from "../../src/backends/backend.ts";
import { sampleRow } from "../../src/backends/reference/sample.ts";
import type { WrittenStep } from "./backend-steps.ts";

/** Of a logprob: it may be atol + rtol · |wanted| from the one wanted. */
export interface Tolerance {
	readonly atol: number;
	readonly rtol: number;
}

export const byRow = (a: [number, unknown], b: [number, unknown]) =>
	a[0] - b[0];

/** @returns the largest difference of a logprob */
export function compareOutputs(
	step: WrittenStep,
	got: StepOutput,
	want: StepOutput,
	where: string,
	vocab: number,
	bound: Tolerance,
): number {
	const { input, labels } = step;
	const failed = (output: StepOutput) => [...output.failedRows].sort(byRow);
	assert.deepEqual(failed(got), failed(want), `${where}: failed rows`);
	assert.equal(got.tokenIds.length, input.numSampleRows, `${where}: tokens`);
	let worst = 0;
	for (let r = 0; r < input.numRows; r++) {
		const label = `${where}, ${labels[r]}`;
		const ours = rowOf(got, r);
		const theirs = rowOf(want, r);
		assert.equal(ours.length, theirs.length, `${label}: number of entries`);
		if (ours.length === 0) continue;
		const chosen =
			r < input.numSampleRows
				? got.tokenIds[r]
				: input.sampling.scoredTokens[r - input.numSampleRows];
		assert.equal(ours[0].tokenId, chosen, `${label}: the chosen token's entry`);
		checkOrder(ours, label);
		worst = Math.max(worst, compareEntries(ours, theirs, label, bound));
		if (ours.length <= vocab) continue;
		checkRank(ours, label);
		if (r < input.numSampleRows) checkToken(step, r, ours, chosen, label);
	}
	return worst;
}

interface Entry {
	readonly tokenId: number;
	readonly logprob: number;
	readonly rank: number;
}

function rowOf({ logprobs }: StepOutput, row: number): Entry[] {
	if (logprobs === null) return [];
	const { start, tokenIds, logprobs: values, ranks } = logprobs;
	return Array.from({ length: start[row + 1] - start[row] }, (_, i) => ({
		tokenId: tokenIds[start[row] + i],
		logprob: values[start[row] + i],
		rank: ranks[start[row] + i],
	}));
}

/** Behind the chosen token's entry the best tokens, each once, best first, their ranks counting up. */
function checkOrder([, ...best]: readonly Entry[], label: string): void {
	const ids = new Set(best.map(({ tokenId }) => tokenId));
	assert.equal(ids.size, best.length, `${label}: a token has two entries`);
	for (const [i, { logprob, rank }] of best.entries()) {
		assert.equal(rank, i + 1, `${label}: rank of entry ${i}`);
		if (i > 0 && !(logprob <= best[i - 1].logprob))
			assert.fail(`${label}: entry ${i} is better than the one before`);
	}
}

/** Of a complete row: 1 + the number of greater logits, as far as rounded logprobs can tell. */
function checkRank([chosen, ...all]: readonly Entry[], label: string): void {
	const greater = all.filter((e) => e.logprob > chosen.logprob).length;
	const equal = all.filter((e) => e.logprob === chosen.logprob).length;
	const isRank = chosen.rank > greater && chosen.rank <= greater + equal;
	assert.ok(isRank, `${label}: rank ${chosen.rank}, ${greater} are better`);
}

function compareEntries(
	ours: readonly Entry[],
	theirs: readonly Entry[],
	label: string,
	{ atol, rtol }: Tolerance,
): number {
	let worst = 0;
	const compareOne = (got: number, want: number, what: string) => {
		const bound = atol + rtol * Math.abs(want);
		const difference = Math.abs(got - want);
		if (!(difference <= bound))
			assert.fail(
				`${label}, ${what}: logprob ${got}, wanted ${want} ± ${bound}`,
			);
		worst = Math.max(worst, difference);
	};
	const expected = new Map(theirs.map((e) => [e.tokenId, e.logprob]));
	for (const [i, { tokenId, logprob }] of ours.entries()) {
		// Of two tokens near each other a short list may hold the other one; the i-th best value is still the i-th best value.
		if (i > 0) compareOne(logprob, theirs[i].logprob, `place ${i}`);
		const want = expected.get(tokenId);
		if (want !== undefined) compareOne(logprob, want, `token ${tokenId}`);
	}
	return worst;
}

/** The token is the one the definition of sampling draws from the backend's own logits (less a constant, which changes nothing). */
function checkToken(
	{ input, carried }: WrittenStep,
	row: number,
	[, ...all]: readonly Entry[],
	token: number,
	label: string,
): void {
	const logits = new Float32Array(all.length);
	for (const { tokenId, logprob } of all) logits[tokenId] = logprob;
	const want = sampleRow(logits, input.sampling, row, carried[row]);
	assert.equal(token, want, `${label}: token sampled from its own logits`);
}
