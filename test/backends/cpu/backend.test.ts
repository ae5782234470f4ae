/** The CPU backend under the engine: a request alone or among others, and steps that ask for too much. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { STEP_BYTES } from "../../../src/backends/cpu/plan.ts";
import { NanoVllmError } from "../../../src/errors.ts";
import { LLM } from "../../../src/llm.ts";
import { StepWriter } from "../../support/backend-steps.ts";
import {
	compileCpu,
	configOnly,
	goldenCheckpoint,
	greedy,
	LIMITS,
	programOf,
	tinyConfig,
} from "./tiny-model.ts";

// One row, four rows and many rows go through kernels that add in different orders: the last bits of keys and values depend on
// the batch. In f32 that is all; in f16 a last bit is 2^-11.
for (const [kvCacheDtype, bound] of [
	["f32", 1e-4],
	["f16", 1.5e-2],
] as const)
	test(`alone, together, in chunks, from the prefix cache (${kvCacheDtype}): greedy tokens equal up to near-ties, logprobs within ${bound}`, async (t) => {
		const { folder, cases } = goldenCheckpoint("tied-group2");
		const prompts = cases.map(({ promptTokenIds }) => promptTokenIds);
		const load = (options = {}) =>
			LLM.load(folder, {
				device: "cpu",
				threads: 2,
				kvCacheDtype,
				skipTokenizerInit: true,
				...options,
			});
		await using llm = await load();
		const together = await greedy(llm, prompts);
		const alone: typeof together = [];
		for (const prompt of prompts) {
			llm.resetPrefixCache();
			alone.push(...(await greedy(llm, [prompt])));
		}
		await using small = await load({ maxNumBatchedTokens: 9, maxNumSeqs: 9 });
		const chunked = await greedy(small, prompts);

		let worst = 0;
		const near = (got: number | null, want: number | null, where: string) => {
			const difference = Math.abs((got ?? 0) - (want ?? 0));
			worst = Math.max(worst, difference);
			assert.ok(difference <= bound, `${where}: ${got} and ${want}`);
		};
		const compare = (other: typeof together, how: string) => {
			for (const [i, want] of alone.entries()) {
				const got = other[i];
				for (const [p, value] of want.promptLogprobs.entries())
					near(got.promptLogprobs[p], value, `${how}, prompt ${i}, token ${p}`);
				for (const [n, id] of want.tokenIds.entries()) {
					const where = `${how}, output ${i}, token ${n}`;
					if (got.tokenIds[n] !== id) {
						const [best, second] = want.best[n].toSorted((a, b) => b - a);
						assert.ok(best - second <= 2 * bound, `${where}: not a near-tie`);
						break;
					}
					near(got.logprobs[n], want.logprobs[n], where);
				}
			}
		};
		compare(together, "together");
		compare(chunked, "in chunks");
		t.diagnostic(`largest difference ${worst.toExponential(1)}`);
	});

test("positions beyond those the rotary table was made for at first: it grows, one position or many at a time", async () => {
	const config = tinyConfig({ max_position_embeddings: 1024 });
	const run = async (device: "cpu" | "reference") => {
		await using llm = await LLM.load(configOnly(config), {
			device,
			loadFormat: "dummy",
			skipTokenizerInit: true,
			kvCacheDtype: device === "cpu" ? "f32" : "auto",
			maxNumBatchedTokens: 256,
		});
		const prompt = (length: number) =>
			Array.from({ length }, (_, i) => (i * i) % 61);
		// 256, 512 and the like are where a step's last token is the first that is not there yet.
		const outputs = [];
		for (const length of [250, 505, 800])
			outputs.push(...(await greedy(llm, [prompt(length)], 12)));
		return outputs;
	};
	const [got, want] = [await run("cpu"), await run("reference")];
	for (const [i, { tokenIds, logprobs, promptLogprobs }] of want.entries()) {
		assert.deepEqual(got[i].tokenIds, tokenIds);
		const ours = [...got[i].promptLogprobs.slice(1), ...got[i].logprobs];
		const theirs = [...promptLogprobs.slice(1), ...logprobs];
		for (const [p, value] of theirs.entries())
			assert.ok(
				Math.abs((ours[p] ?? 0) - (value ?? 0)) < 1e-4,
				`prompt ${i}, position ${p + 1}: ${ours[p]}, not ${value}`,
			);
	}
});

test("a step that asks for more logprobs than fit is refused by its size; the next step runs", async () => {
	const program = programOf(tinyConfig({ vocab_size: 60_000 }));
	const limits = {
		...LIMITS,
		maxModelLen: 256,
		maxNumBatchedTokens: 130,
		kvCacheBytes: 2 ** 22,
	};
	const executable = await compileCpu(program, {}, { limits });
	const { vocabSize: vocab } = program;
	const { numBlocks } = executable;
	try {
		const steps = new StepWriter({ ...limits, vocab, numBlocks, seed: 9 });
		const { input } = steps.next(130);
		const all = structuredClone(input);
		all.sampling.logprobEntries.fill(2 ** 31 - 1);
		const mebibytes = Math.floor((all.numRows * (vocab + 1) * 12) / 2 ** 20);
		await assert.rejects(executable.submit(all), (error) => {
			assert.ok(error instanceof NanoVllmError);
			assert.equal(error.code, "out_of_memory");
			const [, asked, room] =
				/takes (\d+) MiB.* has (\d+)/.exec(error.message) ?? [];
			assert.ok(Number(asked) >= mebibytes && Number(asked) < mebibytes + 3);
			assert.equal(Number(room), STEP_BYTES / 2 ** 20);
			return true;
		});
		input.sampling.logprobEntries.fill(2);
		const { tokenIds, logprobs } = await executable.submit(input);
		assert.equal(tokenIds.length, input.numSampleRows);
		assert.ok(logprobs?.logprobs.every((it) => it < 0));
	} finally {
		await executable.close();
	}
});
