/** The CPU backend under the engine: a request alone or among others, and steps that ask for too much. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ROW_ROOM_BYTES } from "../../../src/backends/cpu/step.ts";
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

const WIDE_CONFIG = tinyConfig({
	vocab_size: 60_000,
	max_position_embeddings: 256,
});

test("a step that asks for more logprobs than fit: the sequence that asks for most is refused, the others are not", async () => {
	const program = programOf(WIDE_CONFIG);
	const { vocabSize: vocab } = program;
	const limits = {
		...LIMITS,
		maxModelLen: 256,
		maxNumSeqs: 6,
		maxNumBatchedTokens: 130,
		kvCacheBytes: 2 ** 22,
	};
	const executable = await compileCpu(program, {}, { limits });
	const { numBlocks } = executable;
	try {
		const steps = new StepWriter({ ...limits, vocab, numBlocks, seed: 5 });
		const { input } = steps.next(130);
		const { numRows, numSampleRows, logitRows, queryStart } = input;
		const sequenceOf = (r: number) =>
			queryStart.findIndex((_, s) => queryStart[s + 1] > logitRows[r]);
		const rows = Array.from({ length: numRows }, (_, r) => r);
		const numRowsOf = (s: number) =>
			rows.filter((r) => sequenceOf(r) === s).length;
		const largest = Math.max(...rows.map((r) => numRowsOf(sequenceOf(r))));
		const isGreedy = (r: number) => numRowsOf(sequenceOf(r)) === largest;
		assert.ok(largest * (vocab + 1) * 12 > ROW_ROOM_BYTES && largest < numRows);

		const few = structuredClone(input);
		few.sampling.logprobEntries.fill(3);
		const want = await executable.submit(few);
		const many = structuredClone(few);
		for (const r of rows.filter(isGreedy))
			many.sampling.logprobEntries[r] = 2 ** 31 - 1;
		const got = await executable.submit(many);
		for (const r of rows) {
			assert.equal(
				got.failedRows.get(r),
				isGreedy(r) ? "too_large" : want.failedRows.get(r),
			);
			if (isGreedy(r)) continue;
			if (r < numSampleRows) assert.equal(got.tokenIds[r], want.tokenIds[r]);
			const entries = ({ logprobs }: typeof got) =>
				logprobs?.logprobs.slice(logprobs.start[r], logprobs.start[r + 1]);
			assert.deepEqual(entries(got), entries(want));
		}
		assert.deepEqual(await executable.submit(few), want, "the next step runs");
	} finally {
		await executable.close();
	}
});

test("a request that asks for too many logprobs fails; one beside it and one after it do not", async () => {
	await using llm = await LLM.load(configOnly(WIDE_CONFIG), {
		device: "cpu",
		threads: 2,
		loadFormat: "dummy",
		skipTokenizerInit: true,
		maxLogprobs: -1,
	});
	const prompt = Array.from({ length: 130 }, (_, i) => i * i);
	const [alone] = await greedy(llm, [prompt]);
	llm.resetPrefixCache();
	const beside = greedy(llm, [prompt]);
	const greediest = llm.generate(
		{ promptTokenIds: prompt },
		{ promptLogprobs: -1, maxTokens: 3 },
	);
	await assert.rejects(greediest, (error) => {
		assert.ok(error instanceof NanoVllmError);
		assert.equal(error.code, "out_of_memory");
		return true;
	});
	assert.deepEqual((await beside)[0].tokenIds, alone.tokenIds);
	llm.resetPrefixCache();
	assert.deepEqual((await greedy(llm, [prompt]))[0].tokenIds, alone.tokenIds);
	assert.equal(llm.stats().numRequestsRunning, 0);
});
