/** The golden checkpoints as cases any device can be held to: what transformers answers in float32. See test/golden/README.md. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { RequestOutput, TokenLogprob } from "../../src/engine/output.ts";
import { LLM, type LoadOptions } from "../../src/llm.ts";
import { GOLDEN_LOAD, type GoldenCase, worstScore } from "./golden-case.ts";

export type GoldenSet = "qwen3" | "families";

export const goldenFolder = (set: GoldenSet) =>
	fileURLToPath(new URL(`../golden/${set}`, import.meta.url));

export const GOLDEN_FOLDER = goldenFolder("qwen3");

export interface GoldenOptions {
	/** Which checkpoints; absent: qwen3's. */
	readonly set?: GoldenSet;
	/** Only these checkpoints, to save time. */
	readonly only?: readonly string[];
	/** Largest difference of a logprob. The order of tokens must be met exactly whatever this is. */
	readonly tolerance: number;
	readonly load?: LoadOptions;
}

interface Checkpoint {
	readonly name: string;
	readonly folder: string;
	readonly cases: readonly GoldenCase[];
	/** Some rotary embeddings depend on it. */
	readonly maxModelLen: number;
}

export function goldenCheckpoints(set: GoldenSet = "qwen3"): Checkpoint[] {
	const root = goldenFolder(set);
	return readdirSync(root).map((name) => {
		const folder = `${root}/${name}`;
		const file = JSON.parse(readFileSync(`${folder}/golden.json`, "utf8"));
		return { name, folder, maxModelLen: GOLDEN_LOAD.maxModelLen, ...file };
	});
}

/** Registers tests per checkpoint: all cases at once, prompts in chunks, each alone, and prompts from the prefix cache. */
export function goldenTests(
	device: NonNullable<LoadOptions["device"]>,
	{ tolerance, set, load = {} }: GoldenOptions,
): void {
	for (const checkpoint of goldenCheckpoints(set)) {
		const { name, folder, cases, maxModelLen } = checkpoint;
		const open = (options: LoadOptions = {}) =>
			LLM.load(folder, {
				device,
				...GOLDEN_LOAD,
				maxModelLen,
				...load,
				...options,
			});

		test(`${device}, ${name}: all in one batch, twice`, async () => {
			await using llm = await open();
			const first = await generate(llm, cases, true);
			first.forEach((output, i) => {
				check(output, cases[i], tolerance, true);
			});
			// Prompt logprobs need the prompt computed; without them it comes from the cache.
			const second = await generate(llm, cases, false);
			second.forEach((output, i) => {
				check(output, cases[i], tolerance, false);
				const { length } = cases[i].promptTokenIds;
				const cached = Math.floor((length - 1) / 16) * 16;
				assert.equal(output.numCachedTokens, cached);
			});
		});

		test(`${device}, ${name}: prompts in chunks of a few tokens`, async () => {
			await using llm = await open({ maxNumBatchedTokens: 7, maxNumSeqs: 6 });
			const outputs = await generate(llm, cases, true);
			outputs.forEach((output, i) => {
				check(output, cases[i], tolerance, true);
			});
		});

		test(`${device}, ${name}: each alone`, async () => {
			await using llm = await open({ maxNumSeqs: 1 });
			for (const one of cases) {
				const [output] = await generate(llm, [one], true);
				check(output, one, tolerance, true);
			}
		});
	}
}

/** Registers a test per checkpoint: prompt and golden output together are scored. See `worstScore`. */
export function goldenScores(
	device: NonNullable<LoadOptions["device"]>,
	{ tolerance, set, only, load = {} }: GoldenOptions,
): void {
	for (const checkpoint of goldenCheckpoints(set)) {
		const { name, folder, cases, maxModelLen } = checkpoint;
		if (only !== undefined && !only.includes(name)) continue;
		const options = Object.entries(load).map(
			([key, value]) => `${key} ${value}`,
		);
		const title = [`${device}, ${name}`, ...options].join(", ");
		test(`${title}: golden texts scored`, async (t) => {
			await using llm = await LLM.load(folder, {
				device,
				...GOLDEN_LOAD,
				maxModelLen,
				...load,
			});
			const worst = await worstScore(llm, cases);
			t.diagnostic(`largest difference: ${worst.toExponential(1)}`);
			assert.ok(worst <= tolerance, `${worst} is more than ${tolerance}`);
		});
	}
}

async function generate(
	llm: LLM,
	cases: readonly GoldenCase[],
	withPrompt: boolean,
): Promise<RequestOutput[]> {
	const prompts = cases.map(({ promptTokenIds }) => ({ promptTokenIds }));
	return llm.generate(prompts, {
		temperature: 0,
		// As many as each case has: all cases of a checkpoint have the same.
		maxTokens: cases[0].outputTokenIds.length,
		ignoreEos: true,
		logprobs: 5,
		promptLogprobs: withPrompt ? 5 : null,
	});
}

function check(
	{ outputs: [output], promptLogprobs }: RequestOutput,
	golden: GoldenCase,
	tolerance: number,
	withPrompt: boolean,
): void {
	const where = `prompt of ${golden.promptTokenIds.length}`;
	assert.deepEqual(output.tokenIds, golden.outputTokenIds, where);
	const near = (got: number, want: number, what: string) =>
		assert.ok(
			Math.abs(got - want) <= tolerance,
			`${where}, ${what}: ${got}, wanted ${want}`,
		);
	const checkTop = (
		entries: readonly TokenLogprob[],
		top: readonly [number, number][],
		what: string,
	) => {
		assert.deepEqual(
			entries.slice(0, 5).map((e) => e.tokenId),
			top.map(([id]) => id),
			`${where}, ${what}`,
		);
		top.forEach(([, logprob], i) => {
			near(entries[i].logprob, logprob, `${what}, place ${i}`);
			assert.equal(entries[i].rank, i + 1);
		});
	};
	golden.outputLogprobs.forEach(({ logprob, top }, i) => {
		const entries = output.logprobs?.[i] ?? [];
		checkTop(entries, top, `output ${i}`);
		near(entries[0].logprob, logprob, `output ${i}`);
	});
	const sum = golden.outputLogprobs.reduce((s, { logprob }) => s + logprob, 0);
	const bound = golden.outputLogprobs.length * tolerance;
	assert.ok(Math.abs((output.cumulativeLogprob ?? 0) - sum) < bound);
	if (!withPrompt) return;
	assert.equal(promptLogprobs?.length, golden.promptLogprobs.length);
	golden.promptLogprobs.forEach((want, i) => {
		const entries = promptLogprobs?.[i];
		if (want === null) {
			assert.equal(entries, null);
			return;
		}
		assert.ok(entries, `${where}: prompt token ${i} is scored`);
		checkTop(entries, want.top, `prompt ${i}`);
		const scored = entries.find((e) => e.tokenId === want.tokenId);
		assert.ok(scored);
		near(scored.logprob, want.logprob, `prompt ${i}`);
		assert.equal(scored.rank, want.rank, `${where}, rank of prompt ${i}`);
	});
}
