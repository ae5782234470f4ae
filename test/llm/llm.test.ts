/** The library as a user meets it: text in, text out, streams, stops, aborts, logprobs, counts. On a tiny model with a real tokenizer. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { after, before, test } from "node:test";
import type {
	CompletionDelta,
	RequestOutput,
} from "../../src/engine/output.ts";
import type { GenerateProgress, LLM } from "../../src/index.ts";
import {
	CHAT_TEMPLATE,
	EOS,
	json,
	loadText,
	TEXT_CONFIG,
	textFiles,
	VOCAB_SIZE,
} from "../support/text-model.ts";

let llm: LLM;
before(async () => {
	llm = await loadText({ maxLogprobs: -1, seed: 5 });
});
after(() => llm.close());

const greedy = { temperature: 0, maxTokens: 24, ignoreEos: true };
const one = async (
	...args: Parameters<LLM["generate"]>
): Promise<RequestOutput> => (await llm.generate(...args))[0];

async function drain(stream: ReturnType<LLM["stream"]>) {
	const deltas: CompletionDelta[] = [];
	for (;;) {
		const { value, done } = await stream.next();
		if (done) return { deltas, result: value };
		deltas.push(value);
	}
}

function assertIdle(): void {
	const stats = llm.stats();
	assert.equal(stats.numRequestsRunning + stats.numRequestsWaiting, 0);
	assert.equal(stats.kvCacheUsage, 0);
}

test("a prompt as text, in an object and as token ids gives the same", async () => {
	const text = "Once upon a time";
	const promptTokenIds = llm.tokenizer.encode(text);
	const [a] = await llm.generate(text, greedy);
	const [b] = await llm.generate({ prompt: text }, greedy);
	const [c] = await llm.generate({ promptTokenIds }, greedy);
	const [d] = await llm.generate(
		{ promptTokenIds: Int32Array.from(promptTokenIds) },
		greedy,
	);
	for (const { outputs, promptTokenIds: ids } of [b, c, d]) {
		assert.deepEqual(outputs, a.outputs);
		assert.deepEqual(ids, promptTokenIds);
	}
	assert.deepEqual(
		[a, b, c, d].map((r) => r.prompt),
		[text, text, null, null],
	);
	assert.ok(a.outputs[0].text.length > 0);
	assert.equal(new Set([a, b, c, d].map((r) => r.requestId)).size, 4);
});

test("the text is what decoding prompt and output together adds to the prompt", async () => {
	for (const tokenizer of ["qwen2", "llama2", "llama3", "gemma"]) {
		await using other = await loadText({}, await textFiles(tokenizer));
		for (const prompt of ["Once", "日本", "a\u{1F600}b", " leading"]) {
			const [result] = await other.generate(prompt, greedy);
			const { decode } = other.tokenizer;
			const { outputs, promptTokenIds } = result;
			const { text, tokenIds } = outputs[0];
			assert.equal(
				decode(promptTokenIds) + text,
				decode([...promptTokenIds, ...tokenIds]),
				tokenizer,
			);
		}
	}
});

test("a text gets the tokenizer's BOS, a rendered chat brings its own", async () => {
	const files = await textFiles("llama3");
	const template = `{{ bos_token }}${CHAT_TEMPLATE}`;
	const config = JSON.parse(
		new TextDecoder().decode(files.get("tokenizer_config.json")),
	);
	files.set(
		"tokenizer_config.json",
		json({ ...config, chat_template: template }),
	);
	await using llama = await loadText({}, files);
	const { bosTokenId } = llama.tokenizer;
	assert.notEqual(bosTokenId, undefined);
	const [plain] = await llama.generate("Hi", greedy);
	const [chat] = await llama.chat([{ role: "user", content: "Hi" }], greedy);
	for (const { promptTokenIds } of [plain, chat]) {
		assert.equal(promptTokenIds[0], bosTokenId);
		assert.equal(promptTokenIds.filter((id) => id === bosTokenId).length, 1);
	}
});

test("many prompts come back in their order, each as alone, with its own parameters", async () => {
	const prompts = Array.from({ length: 20 }, (_, i) => `Prompt ${i} of many`);
	const params = prompts.map((_, i) => ({
		...greedy,
		maxTokens: 1 + ((i * 7) % 11),
	}));
	const all = await llm.generate(prompts, params);
	assert.deepEqual(
		all.map((r) => r.prompt),
		prompts,
	);
	assert.deepEqual(
		all.map((r) => r.outputs[0].tokenIds.length),
		params.map((p) => p.maxTokens),
	);
	const alone = await one(prompts[13], params[13]);
	assert.deepEqual(all[13].outputs, alone.outputs);
	assert.deepEqual(await llm.generate([], greedy), []);
	assertIdle();
});

test("chat renders the template once, with the generation prompt and no second BOS", async () => {
	const messages = [
		{ role: "system", content: "Be brief." },
		{ role: "user", content: "Hi" },
	];
	const rendered =
		"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
	const [result] = await llm.chat(messages, greedy);
	assert.equal(result.prompt, rendered);
	assert.deepEqual(
		result.promptTokenIds,
		llm.tokenizer.encode(rendered, { addSpecialTokens: false }),
	);
	const plain = await one(rendered, greedy);
	assert.deepEqual(result.outputs, plain.outputs);
	const both = await llm.chat([messages, messages.slice(1)], greedy);
	assert.equal(both.length, 2);
	assert.deepEqual(both[0].outputs, result.outputs);
	assert.notEqual(both[1].prompt, rendered);
	const [open] = await llm.chat(messages, greedy, {
		template: { addGenerationPrompt: false },
	});
	assert.ok(open.prompt?.endsWith("Hi<|im_end|>\n"));
	const { result: streamed } = await drain(llm.streamChat(messages, greedy));
	assert.deepEqual(streamed.outputs, result.outputs);
	assert.equal(streamed.prompt, rendered);
});

test("a stream's deltas add up to what generate gives", async () => {
	const params = { temperature: 1, seed: 3, maxTokens: 20, logprobs: 2, n: 3 };
	const expected = await one("Tell me", { ...params, stop: [" the"] });
	const { deltas, result } = await drain(
		llm.stream("Tell me", { ...params, stop: [" the"] }),
	);
	assert.deepEqual(result.outputs, expected.outputs);
	for (const output of expected.outputs) {
		const mine = deltas.filter((d) => d.index === output.index);
		assert.equal(mine.map((d) => d.text).join(""), output.text);
		assert.deepEqual(
			mine.flatMap((d) => d.tokenIds),
			output.tokenIds,
		);
		assert.deepEqual(
			mine.flatMap((d) => d.logprobs ?? []),
			output.logprobs,
		);
		assert.deepEqual(
			mine.map((d) => d.finishReason).filter((r) => r !== null),
			[output.finishReason],
			"told once, by the last delta",
		);
		assert.equal(mine.at(-1)?.finishReason, output.finishReason);
		assert.equal(mine.at(-1)?.stopReason, output.stopReason);
		assert.ok(mine.every((d) => d.requestId === result.requestId));
	}
});

test("streams give tokens as they are made, not all at the end", async () => {
	const stream = llm.stream("Hello", { ...greedy, maxTokens: 100 });
	await stream.next();
	assert.equal(llm.stats().numRequestsRunning, 1);
	await drain(stream);
	assertIdle();
});

test("leaving a stream aborts its request and frees its blocks", async () => {
	let numTokens = 0;
	for await (const { tokenIds } of llm.stream("Hello", {
		...greedy,
		maxTokens: 200,
		n: 2,
	})) {
		numTokens += tokenIds.length;
		if (numTokens >= 5) break;
	}
	assertIdle();
	const before = llm.stats().numGenerationTokens;
	await llm.generate("after", { ...greedy, maxTokens: 2 });
	assert.equal(llm.stats().numGenerationTokens, before + 2);
	// A stream nobody reads from starts nothing.
	llm.stream("never", greedy);
	assertIdle();
});

test("a signal ends generate and stream with its reason, at once and later", async () => {
	const reason = new Error("enough");
	const signal = AbortSignal.abort(reason);
	await assert.rejects(llm.generate("x", greedy, { signal }), reason);
	await assert.rejects(llm.stream("x", greedy, { signal }).next(), reason);
	for (const method of ["generate", "stream"] as const) {
		const controller = new AbortController();
		const options = { signal: controller.signal };
		const long = { ...greedy, maxTokens: 200 };
		const call =
			method === "generate"
				? llm.generate(["a", "b"], long, options)
				: drain(llm.stream("a", long, options));
		setTimeout(() => controller.abort(reason), 10);
		await assert.rejects(call, reason);
		assertIdle();
	}
	const { signal: quiet } = new AbortController();
	await llm.generate(["a", "b"], greedy, { signal: quiet });
	await drain(llm.stream("a", greedy, { signal: quiet }));
	assert.equal(getEventListeners(quiet, "abort").length, 0, "none is left");
	const controller = new AbortController();
	await assert.rejects(
		llm.generate(
			"a",
			{ ...greedy, maxTokens: 200 },
			{
				signal: controller.signal,
				progress: () => controller.abort(reason),
			},
		),
		reason,
		"a signal that fires within progress",
	);
	assertIdle();
});

test("abort(requestId) ends with what there is", async () => {
	const stream = llm.stream("Hello", { ...greedy, maxTokens: 200 });
	const seen: CompletionDelta[] = [];
	let result: RequestOutput | undefined;
	for (;;) {
		const { value, done } = await stream.next();
		if (done) {
			result = value;
			break;
		}
		seen.push(value);
		if (seen.length === 4) llm.abort(value.requestId);
	}
	const [output] = result.outputs;
	assert.equal(output.finishReason, "abort");
	assert.equal(output.stopReason, null);
	assert.ok(output.tokenIds.length >= 4 && output.tokenIds.length < 10);
	const whole = await one("Hello", { ...greedy, maxTokens: 200 });
	const n = output.tokenIds.length;
	assert.deepEqual(output.tokenIds, whole.outputs[0].tokenIds.slice(0, n));
	assert.ok(
		whole.outputs[0].text.startsWith(output.text.replace(/\uFFFD+$/, "")),
	);
	llm.abort("nobody");
	assertIdle();
});

/** Samples `token` first and nothing but `others` after. */
const forced = (token: number, minTokens = 0) => ({
	temperature: 0,
	logitBias: { [token]: 1000 },
	minTokens,
	maxTokens: 6,
});

