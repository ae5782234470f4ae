/** Collects the logprob entries a step was asked for, row by row, into one table. */
import type { LogprobTable, StepInput } from "../backend.ts";
import { logSumExp } from "./sample.ts";

interface Entry {
	readonly tokenId: number;
	readonly logprob: number;
	readonly rank: number;
}

/** The row's chosen token first, then its best `entries - 1`. logits: f32 [V] */
export function rowLogprobs(
	logits: Float32Array,
	chosen: number,
	entries: number,
): Entry[] {
	const total = logSumExp(logits);
	const entry = (tokenId: number, rank: number): Entry => ({
		tokenId,
		logprob: logits[tokenId] - total,
		rank,
	});
	let greater = 0;
	for (let i = 0; i < logits.length; i++)
		if (logits[i] > logits[chosen]) greater++;
	const best = bestTokens(logits, entries - 1);
	return [
		entry(chosen, greater + 1),
		...best.map((token, i) => entry(token, i + 1)),
	];
}

/** Ids of the k greatest logits, best first, lower ids first among equals. */
function bestTokens(logits: Float32Array, k: number): number[] {
	if (k <= 0) return [];
	const ids = Array.from(logits, (_, i) => i);
	ids.sort((a, b) => logits[b] - logits[a] || a - b);
	return ids.slice(0, k);
}

/** @returns null where no row asked for logprobs */
export function logprobTable(
	input: StepInput,
	rows: ReadonlyMap<number, readonly Entry[]>,
): LogprobTable | null {
	if (rows.size === 0) return null;
	const start = new Int32Array(input.numRows + 1);
	for (let r = 0; r < input.numRows; r++)
		start[r + 1] = start[r] + (rows.get(r)?.length ?? 0);
	const all = Array.from(
		{ length: input.numRows },
		(_, r) => rows.get(r) ?? [],
	);
	const entries = all.flat();
	return {
		start,
		tokenIds: Int32Array.from(entries, (e) => e.tokenId),
		logprobs: Float32Array.from(entries, (e) => e.logprob),
		ranks: Int32Array.from(entries, (e) => e.rank),
	};
}
