/** Adapters as a user meets them: many in one batch, loaded and unloaded while others generate. On a tiny model of the reference device. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestOutput } from "../../src/engine/output.ts";
import type { LLM, LoadOptions, LoraRequest } from "../../src/index.ts";
import type { ModelFiles } from "../../src/weights/source.ts";
import {
	ATTENTION,
	asAdapter,
	MLP,
	makeAdapter,
} from "../support/lora-adapter.ts";
import { loadText, textTensors } from "../support/text-model.ts";

const base = await textTensors();
const folders = [1, 2, 3].map((seed) =>
	asAdapter(
		makeAdapter(base, {
			modules: [...ATTENTION, ...MLP],
			rank: 2 + seed,
			alpha: 40,
			seed,
		}).files,
		`folder ${seed}`,
	),
);
const [one, two, three]: LoraRequest[] = folders.map((path, i) => ({
	name: `adapter ${i + 1}`,
	path,
}));

const open = (options: LoadOptions = {}): Promise<LLM> =>
	loadText({ enableLora: true, maxLoras: 3, maxLogprobs: -1, ...options });

const greedy = { temperature: 0, maxTokens: 12, ignoreEos: true, logprobs: 1 };
const PROMPT = "Once upon a time there was a fox";

/** What is the same whatever the batch. */
const told = ({ outputs, promptLogprobs }: RequestOutput) => ({
	outputs,
	promptLogprobs,
});

async function alone(
	prompt: string,
	loraRequest: LoraRequest | null,
	params = greedy,
) {
	await using llm = await open();
	return told((await llm.generate(prompt, params, { loraRequest }))[0]);
}

test("a batch of three adapters and none gives each what it gives alone, bit for bit", async () => {
	const prompts = [PROMPT, PROMPT, PROMPT, PROMPT, "A fox", "A fox"];
	const loraRequest = [one, null, two, three, null, two];
	const wanted = await Promise.all(
		prompts.map((prompt, i) => alone(prompt, loraRequest[i])),
	);
	const texts = new Set(wanted.slice(0, 4).map((it) => it.outputs[0].text));
	assert.equal(texts.size, 4, "each adapter says something else");
	for (const options of [
		{},
		{ maxLoras: 1, maxCpuLoras: 1 },
		{ maxLoras: 2, maxNumBatchedTokens: 8 },
		{ enablePrefixCaching: false },
		{ maxNumSeqs: 2 },
	]) {
		await using llm = await open(options);
		for (let round = 0; round < 2; round++) {
			const got = await llm.generate(prompts, greedy, { loraRequest });
			assert.deepEqual(got.map(told), wanted, JSON.stringify(options));
		}
	}
});

test("preempted requests go on through their own adapter", async () => {
	const loraRequest = [one, two, null, three, one];
	const params = { ...greedy, maxTokens: 30 };
	const wanted = await Promise.all(
		loraRequest.map((request) => alone(PROMPT, request, params)),
	);
	const bytesPerBlock = 2 * 2 * 8 * 4 * 4;
	await using llm = await open({
		maxModelLen: 60,
		kvCacheMemoryBytes: 24 * bytesPerBlock,
	});
	const prompts = loraRequest.map(() => PROMPT);
	const got = await llm.generate(prompts, params, { loraRequest });
	assert.deepEqual(got.map(told), wanted);
	assert.ok(llm.stats().numPreemptions > 0, "sequences are preempted");
});

test("cached prefixes are an adapter's own", async () => {
	await using llm = await open({ maxCpuLoras: 3 });
	const cached = async (loraRequest: LoraRequest | null) =>
		(await llm.generate(PROMPT, greedy, { loraRequest }))[0].numCachedTokens;
	assert.equal(await cached(one), 0);
	assert.equal(await cached(null), 0);
	assert.equal(await cached(two), 0);
	const hit = await cached(one);
	assert.ok(hit !== null && hit > 0);
	assert.equal(await cached(null), hit);
	llm.unloadLoraAdapter(one.name);
	assert.equal(await cached(one), 0, "loaded again it is another");
});

test("several outputs, streams and chats go through an adapter", async () => {
	await using llm = await open();
	const { outputs } = await alone(PROMPT, two);
	const [many] = await llm.generate(
		PROMPT,
		{ ...greedy, n: 2 },
		{ loraRequest: two },
	);
	for (const { text } of many.outputs) assert.equal(text, outputs[0].text);
	let text = "";
	for await (const delta of llm.stream(PROMPT, greedy, { loraRequest: two }))
		text += delta.text;
	assert.equal(text, outputs[0].text);
	const messages = [{ role: "user", content: "Hello" }];
	const chat = async (loraRequest: LoraRequest | null) => {
		const [whole] = await llm.chat(messages, greedy, { loraRequest });
		let streamed = "";
		const deltas = llm.streamChat(messages, greedy, { loraRequest });
		for await (const delta of deltas) streamed += delta.text;
		assert.equal(streamed, whole.outputs[0].text);
		return streamed;
	};
	assert.notEqual(await chat(one), await chat(null));
});

