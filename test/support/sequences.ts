/** Sequences made by hand, for tests of the book-keeping below the engine. */
import type { SamplingParamsInput } from "../../src/config.ts";
import type { Adapter } from "../../src/engine/adapters.ts";
import { Sequence } from "../../src/engine/sequence.ts";
import { request } from "./engine-harness.ts";

export interface SequenceOptions {
	readonly arrival?: number;
	readonly priority?: number;
	readonly index?: number;
	readonly sibling?: Sequence | null;
	readonly eosTokenIds?: number[];
	readonly badWordIds?: number[][];
	readonly adapter?: Adapter | null;
}

/** An adapter as the scheduler knows it: it changes nothing. */
export function makeAdapter(id: number): Adapter {
	const weights = { rank: 1, targets: new Map() };
	return { id, name: `adapter ${id}`, weights };
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
		adapter: options.adapter,
	});
}

export function blocksOf(seq: Sequence): number[] {
	return Array.from(seq.blockTable.subarray(0, seq.numBlocks));
}
