/** The n sequences of a request that comes in. */
import type { EngineRequest } from "./request.ts";
import { Sequence, type SequenceParams } from "./sequence.ts";

/** @param arrival of the first; the others' follow. @param seed the engine's */
export function newSequences(
	request: EngineRequest,
	arrival: number,
	saltedRoot: number | null,
	seed: number,
): Sequence[] {
	const { requestId, params, priority, promptTokenIds, adapter } = request;
	const sequences: Sequence[] = [];
	for (let index = 0; index < params.n; index++) {
		const first: Sequence | null = sequences[0] ?? null;
		sequences.push(
			new Sequence({
				requestId,
				arrival: arrival + index,
				priority,
				index,
				params: first === null ? params : { ...params, promptLogprobs: null },
				seed: seedOf(params, index, arrival + index, seed),
				promptTokenIds,
				sibling: first,
				constraint: request.startConstraint?.(),
				adapter,
				saltedRoot,
			}),
		);
	}
	return sequences;
}

/** A given seed counts up over a request's n outputs, as vLLM's; requests without one are told apart by arrival. */
function seedOf(
	params: SequenceParams,
	index: number,
	arrival: number,
	engineSeed: number,
): number {
	if (params.seed !== null) return params.seed + index;
	const high = (engineSeed + 1) % 2 ** 21;
	return high * 2 ** 32 + (Math.imul(arrival + 1, 0x9e3779b1) >>> 0);
}
