/** What quantization costs: perplexity of the bundled model on text it was not trained on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { LLM } from "../../../src/llm.ts";

const model = fileURLToPath(new URL("../../../demo-model", import.meta.url));
const text = readFileSync(`${model}/heldout.txt`, "utf8");
const NUM_CHUNKS = 12;
const CHUNK_TOKENS = 256;

/** Every token's logprob, in chunks from all over the text. */
async function score(quantization: "q8_0" | "q4_0" | null): Promise<number[]> {
	await using llm = await LLM.load(model, {
		device: "cpu",
		threads: 2,
		quantization,
		enablePrefixCaching: false,
	});
	const ids = llm.tokenizer.encode(text);
	const stride = Math.floor((ids.length - CHUNK_TOKENS) / (NUM_CHUNKS - 1));
	assert.ok(stride > 0, `heldout.txt has ${ids.length} tokens`);
	const chunks = Array.from({ length: NUM_CHUNKS }, (_, i) => ({
		promptTokenIds: ids.slice(i * stride, i * stride + CHUNK_TOKENS),
	}));
	const outputs = await llm.generate(chunks, {
		maxTokens: 1,
		temperature: 0,
		promptLogprobs: 0,
		detokenize: false,
	});
	const scores = outputs.flatMap(({ promptLogprobs }) =>
		(promptLogprobs ?? []).flatMap((list) => list?.[0].logprob ?? []),
	);
	assert.equal(scores.length, NUM_CHUNKS * (CHUNK_TOKENS - 1));
	return scores;
}

const mean = (values: readonly number[]) =>
	values.reduce((sum, value) => sum + value, 0) / values.length;
const perplexity = (scores: readonly number[]) => Math.exp(-mean(scores));

let stored: number[];
before(async () => {
	stored = await score(null);
});

test("the model as stored has learned something", (t) => {
	const value = perplexity(stored);
	t.diagnostic(`perplexity ${value.toFixed(3)}`);
	assert.ok(value > 1 && value < 100, `${value}`);
});

// A small model that is too sure of itself may even gain perplexity by a little noise; the change of each token's logprob tells more.
for (const [quantization, share, change] of [
	["q8_0", 0.005, 0.1],
	["q4_0", 0.06, 0.6],
] as const)
	test(`${quantization}: less than ${share * 100} % more perplexity, logprobs change by less than ${change}`, async (t) => {
		const quantized = await score(quantization);
		const more = perplexity(quantized) / perplexity(stored) - 1;
		const squares = quantized.map((value, i) => (value - stored[i]) ** 2);
		const rms = Math.sqrt(mean(squares));
		t.diagnostic(
			`perplexity ${perplexity(quantized).toFixed(3)}, ${(100 * more).toFixed(2)} % more than as stored; change ${rms.toFixed(3)}`,
		);
		assert.ok(more < share, `${100 * more} % more perplexity`);
		assert.ok(rms > 0.001 && rms < change, `logprobs change by ${rms}`);
	});
