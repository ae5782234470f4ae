/** A golden checkpoint's cases, and how far from them a device's scores are. Knows no files and no test runner: pages run it too. */
import assert from "node:assert/strict";
import type { LLM } from "../../src/index.ts";

export interface GoldenCase {
	readonly promptTokenIds: number[];
	readonly outputTokenIds: number[];
	readonly outputLogprobs: { logprob: number; top: [number, number][] }[];
	readonly promptLogprobs: (null | {
		tokenId: number;
		logprob: number;
		rank: number;
		top: [number, number][];
	})[];
}

/** What every device loads the checkpoints with. */
export const GOLDEN_LOAD = {
	skipTokenizerInit: true,
	maxLogprobs: 20,
	maxModelLen: 256,
} as const;

/**
 * Scores prompts and golden outputs together, so that a device which rounds more, and so may choose another of two nearly equal
 * tokens, is still held to every logprob. Logprobs of the five best are compared by place.
 * @returns the largest difference of a logprob
 */
export async function worstScore(
	llm: LLM,
	cases: readonly GoldenCase[],
): Promise<number> {
	const prompts = cases.map((c) => ({
		promptTokenIds: [...c.promptTokenIds, ...c.outputTokenIds],
	}));
	const outputs = await llm.generate(prompts, {
		temperature: 0,
		maxTokens: 1,
		promptLogprobs: 5,
	});
	let worst = 0;
	outputs.forEach(({ promptLogprobs }, i) => {
		const { promptTokenIds, outputTokenIds, outputLogprobs } = cases[i];
		outputLogprobs.forEach(({ logprob, top }, n) => {
			const entries = promptLogprobs?.[promptTokenIds.length + n] ?? [];
			const chosen = entries.find((e) => e.tokenId === outputTokenIds[n]);
			assert.ok(chosen, `case ${i}, output ${n} is scored`);
			worst = Math.max(worst, Math.abs(chosen.logprob - logprob));
			top.forEach(([, wanted], place) => {
				const off = Math.abs(entries[place].logprob - wanted);
				worst = Math.max(worst, off);
			});
		});
	});
	return worst;
}