test("end-of-sequence: in the tokens, not in the text, reason stop", async () => {
	const { outputs } = await one("Hi", forced(EOS));
	assert.deepEqual(outputs[0], {
		index: 0,
		text: "",
		tokenIds: [EOS],
		cumulativeLogprob: null,
		logprobs: null,
		finishReason: "stop",
		stopReason: null,
	});
	const later = await one("Hi", forced(EOS, 3));
	assert.equal(later.outputs[0].tokenIds.length, 4);
	assert.equal(later.outputs[0].tokenIds[3], EOS);
	const ignored = await one("Hi", { ...forced(EOS), ignoreEos: true });
	assert.deepEqual(ignored.outputs[0].tokenIds, new Array(6).fill(EOS));
	assert.equal(ignored.outputs[0].finishReason, "length");
	assert.equal(ignored.outputs[0].text, "", "a special token is skipped");
	const shown = await one("Hi", {
		...forced(EOS),
		maxTokens: 2,
		ignoreEos: true,
		skipSpecialTokens: false,
	});
	assert.equal(shown.outputs[0].text, "<|im_end|><|im_end|>");
});

test("stop tokens: named as the reason; their text only where wanted", async () => {
	const [word] = llm.tokenizer.encode(" the");
	const params = { ...forced(word), stopTokenIds: [word] };
	const { outputs } = await one("Hi", params);
	assert.deepEqual(outputs[0].tokenIds, [word]);
	assert.equal(outputs[0].text, "");
	assert.equal(outputs[0].finishReason, "stop");
	assert.equal(outputs[0].stopReason, word);
	const included = await one("Hi", { ...params, includeStopStrInOutput: true });
	assert.equal(included.outputs[0].text, llm.tokenizer.tokenText(word));
});

