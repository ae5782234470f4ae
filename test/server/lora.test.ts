/** Adapters as models of a server: chosen by name, listed, counted, loaded and unloaded while it runs. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import type { LLM } from "../../src/index.ts";
import { run, temporaryFolder } from "../cli/command-line.ts";
import { ATTENTION, MLP, makeAdapter } from "../support/lora-adapter.ts";
import { loadText, textTensors } from "../support/text-model.ts";
import { MODEL, post, serve } from "./serving.ts";

const parent = temporaryFolder();
const base = await textTensors();

/** A folder as PEFT writes it. */
function writeAdapter(seed: number, rank = 4): string {
	const folder = join(parent, `adapter-${seed}`);
	const modules = [...ATTENTION, ...MLP];
	mkdirSync(folder);
	const { files } = makeAdapter(base, { modules, rank, alpha: 40, seed });
	for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
	return folder;
}

const one = { name: "one", path: writeAdapter(1) };
const two = { name: "two", path: writeAdapter(2) };
const wide = writeAdapter(3, 64);

let llm: LLM;
let url: string;
before(async () => {
	llm = await loadText({ enableLora: true, maxLoras: 1, maxCpuLoras: 2 });
	await llm.loadLoraAdapter(one.name, one.path);
	({ url } = await serve(llm, {
		apiKey: ["key"],
		allowRuntimeLoraUpdating: true,
	}));
});
after(() => llm.close());

const authorization = "Bearer key";
const greedy = { temperature: 0, ignore_eos: true, max_tokens: 8 };
const own = { temperature: 0, ignoreEos: true, maxTokens: 8 };
const send = (path: string, body: object) =>
	post(url + path, body, { authorization });
const get = async (path: string) =>
	await (await fetch(url + path, { headers: { authorization } })).json();

interface Refusal {
	readonly error: { message: string; param: string | null; code: string };
}

async function refused(response: Response, status: number, code: string) {
	const { error } = (await response.json()) as Refusal;
	assert.deepEqual([response.status, error.code], [status, code]);
	return error;
}

test("a request's model is the adapter it goes through, at every endpoint", async () => {
	const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "key" });
	const prompt = "Once upon a time";
	const messages = [{ role: "user" as const, content: prompt }];
	const loraRequest = { name: one.name };
	const texts = [];
	for (const [model, options] of [
		[MODEL, {}],
		[one.name, { loraRequest }],
	] as const) {
		const [wanted] = await llm.generate(prompt, own, options);
		const [said] = await llm.chat(messages, own, options);
		const completion = await client.completions.create({
			...greedy,
			model,
			prompt,
		} as OpenAI.CompletionCreateParamsNonStreaming);
		assert.equal(completion.model, model);
		assert.equal(completion.choices[0].text, wanted.outputs[0].text);
		const chat = await client.chat.completions.create({
			...greedy,
			model,
			messages,
		} as OpenAI.ChatCompletionCreateParamsNonStreaming);
		assert.equal(chat.choices[0].message.content, said.outputs[0].text);
		const response = await client.responses.create({
			...greedy,
			model,
			input: prompt,
			max_output_tokens: 8,
		} as OpenAI.Responses.ResponseCreateParamsNonStreaming);
		assert.equal(response.output_text, said.outputs[0].text);
		texts.push(wanted.outputs[0].text);
	}
	assert.notEqual(texts[0], texts[1], "the adapter says something else");
});

test("models are listed with what they were made of", async () => {
	const { data } = (await get("/v1/models")) as { data: object[] };
	assert.deepEqual(
		data.map((model) => ({ ...model, created: 0 })),
		[
			{ id: MODEL, root: llm.modelName, parent: null },
			{ id: one.name, root: one.path, parent: MODEL },
		].map((model) => ({
			...model,
			object: "model",
			created: 0,
			owned_by: "nano-vllm",
			max_model_len: llm.maxModelLen,
		})),
	);
	const card = (await get(`/v1/models/${one.name}`)) as { root: string };
	assert.equal(card.root, one.path);
	const body = { ...greedy, model: "three", prompt: "a" };
	const unknown = await send("/v1/completions", body);
	const { message } = await refused(unknown, 404, "model_not_found");
	assert.match(message, /Known: demo-model, one\./);
});

