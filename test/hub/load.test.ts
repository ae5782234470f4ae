/** LLM.load with an id of the hub: the bundled model, served by a hub of our own. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { LLM, type LoadProgress } from "../../src/index.ts";
import { COMMIT, temporaryFolder } from "../support/hub-case.ts";
import { startHub } from "../support/hub-server.ts";
import { makeAdapter } from "../support/lora-adapter.ts";
import { loadText, textFiles, textTensors } from "../support/text-model.ts";

const BUNDLED = join(import.meta.dirname, "../../demo-model");
const bundled = readdirSync(BUNDLED, { withFileTypes: true })
	.filter((entry) => entry.isFile())
	.map(({ name }): [string, Uint8Array] => [
		name,
		readFileSync(join(BUNDLED, name)),
	]);

const server = await startHub();
server.repos.set("acme/demo", { commit: COMMIT, files: new Map(bundled) });
server.repos.set("acme/tiny", {
	commit: COMMIT,
	files: await textFiles(),
	gatedFor: "hf_friend",
	revisions: ["v2"],
});

server.repos.set("acme/lora", {
	commit: COMMIT,
	files: new Map([
		...makeAdapter(await textTensors(), {
			modules: ["q_proj", "o_proj"],
			rank: 2,
			alpha: 40,
			seed: 1,
		}).files,
		["optimizer.pt", new Uint8Array(1000)],
	]),
});

const NAMES = ["HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE"];
const before = NAMES.map((name) => [name, process.env[name]] as const);

function setEnvironment(values: Readonly<Record<string, string>>): void {
	for (const [name, value] of [...before, ...Object.entries(values)])
		if (value === undefined) delete process.env[name];
		else process.env[name] = value;
}
afterEach(() => setEnvironment({}));

const reference = { device: "reference", maxNumSeqs: 4 } as const;
const greedy = { temperature: 0, maxTokens: 6 };

test("the bundled model by its id says what it says from its folder, then again offline", async () => {
	const HF_HOME = temporaryFolder();
	setEnvironment({ HF_ENDPOINT: server.endpoint, HF_HOME });
	const seen: LoadProgress[] = [];
	const options = { ...reference, maxModelLen: 64 };
	const answer = async (model: string) => {
		await using llm = await LLM.load(model, {
			...options,
			onProgress: (progress) => seen.push(progress),
		});
		const [result] = await llm.generate("Once upon a time", greedy);
		return { name: llm.modelName, text: result.outputs[0].text };
	};
	const expected = await answer(BUNDLED);
	assert.ok(seen.every(({ stage }) => stage === "load"));
	seen.length = 0;
	const { name, text } = await answer("acme/demo");
	assert.deepEqual({ name, text }, { name: "acme/demo", text: expected.text });
	assert.deepEqual(
		[...new Set(seen.map(({ stage }) => stage))],
		["download", "load"],
	);

	server.seen.length = 0;
	setEnvironment({
		HF_ENDPOINT: server.endpoint,
		HF_HOME,
		HF_HUB_OFFLINE: "1",
	});
	assert.equal((await answer("acme/demo")).text, expected.text);
	assert.deepEqual(server.seen, []);
});

test("revision is an option, HF_TOKEN opens gated models", async () => {
	const HF_HOME = temporaryFolder();
	const HF_ENDPOINT = server.endpoint;
	setEnvironment({ HF_ENDPOINT, HF_HOME });
	await assert.rejects(LLM.load("acme/tiny", reference), {
		code: "access_denied",
		message: /acme\/tiny is gated/,
	});
	setEnvironment({ HF_ENDPOINT, HF_HOME, HF_TOKEN: "hf_friend" });
	server.seen.length = 0;
	await using llm = await LLM.load("acme/tiny", {
		...reference,
		revision: "v2",
	});
	const [result] = await llm.generate("hello", { ...greedy, ignoreEos: true });
	assert.equal(result.outputs[0].tokenIds.length, 6);
	assert.match(server.seen[0].path, /revision\/v2$/);
	await assert.rejects(LLM.load("acme/tiny@v3", reference), {
		code: "model_not_found",
		message: /no revision "v3"/,
	});
	await assert.rejects(LLM.load("acme/tiny@v3", { revision: "v2" }), {
		code: "invalid_option",
	});
});

test("random weights need no weights from the hub", async () => {
	const HF_HOME = temporaryFolder();
	setEnvironment({ HF_ENDPOINT: server.endpoint, HF_HOME });
	const load = async () => {
		const options = { ...reference, loadFormat: "dummy" } as const;
		await using llm = await LLM.load("acme/demo", options);
		return llm.tokenizer.encode("once").length;
	};
	server.seen.length = 0;
	assert.ok((await load()) > 0);
	const large = bundled.find(([name]) => name === "model.safetensors");
	const sent = server.seen.reduce((sum, request) => sum + request.sent, 0);
	assert.ok(large && sent < large[1].length / 10, `${sent} bytes`);
	setEnvironment({
		HF_ENDPOINT: server.endpoint,
		HF_HOME,
		HF_HUB_OFFLINE: "1",
	});
	assert.ok((await load()) > 0);
	await assert.rejects(LLM.load("acme/demo", reference), {
		code: "model_not_found",
		message: /not wholly, in the cache/,
	});
});

test("what is neither a folder nor a model is told in both readings; an abort ends a load", async () => {
	setEnvironment({ HF_ENDPOINT: server.endpoint, HF_HOME: temporaryFolder() });
	await assert.rejects(LLM.load("acme/nothing", reference), {
		code: "model_not_found",
		message:
			/has no model acme\/nothing.*There is no folder acme\/nothing here, so acme\/nothing was taken for a model of the hub/,
	});
	await assert.rejects(LLM.load("no/such/folder", reference), {
		code: "model_not_found",
		message: /wanted a directory/,
	});
	const controller = new AbortController();
	await assert.rejects(
		LLM.load("acme/demo", {
			...reference,
			signal: controller.signal,
			onProgress: () => controller.abort(),
		}),
		{ code: "aborted" },
	);
});

test("a LoRA adapter by its id: two files come, then the cache is enough", async () => {
	const HF_HOME = temporaryFolder();
	const HF_ENDPOINT = server.endpoint;
	setEnvironment({ HF_ENDPOINT, HF_HOME });
	const loraRequest = { name: "hub", path: "acme/lora" };
	const answer = async (options: object) => {
		await using llm = await loadText({ enableLora: true });
		const [result] = await llm.generate("A fox", greedy, options);
		return result.outputs[0].text;
	};
	const text = await answer({ loraRequest });
	assert.notEqual(text, await answer({}));
	const requested = server.seen.map((seen) => JSON.stringify(seen)).join();
	assert.ok(!requested.includes("optimizer"), "only what an adapter needs");
	setEnvironment({ HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE: "1" });
	assert.equal(await answer({ loraRequest }), text);
	setEnvironment({ HF_ENDPOINT, HF_HOME });
	const missing = { name: "none", path: "acme/none" };
	await assert.rejects(answer({ loraRequest: missing }), {
		code: "adapter_not_found",
		message: /adapter none: .*acme\/none/,
	});
});
