/** What becomes of parameters before they reach the engine: defaults, the odd values allowed, texts as ids. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	ENGINE_DEFAULTS,
	resolveEngineConfig,
	resolveSamplingParams,
	SAMPLING_DEFAULTS,
	show,
} from "../../src/config.ts";
import {
	type ModelFacts,
	sequenceParams,
} from "../../src/engine/sequence-params.ts";

const facts: ModelFacts = {
	vocabSize: 100,
	maxModelLen: 50,
	maxLogprobs: -1,
	eosTokenIds: [7, 8],
	encode: null,
};
const made = (
	input: Parameters<typeof resolveSamplingParams>[0],
	changes: Partial<ModelFacts> = {},
) => sequenceParams(resolveSamplingParams(input), 10, { ...facts, ...changes });

test("nothing said, and undefined said, are the defaults", () => {
	assert.deepEqual(resolveSamplingParams({}), SAMPLING_DEFAULTS);
	assert.deepEqual(resolveEngineConfig({}), ENGINE_DEFAULTS);
	const unsaid = { temperature: undefined, stop: undefined, n: undefined };
	assert.deepEqual(resolveSamplingParams(unsaid), SAMPLING_DEFAULTS);
	assert.deepEqual(resolveEngineConfig({ seed: undefined }), ENGINE_DEFAULTS);
});

test("one stop string may stand alone; tiny temperatures count as 0.01", () => {
	assert.deepEqual(resolveSamplingParams({ stop: "x" }).stop, ["x"]);
	for (const [given, taken] of [
		[0, 0],
		[1e-9, 0.01],
		[0.005, 0.01],
		[0.01, 0.01],
		[0.3, 0.3],
	])
		assert.equal(
			resolveSamplingParams({ temperature: given }).temperature,
			taken,
		);
});

test("the edges of every range are inside", () => {
	for (const edge of [
		{ topP: 1 },
		{ topP: 1e-300 },
		{ topK: -1 },
		{ topK: 0 },
		{ minP: 0 },
		{ minP: 1 },
		{ presencePenalty: -2, frequencyPenalty: 2 },
		{ repetitionPenalty: 1e-9 },
		{ minTokens: 5, maxTokens: 5 },
		{ minTokens: 5, maxTokens: null },
		{ logitBias: { 0: -Infinity, 5: 1e6, 6: -1e6 } },
		{ logprobs: 0, promptLogprobs: -1 },
		{ seed: Number.MAX_SAFE_INTEGER },
		{ n: 16_384 },
	])
		assert.doesNotThrow(() => resolveSamplingParams(edge), show(edge));
	for (const edge of [
		{ blockSize: 1 },
		{ blockSize: 1024 },
		{ maxNumSeqs: 1, maxNumBatchedTokens: 1 },
		{ gpuMemoryUtilization: 1 },
		{ maxLogprobs: -1 },
	])
		assert.doesNotThrow(() => resolveEngineConfig(edge), show(edge));
});

test("output ends where the context does", () => {
	assert.equal(made({}).maxOutputTokens, 16);
	assert.equal(made({ maxTokens: null }).maxOutputTokens, 40);
	assert.equal(made({ maxTokens: 39 }).maxOutputTokens, 39);
	assert.equal(made({ maxTokens: 41 }).maxOutputTokens, 40);
});

test("ignoreEos leaves no end-of-sequence, stop tokens stay", () => {
	assert.deepEqual(made({}).eosTokenIds, [7, 8]);
	const ignoring = made({ ignoreEos: true, stopTokenIds: [8] });
	assert.deepEqual(ignoring.eosTokenIds, []);
	assert.deepEqual(ignoring.stopTokenIds, [8]);
});

test("biases and allowed ids as arrays and bits", () => {
	const { biasTokens, biasValues, allowedMask } = made({
		logitBias: { 99: 1.5, 0: -Infinity },
		allowedTokenIds: [0, 31, 32, 99, 99],
	});
	assert.deepEqual([...biasTokens], [0, 99]);
	assert.deepEqual([...biasValues], [-Infinity, 1.5]);
	assert.deepEqual([...(allowedMask ?? [])], [0x80000001, 1, 0, 8]);
	assert.equal(made({}).allowedMask, null);
});

test("bad words: as at the start of a text and as after a space, where that is one other token", () => {
	const table: Record<string, number[]> = {
		cat: [1],
		" cat": [2],
		hyphen: [3, 4],
		" hyphen": [5, 4],
		same: [6],
		" same": [6],
		split: [7],
		" split": [8, 9],
		strange: [100],
		" strange": [10],
		both: [100, 3],
		" both": [101, 3],
		"": [],
		" ": [11],
	};
	const words = (badWords: string[]) =>
		made({ badWords }, { encode: (text) => table[text] }).badWordIds;
	assert.deepEqual(words(["cat"]), [[1], [2]]);
	assert.deepEqual(words([" cat"]), [[1], [2]], "leading spaces mean nothing");
	assert.deepEqual(words(["hyphen"]), [
		[3, 4],
		[5, 4],
	]);
	assert.deepEqual(words(["same"]), [[6]]);
	assert.deepEqual(words(["split"]), [[7]]);
	assert.deepEqual(words(["  "]), [], "spaces alone are no word");
	assert.deepEqual(words(["strange"]), [[10]], "no logit, nothing to forbid");
	assert.deepEqual(words(["both", "cat"]), [[1], [2]]);
});

test("values in messages are cut to a line", () => {
	assert.equal(show("x"), '"x"');
	assert.equal(show([1, 2]), "[1,2]");
	assert.equal(show(undefined), "undefined");
	assert.equal(show(5n), "5");
	assert.equal(show(Symbol("s")), "Symbol(s)");
	assert.ok(show("y".repeat(500)).length <= 80);
});
