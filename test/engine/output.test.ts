/** The collector: what a user sees of tokens, stop strings, logprobs and ends. Its text streams are a table of token texts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	resolveSamplingParams,
	type SamplingParamsInput,
} from "../../src/config.ts";
import {
	type CompletionDelta,
	createCollector,
	type RequestOutput,
} from "../../src/engine/output.ts";
import type { LogprobEntry } from "../../src/engine/request.ts";
import type { FinishReason } from "../../src/engine/sequence.ts";
import { makeSequence } from "../support/sequences.ts";

const TEXTS = ["zero ", "one ", "two ", "th", "ree", "½", "</s>", "ree"];
/** Half a character: held until the next token. */
const HALF = 5;
/** The end of a word and half a character. */
const WORD_AND_HALF = 7;

function textStream() {
	let held = "";
	return {
		push(token: number) {
			const text = held + TEXTS[token];
			held = token === HALF ? text : token === WORD_AND_HALF ? "½" : "";
			return token === HALF ? "" : text;
		},
		finish: () => held,
	};
}

function collect(input: SamplingParamsInput, withText = true) {
	const params = resolveSamplingParams(input);
	const deltas: CompletionDelta[] = [];
	let result: Pick<
		RequestOutput,
		"outputs" | "promptLogprobs" | "numCachedTokens"
	> | null = null;
	let error: Error | null = null;
	let numDone = 0;
	const sink = createCollector({
		requestId: "r",
		params,
		createTextStream: withText ? textStream : null,
		tokenText: (id) => TEXTS[id],
		onDelta: (delta) => deltas.push(delta),
		onDone: (done) => {
			result = done;
			numDone++;
		},
		onError: (e) => {
			error = e;
			numDone++;
		},
	});
	const seqs = Array.from({ length: params.n }, (_, index) =>
		makeSequence([1, 2, 3], {}, { index }),
	);
	return {
		sink,
		seqs,
		deltas,
		token(
			id: number,
			options: {
				isStop?: boolean;
				index?: number;
				logprobs?: LogprobEntry[];
			} = {},
		) {
			const { isStop = false, index = 0, logprobs = null } = options;
			return sink.onToken(seqs[index], id, isStop, logprobs);
		},
		finish(
			reason: FinishReason,
			stopReason: number | string | null = null,
			index = 0,
		) {
			seqs[index].status = { kind: "finished", reason, stopReason };
			sink.onFinish(seqs[index]);
		},
		fail(e: Error, index = 0) {
			seqs[index].status = { kind: "failed", error: e };
			sink.onFinish(seqs[index]);
		},
		get result() {
			assert.equal(numDone, 1, "told once");
			assert.ok(result, "it ended well");
			return result as NonNullable<typeof result>;
		},
		get error() {
			assert.equal(numDone, 1, "told once");
			return error as Error | null;
		},
		text: (index = 0) =>
			deltas
				.filter((d) => d.index === index)
				.map((d) => d.text)
				.join(""),
	};
}

test("text, tokens and end of a plain request; the deltas add up to it", () => {
	const c = collect({});
	for (const id of [1, 2, 0]) assert.equal(c.token(id), null);
	c.finish("length");
	assert.deepEqual(c.result.outputs, [
		{
			index: 0,
			text: "one two zero ",
			tokenIds: [1, 2, 0],
			cumulativeLogprob: null,
			logprobs: null,
			finishReason: "length",
			stopReason: null,
		},
	]);
	assert.equal(c.result.promptLogprobs, null);
	assert.equal(c.text(), "one two zero ");
	assert.deepEqual(
		c.deltas.map((d) => [d.tokenIds.length, d.finishReason]),
		[
			[1, null],
			[1, null],
			[1, null],
			[0, "length"],
		],
	);
});

test("a stop string over two tokens: held back, cut, named; all tokens stay", () => {
	const c = collect({ stop: "three" });
	assert.equal(c.token(1), null);
	assert.equal(c.token(3), null);
	assert.equal(c.text(), "one ", "what could become the stop is held back");
	assert.equal(c.token(4), "three");
	c.finish("stop", "three");
	const [output] = c.result.outputs;
	assert.equal(output.text, "one ");
	assert.deepEqual(output.tokenIds, [1, 3, 4]);
	assert.equal(output.stopReason, "three");
	assert.equal(c.text(), "one ");
});

test("includeStopStrInOutput keeps the stop string, and a stop token's text", () => {
	const c = collect({ stop: ["three"], includeStopStrInOutput: true });
	c.token(3);
	assert.equal(c.token(4), "three");
	c.finish("stop", "three");
	assert.equal(c.result.outputs[0].text, "three");
	for (const [includeStopStrInOutput, text] of [
		[true, "one </s>"],
		[false, "one "],
	] as const) {
		const d = collect({ includeStopStrInOutput });
		d.token(1);
		d.token(6, { isStop: true });
		d.finish("stop", 6);
		assert.equal(d.result.outputs[0].text, text);
		assert.deepEqual(d.result.outputs[0].tokenIds, [1, 6]);
		assert.equal(d.text(), text);
	}
});

