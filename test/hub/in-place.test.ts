/** Models read from the hub by ranges, as a page does, which has no disk. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { downloadModel, hubFiles } from "../../src/hub/files.ts";
import { platform as browser } from "../../src/platform/browser.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { COMMIT, ID, REPO, randomBytes } from "../support/hub-case.ts";
import { startHub } from "../support/hub-server.ts";
import { textFiles } from "../support/text-model.ts";

const server = await startHub();
const files = await textFiles();
server.repos.set(REPO, { commit: COMMIT, files });
server.repos.set("acme/gated", { commit: COMMIT, files, gatedFor: "hf_x" });
server.repos.set("acme/gguf", {
	commit: COMMIT,
	files: new Map([["m.gguf", randomBytes(100, 1)]]),
});
const page = { ...browser, environment: { HF_ENDPOINT: server.endpoint } };

test("the files that are there are listed and read; those that are not are null", async () => {
	const model = await hubFiles(ID, page, {});
	assert.equal(model.label, REPO);
	assert.deepEqual(await model.list(), [...files.keys()].sort());
	assert.equal(await model.readText("generation_config.json"), null);
	assert.equal(await model.open("absent.safetensors"), null);
	const text = await model.readText("config.json");
	assert.deepEqual(
		new TextEncoder().encode(text ?? ""),
		files.get("config.json"),
	);
});

test("weights come by ranges, through a server that is busy at times", async () => {
	server.seen.length = 0;
	const busy = { status: 503, headers: { "Retry-After": "0" } };
	server.trouble = () => (server.seen.length % 3 === 0 ? busy : null);
	const weights = await openSafetensors(await hubFiles(ID, page, {}));
	server.trouble = () => null;
	const [name] = weights.tensors.keys();
	assert.equal((await weights.read(name, 0, 1)).length > 0, true);
	const ranged = server.seen.filter(({ host }) => host === "cdn");
	assert.ok(ranged.length > 0 && ranged.every(({ range }) => range));
});

test("a GGUF file that is named is among the files", async () => {
	const id = { ...ID, repo: "acme/gguf", file: "m.gguf" };
	const model = await hubFiles(id, page, {});
	assert.deepEqual(await model.list(), ["m.gguf"]);
	const file = await model.open("m.gguf");
	assert.deepEqual(await file?.read(10, 5), randomBytes(100, 1).slice(10, 15));
});

test("what the hub refuses is told as on a disk; there is nowhere to download to", async () => {
	const gated = await hubFiles({ ...ID, repo: "acme/gated" }, page, {});
	await assert.rejects(gated.readText("config.json"), {
		code: "access_denied",
	});
	const missing = await hubFiles({ ...ID, repo: "acme/none" }, page, {});
	await assert.rejects(missing.list(), { code: "model_not_found" });
	await assert.rejects(downloadModel(ID, page, {}), {
		code: "download_failed",
		message: /no file system here/,
	});
});

test("an abort ends what is being read", async () => {
	const controller = new AbortController();
	const { signal } = controller;
	server.trouble = () => ({ hangAfter: 0 });
	const model = await hubFiles(ID, page, { signal });
	setTimeout(() => controller.abort(), 50);
	await assert.rejects(model.readText("tokenizer.json"), { code: "aborted" });
	server.trouble = () => null;
});