test("stop strings cut the text where they begin, tokens stay whole", async () => {
	const whole = (await one("Once upon", { ...greedy, maxTokens: 60 }))
		.outputs[0];
	let numStopped = 0;
	for (let at = 3; at + 4 < whole.text.length; at += 9) {
		const stop = whole.text.slice(at, at + 4);
		if (/[\uD800-\uDFFF\uFFFD]/.test(stop)) continue;
		for (const includeStopStrInOutput of [false, true]) {
			const { outputs } = await one("Once upon", {
				...greedy,
				maxTokens: 60,
				stop: [stop, "never seen anywhere"],
				includeStopStrInOutput,
			});
			const [output] = outputs;
			const end = whole.text.indexOf(stop);
			assert.equal(
				output.text,
				whole.text.slice(0, end + (includeStopStrInOutput ? 4 : 0)),
			);
			assert.equal(output.finishReason, "stop");
			assert.equal(output.stopReason, stop);
			const n = output.tokenIds.length;
			assert.deepEqual(output.tokenIds, whole.tokenIds.slice(0, n));
			assert.ok(llm.tokenizer.decode(output.tokenIds).includes(stop) || n > 0);
			numStopped++;
		}
	}
	assert.ok(numStopped >= 6);
	const unstopped = await one("Once upon", {
		...greedy,
		maxTokens: 60,
		stop: "never seen",
	});
	assert.deepEqual(unstopped.outputs[0].text, whole.text);
	assert.equal(unstopped.outputs[0].finishReason, "length");
});