test("half a character behind the stop string is not text", () => {
	const c = collect({ stop: ["three"] });
	c.token(3);
	assert.equal(c.token(WORD_AND_HALF), "three");
	c.finish("stop", "three");
	assert.equal(c.result.outputs[0].text, "");
	assert.equal(c.text(), "");
});

test("what was held back comes out when something else ends the text", () => {
	for (const reason of ["length", "abort", "stop"] as const) {
		const c = collect({ stop: ["three"] });
		c.token(1);
		c.token(3);
		c.token(HALF);
		if (reason === "stop") c.token(6, { isStop: true });
		c.finish(reason);
		assert.equal(c.result.outputs[0].text, "one th½", reason);
		assert.equal(c.text(), "one th½", reason);
	}
});

test("no stop string ends within minTokens; one that ends behind them counts whole", () => {
	const c = collect({ stop: ["one", "three"], minTokens: 2 });
	assert.equal(c.token(1), null);
	assert.equal(c.token(3), null);
	assert.equal(c.token(4), "three");
	c.finish("stop", "three");
	assert.equal(c.result.outputs[0].text, "one ");
	const d = collect({ stop: ["one"], minTokens: 1 });
	assert.equal(d.token(1), null);
	assert.equal(d.token(1), "one");
});

test("without a tokenizer there is no text, and stop tokens end all the same", () => {
	const c = collect({ detokenize: false }, false);
	c.token(1);
	c.token(6, { isStop: true });
	c.finish("stop", 6);
	assert.equal(c.result.outputs[0].text, "");
	assert.deepEqual(c.result.outputs[0].tokenIds, [1, 6]);
});

const entry = (tokenId: number, logprob: number, rank: number) => ({
	tokenId,
	logprob,
	rank,
});

test("logprobs: best first, the chosen one always there and only once, with texts and their sum", () => {
	const c = collect({ logprobs: 2 });
	const best = [entry(1, -0.5, 1), entry(2, -1, 2)];
	c.token(0, { logprobs: [entry(0, -3, 4), ...best] });
	c.token(2, { logprobs: [entry(2, -1, 2), ...best] });
	c.finish("length");
	const [output] = c.result.outputs;
	assert.deepEqual(output.logprobs, [
		[
			{ tokenId: 1, logprob: -0.5, rank: 1, token: "one " },
			{ tokenId: 2, logprob: -1, rank: 2, token: "two " },
			{ tokenId: 0, logprob: -3, rank: 4, token: "zero " },
		],
		[
			{ tokenId: 1, logprob: -0.5, rank: 1, token: "one " },
			{ tokenId: 2, logprob: -1, rank: 2, token: "two " },
		],
	]);
	assert.equal(output.cumulativeLogprob, -4);
	assert.deepEqual(
		c.deltas.flatMap((d) => d.logprobs ?? []),
		output.logprobs,
	);
});

test("logprobs: 0 gives the chosen token's alone", () => {
	const c = collect({ logprobs: 0 });
	c.token(2, { logprobs: [entry(2, -1, 2)] });
	c.finish("length");
	assert.deepEqual(c.result.outputs[0].logprobs, [
		[{ tokenId: 2, logprob: -1, rank: 2, token: "two " }],
	]);
	assert.equal(c.result.outputs[0].cumulativeLogprob, -1);
});

test("prompt logprobs stand at their positions, the first is null", () => {
	const c = collect({ promptLogprobs: 1 });
	c.sink.onPromptLogprobs(2, [entry(3, -2, 2), entry(4, -1, 1)]);
	c.sink.onPromptLogprobs(1, [entry(2, -1, 1), entry(2, -1, 1)]);
	c.finish("length");
	assert.deepEqual(
		c.result.promptLogprobs?.map((each) => each?.map((e) => e.tokenId)),
		[undefined, [2], [4, 3]],
	);
});

test("n outputs grow apart, end apart, and the request ends with the last", () => {
	const c = collect({ n: 3, stop: ["one"] });
	c.token(0, { index: 1 });
	c.token(2, { index: 0 });
	assert.equal(c.token(1, { index: 2 }), "one");
	c.finish("stop", "one", 2);
	c.finish("length", null, 0);
	c.finish("abort", null, 1);
	const { outputs } = c.result;
	assert.deepEqual(
		outputs.map((o) => [o.index, o.text, o.finishReason]),
		[
			[0, "two ", "length"],
			[1, "zero ", "abort"],
			[2, "", "stop"],
		],
	);
	for (const o of outputs) assert.equal(c.text(o.index), o.text);
});

test("one failed output fails the request, once, with the first error", () => {
	const c = collect({ n: 3 });
	c.finish("length", null, 0);
	c.fail(new Error("first"), 2);
	c.fail(new Error("second"), 1);
	assert.equal(c.error?.message, "first");
});
