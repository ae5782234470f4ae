/** Random requests and engines for laws that hold in all of them: tiny pools, shared beginnings, n > 1, aborts, priorities, overlap on and off. */
import fc from "fast-check";
import { request } from "./engine-harness.ts";

export interface RandomArrival {
	readonly prompt: number[];
	readonly maxTokens: number;
	readonly temperature: number;
	readonly seed: number;
	readonly n: number;
	readonly penalty: number;
	readonly promptLogprobs: boolean;
	/** Steps of the engine to wait before it arrives. */
	readonly delay: number;
	/** Event-loop turns after which it is aborted; null: never. */
	readonly abortAfter: number | null;
	readonly priority: number;
}

// Few distinct tokens and prompts grown from shared beginnings, so that prefixes are hit.
const tokens = (max: number) =>
	fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: max });
const arrival: fc.Arbitrary<RandomArrival> = fc.record({
	prompt: fc.oneof(
		tokens(30),
		tokens(6).map((tail) => [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, ...tail]),
	),
	maxTokens: fc.integer({ min: 1, max: 20 }),
	temperature: fc.constantFrom(0, 0.8, 1.5),
	seed: fc.nat({ max: 1000 }),
	n: fc.constantFrom(1, 1, 1, 3),
	penalty: fc.constantFrom(0, 0, 0.7),
	promptLogprobs: fc.boolean(),
	delay: fc.nat({ max: 6 }),
	abortAfter: fc.option(fc.nat({ max: 12 }), { freq: 4 }),
	priority: fc.nat({ max: 2 }),
});
export const randomSchedule = fc.record({
	arrivals: fc.array(arrival, { minLength: 1, maxLength: 7 }),
	numBlocks: fc.integer({ min: 13, max: 40 }),
	blockSize: fc.constantFrom(1, 3, 4, 8),
	maxNumSeqs: fc.integer({ min: 1, max: 6 }),
	budget: fc.integer({ min: 6, max: 40 }),
	enablePrefixCaching: fc.boolean(),
	overlap: fc.boolean(),
});

export type RandomSchedule =
	typeof randomSchedule extends fc.Arbitrary<infer T> ? T : never;

/** Blocks so that each of its requests can run by itself at least. */
export function enoughBlocks(schedule: RandomSchedule): number {
	const { arrivals, numBlocks, blockSize } = schedule;
	const longest = Math.max(
		...arrivals.map((a) => a.prompt.length + a.maxTokens),
	);
	return Math.max(numBlocks, Math.ceil(longest / blockSize));
}

export function asRequest(id: string, arrival: RandomArrival) {
	const { maxTokens, temperature, seed, n, penalty, priority } = arrival;
	const params = {
		maxTokens,
		temperature,
		seed,
		n,
		logprobs: 2,
		presencePenalty: penalty,
		repetitionPenalty: 1 + penalty,
		topK: temperature > 1 ? 20 : 0,
		promptLogprobs: arrival.promptLogprobs ? 1 : null,
	};
	return request(id, arrival.prompt, params, { priority });
}

/** Turns of the event loop: with a backend that computes at once about one a step. */
export async function turns(n: number): Promise<void> {
	for (let i = 0; i < n; i++)
		await new Promise((resolve) => setImmediate(resolve));
}