test("bad words are texts: neither at the start nor after a space do they come", async () => {
	const { encode, tokenText } = llm.tokenizer;
	// A word that is one token in both places.
	const word = Array.from({ length: VOCAB_SIZE }, (_, id) =>
		tokenText(id),
	).find(
		(w) =>
			/^[a-z]{2,}$/.test(w) &&
			encode(w).length === 1 &&
			encode(` ${w}`).length === 1,
	) as string;
	const [plain, spaced] = [encode(word)[0], encode(` ${word}`)[0]];
	assert.notEqual(plain, spaced);
	const params = {
		...greedy,
		maxTokens: 3,
		logitBias: { [plain]: 500, [spaced]: 400 },
	};
	const free = await one("Hi", params);
	assert.deepEqual(free.outputs[0].tokenIds, [plain, plain, plain]);
	const { outputs } = await one("Hi", { ...params, badWords: [word] });
	assert.ok(!outputs[0].tokenIds.includes(plain));
	assert.ok(!outputs[0].tokenIds.includes(spaced));
});

test("bad words of several tokens: the last is forbidden only behind the others", async () => {
	const [a, b] = llm.tokenizer.encode("xq");
	assert.equal(llm.tokenizer.encode("xq").length, 2);
	// Left alone it says b for ever.
	const params = {
		...greedy,
		maxTokens: 6,
		logitBias: { [a]: 400, [b]: 500 },
	};
	const free = await one("Hi", { ...params, badWords: ["qq"] });
	assert.deepEqual(free.outputs[0].tokenIds, [b, a, b, a, b, a]);
	const banned = await one("Hi", { ...params, badWords: ["qq", "xq"] });
	assert.deepEqual(banned.outputs[0].tokenIds, [b, a, a, a, a, a]);
});

test("maxTokens: 16 unsaid, null up to maxModelLen, never beyond", async () => {
	const { outputs } = await one("Hi", { temperature: 0, ignoreEos: true });
	assert.equal(outputs[0].tokenIds.length, 16);
	for (const maxTokens of [null, 1000]) {
		const r = await one("Hi", { ...greedy, maxTokens });
		assert.equal(
			r.outputs[0].tokenIds.length,
			llm.maxModelLen - r.promptTokenIds.length,
		);
		assert.equal(r.outputs[0].finishReason, "length");
	}
	const promptTokenIds = new Array(255).fill(7);
	const last = await one({ promptTokenIds }, { ...greedy, maxTokens: null });
	assert.equal(last.outputs[0].tokenIds.length, 1);
});