test("adapters are loaded and unloaded while others generate", async () => {
	await using llm = await open({ maxLoras: 1 });
	await llm.loadLoraAdapter("a", folders[0]);
	const params = { ...greedy, maxTokens: 40 };
	const wanted = await alone(PROMPT, one, params);
	const stream = llm.stream(PROMPT, params, { loraRequest: { name: "a" } });
	await stream.next();
	assert.deepEqual(llm.listLoraAdapters(), [
		{ name: "a", path: "folder 1", numRequests: 1 },
	]);
	await llm.loadLoraAdapter("b", folders[1]);
	const second = llm.generate(PROMPT, params, { loraRequest: { name: "b" } });
	llm.unloadLoraAdapter("a");
	await assert.rejects(
		llm.generate(PROMPT, params, { loraRequest: { name: "a" } }),
		{
			code: "adapter_not_found",
			message: /no adapter "a" is loaded. Loaded: b/,
		},
	);
	for (;;) {
		const { done, value } = await stream.next();
		if (!done) continue;
		assert.deepEqual(told(value), wanted, "it ends through its own adapter");
		break;
	}
	assert.deepEqual(told((await second)[0]), await alone(PROMPT, two, params));
	assert.deepEqual(
		llm.listLoraAdapters().map(({ name, numRequests }) => [name, numRequests]),
		[["b", 0]],
	);
	assert.throws(() => llm.unloadLoraAdapter("a"), {
		code: "adapter_not_found",
	});
});

/** The same folder, counting how often it is read. */
function counted(files: ModelFiles) {
	const result = {
		...files,
		reads: 0,
		open(path: string) {
			result.reads++;
			return files.open(path);
		},
	};
	return result;
}

test("an adapter is read once while it is kept, again when it had to go", async () => {
	const [a, b, c] = folders.map(counted);
	await using llm = await open({ maxLoras: 1, maxCpuLoras: 2 });
	const use = (...used: (typeof a)[]) =>
		llm.generate(
			used.map(() => "A fox"),
			greedy,
			{ loraRequest: used.map((path) => ({ name: path.label, path })) },
		);
	await use(a, a);
	const once = a.reads;
	await use(b);
	await use(a);
	assert.equal(a.reads, once);
	await use(c);
	await use(a);
	assert.equal(a.reads, once, "b was unused longest");
	await use(b);
	assert.equal(b.reads, 2 * once);
	await use(a, b, c, a);
	assert.equal(llm.listLoraAdapters().length, 3);
});

test("requests that cannot be are refused, and leave nothing behind", async () => {
	await using llm = await open();
	const refused = async (
		loraRequest: unknown,
		code: string,
		message: RegExp,
	): Promise<void> => {
		const options = { loraRequest: loraRequest as LoraRequest };
		const prompts = ["A fox", "A fox"];
		const said = { code, message };
		await assert.rejects(llm.generate(prompts, greedy, options), said);
	};
	await refused([one], "invalid_option", /1 loraRequests for 2 prompts/);
	await refused({ name: "" }, "invalid_option", /non-empty string/);
	await refused({ name: "x" }, "adapter_not_found", /Loaded: none/);
	await refused([one, { name: "x" }], "adapter_not_found", /no adapter "x"/);
	await refused(
		{ name: "x", path: "/no/such/folder" },
		"adapter_not_found",
		/adapter x: \/no\/such\/folder.*save_pretrained/,
	);
	await llm.loadLoraAdapter(one.name, folders[0]);
	await refused(
		{ ...one, path: folders[1] },
		"invalid_option",
		/was loaded from folder 1, not from folder 2/,
	);
	assert.deepEqual(llm.listLoraAdapters(), [
		{ name: one.name, path: "folder 1", numRequests: 0 },
	]);
	await using plain = await loadText();
	await assert.rejects(plain.generate("A fox", greedy, { loraRequest: one }), {
		code: "invalid_option",
		message: /enableLora/,
	});
	await assert.rejects(loadText({ maxLoras: 4, maxCpuLoras: 2 }), {
		code: "invalid_option",
		message: /maxCpuLoras is 2, less than maxLoras 4/,
	});
});

test("an abort while an adapter is read ends the request", async () => {
	await using llm = await open();
	const controller = new AbortController();
	const running = llm.generate("A fox", greedy, {
		loraRequest: one,
		signal: controller.signal,
	});
	controller.abort(new Error("enough"));
	await assert.rejects(running, /enough/);
	assert.equal(llm.listLoraAdapters()[0].numRequests, 0);
});

test("cached prefixes are a salt's own, with each adapter and with none", async () => {
	await using llm = await open({ maxCpuLoras: 3 });
	const ask = async (
		loraRequest: LoraRequest | null,
		cacheSalt: string | null,
		n = 1,
	) => {
		const options = { loraRequest, cacheSalt };
		const params = { ...greedy, n };
		const [output] = await llm.generate(PROMPT, params, options);
		return { text: output.outputs[0].text, cached: output.numCachedTokens };
	};
	const salts = [null, "a", "b"];
	for (const loraRequest of [null, one]) {
		const first = [];
		for (const salt of salts) first.push(await ask(loraRequest, salt, 2));
		assert.deepEqual(
			first.map(({ cached }) => cached),
			[0, 0, 0],
		);
		for (const [i, salt] of salts.entries()) {
			const { text, cached } = await ask(loraRequest, salt);
			assert.equal(text, first[i].text);
			assert.ok(cached !== null && cached > 0, `${salt}`);
		}
	}
	for (const wrong of ["", 5])
		await assert.rejects(ask(null, wrong as string), {
			code: "invalid_option",
			message: /cacheSalt must be a non-empty string/,
		});
});
