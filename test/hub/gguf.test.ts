/** A GGUF of the hub by each of its names: quantization, file, parts; the same answer as the file on disk gives. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LLM } from "../../src/index.ts";
import { run } from "../cli/command-line.ts";
import { splitTextGguf, textGguf } from "../support/gguf-text-model.ts";
import { COMMIT, temporaryFolder } from "../support/hub-case.ts";
import { startHub } from "../support/hub-server.ts";

const eight = await textGguf("q8_0");
const four = await textGguf("q4_0");
const server = await startHub();
server.repos.set("acme/tiny-GGUF", {
	commit: COMMIT,
	files: new Map([
		["tiny-Q8_0.gguf", eight],
		["tiny-Q4_0.gguf", four],
		["mmproj-tiny-Q8_0.gguf", new Uint8Array(100)],
	]),
});
server.repos.set("acme/split-GGUF", {
	commit: COMMIT,
	files: new Map([
		...(await splitTextGguf("q8_0", "tiny-Q8_0", 3)),
		...(await splitTextGguf("q4_0", "tiny-Q4_0", 2)),
	]),
});

const HF_HOME = temporaryFolder();
const environment = {
	HF_ENDPOINT: server.endpoint,
	HF_HOME,
	HF_TOKEN: "",
	HF_HUB_OFFLINE: "",
};
Object.assign(process.env, environment);

const folder = temporaryFolder();
const onDisk = (name: string, bytes: Uint8Array): string => {
	writeFileSync(join(folder, name), bytes);
	return join(folder, name);
};
const eightOnDisk = onDisk("eight.gguf", eight);
const fourOnDisk = onDisk("four.gguf", four);

const PROMPT = "the quick brown fox";

async function answer(model: string) {
	await using llm = await LLM.load(model, { device: "reference" });
	const params = { temperature: 0, maxTokens: 8, logprobs: 2, ignoreEos: true };
	const [{ outputs }] = await llm.generate(PROMPT, params);
	return outputs[0];
}

const expected = {
	q8_0: await answer(eightOnDisk),
	q4_0: await answer(fourOnDisk),
};

test("the two quantizations are two models", () => {
	assert.notDeepEqual(expected.q8_0.logprobs, expected.q4_0.logprobs);
});

for (const [id, type] of [
	["acme/tiny-GGUF:Q8_0", "q8_0"],
	["acme/tiny-GGUF:q4_0", "q4_0"],
	["acme/tiny-GGUF:tiny-Q4_0.gguf", "q4_0"],
	["acme/tiny-GGUF/tiny-Q8_0.gguf", "q8_0"],
	["acme/split-GGUF:Q8_0", "q8_0"],
	["acme/split-GGUF:tiny-Q4_0-00001-of-00002.gguf", "q4_0"],
] as const)
	test(`${id} answers as the file on disk`, async () => {
		server.seen.length = 0;
		assert.deepEqual(await answer(id), expected[type]);
		const sizes = server.seen.reduce((sum, { sent }) => sum + sent, 0);
		assert.ok(sizes < eight.length * 1.1, `${sizes} bytes: one model's files`);
	});

test("a GGUF that was downloaded answers offline; one that was not says so", async () => {
	process.env.HF_HUB_OFFLINE = "1";
	server.seen.length = 0;
	try {
		assert.deepEqual(await answer("acme/split-GGUF:Q8_0"), expected.q8_0);
		assert.deepEqual(server.seen, []);
		await assert.rejects(answer("acme/tiny-GGUF:Q6_K"), {
			code: "model_not_found",
		});
	} finally {
		process.env.HF_HUB_OFFLINE = "";
	}
});

test("what is not there, and several where one is wanted", async () => {
	await assert.rejects(answer("acme/tiny-GGUF"), {
		code: "model_not_found",
		message: /several GGUF files.*acme\/tiny-GGUF:/,
	});
	await assert.rejects(answer("acme/tiny-GGUF:Q6_K"), {
		code: "model_not_found",
		message: /has no file Q6_K.*tiny-Q8_0\.gguf/,
	});
});

test("generate and chat of the command line take an id with a quantization", async () => {
	const flags = ["--device", "reference", "--max-tokens", "8"];
	const greedy = [...flags, "--temperature", "0", "--ignore-eos"];
	const model = "acme/tiny-GGUF:Q8_0";
	const generated = await run(
		["generate", PROMPT, "--model", model, ...greedy, "--json"],
		"",
		environment,
	);
	assert.equal(generated.code, 0, generated.stderr);
	assert.ok(generated.stdout.includes(JSON.stringify(expected.q8_0.text)));
	const chat = await run(["chat", model, ...flags], "hello\n", environment);
	assert.equal(chat.code, 0, chat.stderr);
	assert.match(chat.stderr, /Qwen3, \S+ parameters · on reference/);
});