test("detokenize: false gives ids and no text", async () => {
	const plain = await one("Hi", greedy);
	const { outputs } = await one("Hi", { ...greedy, detokenize: false });
	assert.equal(outputs[0].text, "");
	assert.deepEqual(outputs[0].tokenIds, plain.outputs[0].tokenIds);
});

test("logprobs: as many as asked and the chosen one, best first, sums and texts right", async () => {
	const params = { temperature: 2, seed: 1, maxTokens: 12, ignoreEos: true };
	const numEntries = new Set<number>();
	for (const logprobs of [0, 1, 3, -1]) {
		const { outputs } = await one("Hi", { ...params, logprobs });
		const [output] = outputs;
		assert.equal(output.logprobs?.length, 12);
		let sum = 0;
		output.logprobs?.forEach((entries, i) => {
			numEntries.add(entries.length);
			const k = logprobs === -1 ? VOCAB_SIZE : logprobs;
			assert.ok(entries.length === k || entries.length === k + 1);
			const chosen = entries.find((e) => e.tokenId === output.tokenIds[i]);
			assert.ok(chosen, "the chosen one is there");
			assert.equal(chosen.token, llm.tokenizer.tokenText(chosen.tokenId));
			sum += chosen.logprob;
			const ranks = entries.map((e) => e.rank);
			assert.deepEqual(
				ranks,
				ranks.toSorted((a, b) => a - b),
			);
			assert.equal(new Set(entries.map((e) => e.tokenId)).size, entries.length);
			for (let j = 1; j < entries.length; j++)
				assert.ok(entries[j - 1].logprob >= entries[j].logprob);
			if (logprobs === -1) {
				const mass = entries.reduce((m, e) => m + Math.exp(e.logprob), 0);
				assert.ok(Math.abs(mass - 1) < 1e-4);
			}
		});
		assert.ok(Math.abs((output.cumulativeLogprob ?? 0) - sum) < 1e-6);
	}
	assert.ok(numEntries.has(4), "some chosen token is not among the best three");
	const none = await one("Hi", params);
	assert.equal(none.outputs[0].logprobs, null);
	assert.equal(none.outputs[0].cumulativeLogprob, null);
});

test("prompt logprobs are complete and the same: fresh, cached before, chunked", async () => {
	const prompt =
		"A rather long prompt that fills several blocks, and then some more of it.";
	const params = { ...greedy, maxTokens: 4, promptLogprobs: 2 };
	llm.resetPrefixCache();
	const first = await one(prompt, params);
	const again = await one(prompt, params);
	const cached = await one(prompt, { ...greedy, maxTokens: 4 });
	assert.ok(cached.numCachedTokens > 0, "the prompt is cached by now");
	assert.equal(again.numCachedTokens, 0, "scoring computes the prompt anew");
	const { promptLogprobs, promptTokenIds } = first;
	assert.equal(promptLogprobs?.length, promptTokenIds.length);
	promptLogprobs?.forEach((entries, i) => {
		if (i === 0) assert.equal(entries, null);
		else assert.ok(entries?.some((e) => e.tokenId === promptTokenIds[i]));
	});
	assert.deepEqual(again.promptLogprobs, promptLogprobs);
	assert.deepEqual(again.outputs, first.outputs);
	assert.equal(cached.promptLogprobs, null);
	await using chunked = await loadText({
		maxNumSeqs: 3,
		maxNumBatchedTokens: 3,
	});
	const [small] = await chunked.generate(prompt, { ...params, n: 2 });
	assert.deepEqual(small.promptLogprobs, promptLogprobs);
	assert.deepEqual(small.outputs[1].tokenIds, first.outputs[0].tokenIds);
	const single = await one({ promptTokenIds: [5] }, params);
	assert.deepEqual(single.promptLogprobs, [null]);
});