test("adapters come and go; a request that has one keeps it", async () => {
	const load = (name: string, path: string) =>
		send("/v1/load_lora_adapter", { lora_name: name, lora_path: path });
	const unload = (name: string) =>
		send("/v1/unload_lora_adapter", { lora_name: name });
	const ask = (max_tokens: number) =>
		send("/v1/completions", {
			...greedy,
			model: two.name,
			prompt: "Once",
			max_tokens,
		});
	assert.equal((await load(two.name, two.path)).status, 200);
	const running = ask(60);
	while (llm.stats().runningAdapters.length === 0)
		await new Promise((resolve) => setImmediate(resolve));
	assert.equal((await unload(two.name)).status, 200);
	assert.equal((await running).status, 200);
	await refused(await ask(1), 404, "model_not_found");
	await refused(await unload(two.name), 404, "adapter_not_found");
	for (const name of [MODEL, one.name]) {
		const taken = await refused(
			await load(name, two.path),
			400,
			"invalid_value",
		);
		assert.equal(taken.param, "lora_name");
	}
	const nowhere = await load("x", join(parent, "nowhere"));
	await refused(nowhere, 404, "adapter_not_found");
	await refused(await load("x", wide), 400, "invalid_adapter");
	const half = await send("/v1/load_lora_adapter", { lora_name: "x" });
	assert.equal((await refused(half, 400, "invalid_type")).param, "lora_path");
	assert.deepEqual(
		llm.listLoraAdapters().map(({ name, numRequests }) => [name, numRequests]),
		[[one.name, 0]],
	);
});

test("who may not load is told so", async () => {
	const body = { lora_name: "x", lora_path: one.path };
	const { url: closed } = await serve(llm);
	for (const path of ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"]) {
		await refused(await post(url + path, body), 401, "invalid_api_key");
		const answer = await post(closed + path, body);
		const told = await refused(answer, 403, "lora_updating_not_allowed");
		assert.match(told.message, /--allow-runtime-lora-updating/);
	}
	await using plain = await loadText();
	const { url: other } = await serve(plain, { allowRuntimeLoraUpdating: true });
	const answer = await post(`${other}/v1/load_lora_adapter`, body);
	await refused(answer, 400, "invalid_option");
});

test("the gauge names the adapters that run and those that wait", async () => {
	const gauge = async () => {
		const text = await (await fetch(`${url}/metrics`)).text();
		const [, line = ""] =
			/^vllm:lora_requests_info\{(.*)\} \S+$/m.exec(text) ?? [];
		return line.replace(/^.*?max_lora=/, "max_lora=");
	};
	const named = (running: string, waiting: string) =>
		`max_lora="1",running_lora_adapters="${running}",waiting_lora_adapters="${waiting}"`;
	assert.equal(await gauge(), named("", ""));
	await llm.loadLoraAdapter(two.name, two.path);
	const body = { ...greedy, prompt: "Once", max_tokens: 150 };
	const first = send("/v1/completions", { ...body, model: one.name });
	while (llm.stats().runningAdapters.length === 0)
		await new Promise((resolve) => setImmediate(resolve));
	const second = send("/v1/completions", { ...body, model: two.name });
	while (llm.stats().waitingAdapters.length === 0)
		await new Promise((resolve) => setImmediate(resolve));
	assert.equal(await gauge(), named(one.name, two.name));
	for (const answer of [await first, await second])
		assert.equal(answer.status, 200);
	assert.equal(await gauge(), named("", ""));
	llm.unloadLoraAdapter(two.name);
});

test("wrong flags are told before a model is loaded", async () => {
	const module = ["--lora-modules", `one=${one.path}`];
	for (const [flags, wanted] of [
		[["--allow-runtime-lora-updating"], /add --enable-lora/],
		[[...module, "--no-enable-lora"], /add --enable-lora/],
		[
			[...module, "--served-model-name", "one"],
			/"one" is the model's own name/,
		],
		[[...module, ...module], /--lora-modules names "one" twice/],
		[["--lora-modules", "one"], /wants name=path/],
	] as const) {
		const { code, stderr } = await run(["serve", "no-such-model", ...flags]);
		assert.equal(code, 1);
		assert.match(stderr, wanted);
	}
});
