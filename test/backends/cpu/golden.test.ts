/** The CPU backend against transformers, on every golden checkpoint: exactly with the cache in f32, within its rounding in f16. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { LLM } from "../../../src/llm.ts";
import { goldenTests } from "../../support/golden.ts";

// Seen: 3e-5. Neighbours in the lists of best tokens are 2e-4 apart, and their order is compared too.
goldenTests("cpu", {
	tolerance: 1e-4,
	load: { kvCacheDtype: "f32", threads: 2 },
});

/** Keys and values of 11 significant bits; seen: 1.1e-2. */
const F16_CACHE_BOUND = 1.5e-2;

interface Golden {
	readonly cases: {
		readonly promptTokenIds: number[];
		readonly outputTokenIds: number[];
		readonly outputLogprobs: { logprob: number; top: [number, number][] }[];
		readonly promptLogprobs: (null | { tokenId: number; logprob: number })[];
	}[];
}

const folder = fileURLToPath(new URL("../../golden/qwen3", import.meta.url));
for (const name of readdirSync(folder))
	test(`cpu, ${name}, the default cache: prompts scored and greedy tokens up to near-ties`, async (t) => {
		const { cases }: Golden = JSON.parse(
			readFileSync(`${folder}/${name}/golden.json`, "utf8"),
		);
		await using llm = await LLM.load(`${folder}/${name}`, {
			device: "cpu",
			threads: 2,
			skipTokenizerInit: true,
			maxModelLen: 256,
		});
		const outputs = await llm.generate(
			cases.map(({ promptTokenIds }) => ({ promptTokenIds })),
			{
				temperature: 0,
				maxTokens: 64,
				ignoreEos: true,
				logprobs: 1,
				promptLogprobs: 1,
			},
		);
		let worst = 0;
		const near = (got: number | undefined, want: number, where: string) => {
			const difference = Math.abs((got ?? Number.NaN) - want);
			assert.ok(
				difference <= F16_CACHE_BOUND,
				`${where}: ${got}, wanted ${want}`,
			);
			worst = Math.max(worst, difference);
		};
		let numEqual = 0;
		for (const [c, { outputs: all, promptLogprobs }] of outputs.entries()) {
			const golden = cases[c];
			const [{ tokenIds, logprobs }] = all;
			for (const [p, want] of golden.promptLogprobs.entries()) {
				if (want === null) continue;
				const got = promptLogprobs?.[p]?.find(
					(e) => e.tokenId === want.tokenId,
				);
				near(got?.logprob, want.logprob, `case ${c}, prompt token ${p}`);
			}
			for (const [i, want] of golden.outputTokenIds.entries()) {
				const { logprob, top } = golden.outputLogprobs[i];
				const id = tokenIds[i];
				const where = `case ${c}, token ${i}`;
				if (id !== want) {
					// Another of the best: as near as two errors allow. What follows is another text.
					const theirs = top.find(([tokenId]) => tokenId === id)?.[1];
					const gap = logprob - (theirs ?? -Infinity);
					assert.ok(
						gap <= 2 * F16_CACHE_BOUND,
						`${where}: ${id}, which is ${gap} below ${want}`,
					);
					break;
				}
				near(logprobs?.[i][0].logprob, logprob, where);
				numEqual++;
			}
		}
		const numTokens = cases.reduce((n, it) => n + it.outputTokenIds.length, 0);
		assert.ok(
			numEqual >= numTokens / 2,
			`${numEqual} of ${numTokens} compared`,
		);
		t.diagnostic(
			`largest difference ${worst.toExponential(1)}, ${numEqual} of ${numTokens} tokens before a near-tie`,
		);
	});