test("numCachedTokens counts whole blocks, and caching changes nothing", async () => {
	llm.resetPrefixCache();
	const promptTokenIds = Array.from({ length: 30 }, (_, i) => 100 + i);
	const first = await one({ promptTokenIds }, greedy);
	const second = await one({ promptTokenIds }, greedy);
	const other = await one(
		{ promptTokenIds: [...promptTokenIds.slice(0, 13), 7] },
		greedy,
	);
	assert.deepEqual(
		[first, second, other].map((r) => r.numCachedTokens),
		[0, 28, 12],
	);
	assert.deepEqual(second.outputs, first.outputs);
	await using off = await loadText({ enablePrefixCaching: false, seed: 5 });
	for (let i = 0; i < 2; i++) {
		const [r] = await off.generate({ promptTokenIds }, greedy);
		assert.equal(r.numCachedTokens, 0);
		assert.deepEqual(r.outputs, first.outputs);
	}
});

test("metrics, progress and stats", async () => {
	const before = llm.stats();
	const reports: GenerateProgress[] = [];
	const results = await llm.generate(
		["a", "b c", "d e f"],
		{ ...greedy, maxTokens: 10 },
		{ progress: (p) => reports.push(p) },
	);
	for (const { metrics } of results) {
		const { arrivalMs, firstScheduledMs, firstTokenMs, finishedMs } = metrics;
		assert.ok(
			firstScheduledMs !== null && firstTokenMs !== null && finishedMs !== null,
		);
		assert.ok(
			arrivalMs <= firstScheduledMs && firstScheduledMs <= firstTokenMs,
		);
		assert.ok(firstTokenMs < finishedMs);
		assert.equal(metrics.numPreemptions, 0);
	}
	assert.ok(reports.length >= 3);
	assert.deepEqual(
		reports
			.map((r) => r.numFinished)
			.filter((n, i, all) => n !== all[i - 1] && n > 0),
		[1, 2, 3],
	);
	const last = reports.at(-1);
	const numPromptTokens = results.reduce(
		(n, r) => n + r.promptTokenIds.length,
		0,
	);
	assert.equal(last?.numRequests, 3);
	assert.equal(last?.numGenerationTokens, 30);
	assert.equal(last?.numPromptTokens, numPromptTokens);
	assert.ok((last?.elapsedMs ?? 0) > 0);
	const stats = llm.stats();
	assert.equal(stats.numGenerationTokens - before.numGenerationTokens, 30);
	assert.equal(
		stats.numSteps - before.numSteps,
		10,
		"one step a token for all three",
	);
	assert.ok(stats.numBlocks > 0);
	assertIdle();
});

test("progress that throws fails that call, and nobody else", async () => {
	const good = llm.generate("good", greedy);
	const boom = llm.generate("bad", greedy, {
		progress: () => {
			throw new Error("boom");
		},
	});
	await assert.rejects(boom, /boom/);
	assert.equal((await good)[0].outputs[0].tokenIds.length, 24);
	assertIdle();
});

test("calls from many sides at once do not mix", async () => {
	const prompts = Array.from({ length: 12 }, (_, i) => `Caller ${i}`);
	const alone: RequestOutput[] = [];
	for (const prompt of prompts) alone.push(await one(prompt, greedy));
	const together = await Promise.all(
		prompts.map(async (prompt, i) =>
			i % 2 === 0
				? one(prompt, greedy)
				: (await drain(llm.stream(prompt, greedy))).result,
		),
	);
	assert.deepEqual(
		together.map((r) => r.outputs),
		alone.map((r) => r.outputs),
	);
});

test("priority: with the policy, the smaller number is served first", async () => {
	await using served = await loadText({
		schedulingPolicy: "priority",
		maxNumSeqs: 1,
	});
	const order: number[] = [];
	await Promise.all(
		[3, 1, 2, 0].map(async (priority) => {
			await served.generate(`p${priority}`, greedy, { priority });
			order.push(priority);
		}),
	);
	assert.deepEqual(order, [0, 1, 2, 3]);
});

