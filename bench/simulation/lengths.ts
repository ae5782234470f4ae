/** How long the requests of a simulated job are: drawn from the 256 of nano-vLLM's benchmark (lengths.json). */
import { readFileSync } from "node:fs";
import { createRandom } from "./random.ts";
import type { Lengths } from "./scenario.ts";

const { promptLens, outputLens } = JSON.parse(
	readFileSync(new URL("lengths.json", import.meta.url), "utf8"),
) as { promptLens: number[]; outputLens: number[] };

/** The benchmark itself, in its order. */
export const PUBLISHED: readonly Lengths[] = promptLens.map((promptLen, i) => ({
	promptLen,
	outputLen: outputLens[i],
}));

/** `count` requests, each one of the 256 by chance. */
export function drawLengths(count: number, seed: number): Lengths[] {
	const random = createRandom(seed);
	return Array.from(
		{ length: count },
		() => PUBLISHED[Math.floor(random.uniform() * PUBLISHED.length)],
	);
}
