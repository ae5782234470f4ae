/** Sequences made by hand, for tests of the book-keeping below the engine. */
import type { SamplingParamsInput } from "../../src/config.ts";
import { Sequence } from "../../src/engine/sequence.ts";
import { request } from "./engine-harness.ts";

export interface SequenceOptions {
	readonly arrival?: number;
	readonly priority?: number;
	readonly index?: number;
	readonly sibling?: Sequence | null;
	readonly eosTokenIds?: number[];
	readonly badWordIds?: number[][];
}

export function makeSequence(
	promptTokenIds: readonly number[],
	params: SamplingParamsInput = {},
	options: SequenceOptions = {},
): Sequence {
	const { arrival = 0, priority = 0, index = 0, sibling = null } = options;
	const { eosTokenIds, badWordIds = [] } = options;
	const id = `r${arrival}`;
	const made = request(id, promptTokenIds, params, { priority, eosTokenIds });
	return new Sequence({
		requestId: id,
		arrival,
		priority,
		index,
		params: { ...made.params, badWordIds },
		seed: arrival,
		promptTokenIds: made.promptTokenIds,
		sibling,
	});
}

export function blocksOf(seq: Sequence): number[] {
	return Array.from(seq.blockTable.subarray(0, seq.numBlocks));
}