test("without parameters the model's own advice holds, with any it does not", async () => {
	const files = await textFiles();
	files.set(
		"generation_config.json",
		json({ temperature: 0, max_new_tokens: 5, eos_token_id: [901, 900] }),
	);
	await using advised = await loadText({}, files);
	assert.deepEqual(advised.defaultSamplingParams, {
		temperature: 0,
		maxTokens: 5,
	});
	const [a] = await advised.generate("Hi");
	const [b] = await advised.generate("Hi", { ...greedy, maxTokens: 5 });
	assert.ok(a.outputs[0].tokenIds.length <= 5);
	assert.deepEqual(
		a.outputs[0].tokenIds,
		b.outputs[0].tokenIds.slice(0, a.outputs[0].tokenIds.length),
	);
	const [c] = await advised.generate("Hi", { temperature: 0, ignoreEos: true });
	assert.equal(c.outputs[0].tokenIds.length, 16);
	files.set("config.json", json({ ...TEXT_CONFIG, eos_token_id: 899 }));
	await using many = await loadText({}, files);
	const eos = await many.generate(
		["x", "x", "x", "x"],
		[900, 901, 899, EOS].map((id) => forced(id)),
	);
	for (const { outputs } of eos) {
		assert.equal(outputs[0].tokenIds.length, 1, "every way to end is heeded");
		assert.equal(outputs[0].finishReason, "stop");
	}
});

test("a step can decode every running sequence, chunked prefill or not", async () => {
	for (const enableChunkedPrefill of [true, false]) {
		await using wide = await loadText({
			enableChunkedPrefill,
			maxNumSeqs: 300,
			maxModelLen: 100,
		});
		const prompts = Array.from({ length: 300 }, (_, i) => ({
			promptTokenIds: [i],
		}));
		await wide.generate(prompts, { ...greedy, maxTokens: 3 });
		assert.equal(wide.stats().numSteps, 3);
	}
});

test("what an LLM says of itself", async () => {
	assert.equal(llm.device, "reference");
	assert.equal(llm.modelName, "tiny");
	assert.equal(llm.maxModelLen, TEXT_CONFIG.max_position_embeddings);
	assert.equal(llm.modelConfig.vocabSize, VOCAB_SIZE);
	assert.deepEqual(llm.defaultSamplingParams, {});
	await using short = await loadText({ maxModelLen: 20 });
	assert.equal(short.maxModelLen, 20);
	const [r] = await short.generate("Hi", { ...greedy, maxTokens: null });
	assert.equal(r.promptTokenIds.length + r.outputs[0].tokenIds.length, 20);
});

test("loading tells how far it is, and `await using` closes", async () => {
	const reports: { loadedBytes: number; totalBytes: number }[] = [];
	let leaked: LLM;
	{
		await using llm = await loadText({ onProgress: (p) => reports.push(p) });
		leaked = llm;
	}
	const last = reports.at(-1);
	assert.ok(reports.length > 3);
	assert.equal(last?.loadedBytes, last?.totalBytes);
	for (let i = 1; i < reports.length; i++)
		assert.ok(reports[i].loadedBytes > reports[i - 1].loadedBytes);
	await assert.rejects(leaked.generate("x"), { code: "engine_closed" });
});

test("dummy weights need a config alone; the same seed gives the same model", async () => {
	const generate = async (seed: number) => {
		const files = new Map([["config.json", json(TEXT_CONFIG)]]);
		await using dummy = await loadText(
			{ loadFormat: "dummy", skipTokenizerInit: true, seed },
			files,
		);
		const [r] = await dummy.generate({ promptTokenIds: [1, 2, 3] }, greedy);
		return r.outputs[0].tokenIds;
	};
	assert.deepEqual(await generate(1), await generate(1));
	assert.notDeepEqual(await generate(1), await generate(2));
});

test("chat_template.jinja is read too", async () => {
	const files = await textFiles();
	files.set("tokenizer_config.json", json({ eos_token: "<|im_end|>" }));
	files.set("chat_template.jinja", new TextEncoder().encode(CHAT_TEMPLATE));
	await using chatty = await loadText({}, files);
	const [r] = await chatty.chat([{ role: "user", content: "Hi" }], greedy);
	assert.match(r.prompt ?? "", /^<\|im_start\|>user\nHi/);
});
