/** What a step's output says of one of its rows. Knows no sequences. */
import type { LogprobTable, RowFailure } from "../backends/backend.ts";
import { NanoVllmError } from "../errors.ts";
import type { LogprobEntry } from "./request.ts";

/** null: none were asked for. */
export function logprobsOf(
	table: LogprobTable | null,
	row: number,
): LogprobEntry[] | null {
	if (table === null || table.start[row] === table.start[row + 1]) return null;
	const entries: LogprobEntry[] = [];
	for (let i = table.start[row]; i < table.start[row + 1]; i++)
		entries.push({
			tokenId: table.tokenIds[i],
			logprob: table.logprobs[i],
			rank: table.ranks[i],
		});
	return entries;
}

export function rowError(failure: RowFailure): NanoVllmError {
	switch (failure) {
		case "nan":
			return new NanoVllmError(
				"nan_logits",
				"the model gave NaN where a token was to be chosen: its weights are damaged, or too large for the type they are computed in. Try dtype f32.",
			);
		case "forbidden":
			return new NanoVllmError(
				"invalid_sampling_params",
				"allowedTokenIds, badWords, logitBias, minTokens and structuredOutputs together forbid every token. Loosen one of them.",
			);
		case "too_large":
			return new NanoVllmError(
				"out_of_memory",
				"the logprobs, promptLogprobs, logitBias and penalties asked for need more memory than the device has for one step. Ask for fewer, or load with a smaller maxNumBatchedTokens or maxNumSeqs.",
			);
		default:
			return failure satisfies never;
	}
}
