/** Ids, choices of files and settings: what needs no network. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	chooseFiles,
	matchesGlob,
	quantizationOf,
} from "../../src/hub/choose.ts";
import { type ModelId, parseModelId, showId } from "../../src/hub/model-id.ts";
import { readSettings } from "../../src/hub/settings.ts";
import { nodeFiles } from "../../src/platform/node-files.ts";
import { temporaryFolder } from "../support/hub-case.ts";

test("ids have an owner and a name; a revision and a file may follow", () => {
	const id = (repo: string, revision = "main", file: string | null = null) => ({
		repo,
		revision,
		file,
	});
	const cases: [string, ModelId | null][] = [
		["Qwen/Qwen3-0.6B", id("Qwen/Qwen3-0.6B")],
		["a/b@v1.0", id("a/b", "v1.0")],
		["a/b@refs/pr/3", id("a/b", "refs/pr/3")],
		["a/b:Q4_K_M", id("a/b", "main", "Q4_K_M")],
		["a/b:sub/x.gguf", id("a/b", "main", "sub/x.gguf")],
		["a/b@dev:x.gguf", id("a/b", "dev", "x.gguf")],
		["a/b/x.gguf", id("a/b", "main", "x.gguf")],
		[
			"a/b/sub/x-00001-of-00002.gguf@dev",
			id("a/b", "dev", "sub/x-00001-of-00002.gguf"),
		],
		["demo-model", null],
		["no/such/model", null],
		["./a/b", null],
		["../a", null],
		["/a/b", null],
		["a/b/", null],
		["a\\b", null],
		["C:/b", null],
		["a/x.gguf", null],
		["a/b/../x.gguf", null],
		["a/b/x.gguf:y.gguf", null],
		["a/b..c", null],
		["a/b c", null],
		["https://example.org/a", null],
	];
	for (const [text, expected] of cases)
		assert.deepEqual(parseModelId(text), expected, text);
});

test("a revision is said once, and is a name", () => {
	assert.equal(parseModelId("a/b", "dev")?.revision, "dev");
	assert.equal(parseModelId("a/b@dev", "dev")?.revision, "dev");
	assert.throws(() => parseModelId("a/b@dev", "main"), {
		code: "invalid_option",
		message: /names revision "dev", the option revision "main"/,
	});
	for (const revision of ["../main", "/x", "a//b"])
		assert.throws(() => parseModelId("a/b", revision), {
			code: "invalid_option",
		});
	for (const text of ["a/b", "a/b@dev", "a/b:Q8_0", "a/b@dev:Q8_0"])
		assert.equal(showId(parseModelId(text) as ModelId), text);
});

const choose = (id: string, ...paths: string[]) =>
	chooseFiles(paths, parseModelId(id) as ModelId);

test("one set of safetensors, and the small files", () => {
	const small = ["config.json", "generation_config.json", "tokenizer.json"];
	const more = [
		"tokenizer.model",
		"merges.txt",
		"vocab.json",
		"chat_template.jinja",
	];
	const others = [
		"README.md",
		"pytorch_model.bin",
		"onnx/config.json",
		"trainer_state.json",
	];
	assert.deepEqual(
		choose(
			"a/b",
			...small,
			...more,
			...others,
			"model.safetensors",
			"model.fp16.safetensors",
		),
		[...small, ...more, "model.safetensors"],
	);
	const shards = [
		"model-00001-of-00002.safetensors",
		"model-00002-of-00002.safetensors",
	];
	const index = "model.safetensors.index.json";
	assert.deepEqual(
		choose("a/b", index, ...shards, "consolidated.safetensors"),
		[index, ...shards],
	);
	assert.deepEqual(choose("a/b", "weights.safetensors", "x.gguf"), [
		"weights.safetensors",
	]);
});

test("a GGUF file by path, by name, by quantization, or as the only one", () => {
	const paths = [
		"config.json",
		"m-Q4_K_M.gguf",
		"m-Q4_K_S.gguf",
		"m-IQ4_XS.gguf",
		"m-UD-Q4_K_XL.gguf",
		"m-BF16/m-BF16-00001-of-00002.gguf",
		"m-BF16/m-BF16-00002-of-00002.gguf",
		"mmproj-F16.gguf",
		"imatrix.gguf",
	];
	const cases: [string, ...string[]][] = [
		["a/b:Q4_K_M", "m-Q4_K_M.gguf"],
		["a/b:q4_k_s", "m-Q4_K_S.gguf"],
		["a/b:m-IQ4_XS.gguf", "m-IQ4_XS.gguf"],
		["a/b:UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf"],
		["a/b:BF16", paths[5], paths[6]],
		["a/b:m-BF16/m-BF16-00001-of-00002.gguf", paths[5], paths[6]],
		["a/b/mmproj-F16.gguf", "mmproj-F16.gguf"],
	];
	for (const [id, ...files] of cases)
		assert.deepEqual(choose(id, ...paths), ["config.json", ...files], id);
	assert.throws(() => choose("a/b", ...paths), {
		code: "model_not_found",
		message: /several GGUF files: m-Q4_K_M\.gguf, .*Name one, like a\/b:Q4_K_M/,
	});
	assert.throws(() => choose("a/b:Q2_K", ...paths), {
		code: "model_not_found",
		message: /has no file Q2_K\. It has m-Q4_K_M\.gguf/,
	});
	assert.deepEqual(choose("a/b", "m-Q8_0.gguf", "mmproj-F16.gguf"), [
		"m-Q8_0.gguf",
	]);
});

test("quantizations are read from names", () => {
	const cases: [string, string | null][] = [
		["Qwen3-0.6B-Q8_0.gguf", "Q8_0"],
		["llama.Q4_K_M.gguf", "Q4_K_M"],
		["m-iq2_xxs.gguf", "iq2_xxs"],
		["dir/m-F16-00001-of-00003.gguf", "F16"],
		["model.gguf", null],
	];
	for (const [path, expected] of cases)
		assert.equal(quantizationOf(path), expected);
});

test("patterns are the shell's, and their * passes slashes", () => {
	assert.ok(matchesGlob("a/b.json", "*.json"));
	assert.ok(matchesGlob("b+(1).json", "b+(1).js?n"));
	assert.ok(!matchesGlob("bxjson", "b.json"));
	assert.ok(!matchesGlob("a.json.bak", "*.json"));
});

test("settings are the Python client's variables", async () => {
	const home = temporaryFolder();
	const files = { ...nodeFiles, homeFolder: home };
	const read = (environment: Record<string, string>) =>
		readSettings({ environment, files });
	assert.deepEqual(await read({}), {
		endpoint: "https://huggingface.co",
		token: null,
		cacheFolder: `${home}/.cache/huggingface/hub`,
		offline: false,
		timeoutMs: 10_000,
	});
	await nodeFiles.writeText(`${home}/hf/token`, "hf_saved\n");
	const given = await read({
		HF_HOME: "~/hf",
		HF_ENDPOINT: "https://mirror.example/",
		HF_HUB_OFFLINE: "YES",
		HF_HUB_DOWNLOAD_TIMEOUT: "30",
	});
	assert.deepEqual(given, {
		endpoint: "https://mirror.example",
		token: "hf_saved",
		cacheFolder: `${home}/hf/hub`,
		offline: true,
		timeoutMs: 30_000,
	});
	const caches: [Record<string, string>, string][] = [
		[{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
		[{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
		[{ HF_HOME: "/h", HF_HUB_CACHE: "/c/" }, "/c"],
		[{ HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
	];
	for (const [environment, expected] of caches)
		assert.equal((await read(environment)).cacheFolder, expected);
	const hf = { HF_HOME: `${home}/hf` };
	assert.equal((await read({ ...hf, HF_TOKEN: " hf_env " })).token, "hf_env");
	assert.equal(
		(await read({ ...hf, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).token,
		null,
	);
	assert.ok((await read({ TRANSFORMERS_OFFLINE: "1" })).offline);
	assert.ok(!(await read({ HF_HUB_OFFLINE: "0" })).offline);
});

test("settings that make no sense are named, tokens never shown", async () => {
	const cases: [Record<string, string>, RegExp][] = [
		[{ HF_ENDPOINT: "mirror.example" }, /HF_ENDPOINT must be a URL/],
		[{ HF_HUB_DOWNLOAD_TIMEOUT: "soon" }, /HF_HUB_DOWNLOAD_TIMEOUT/],
		[{ HF_HUB_DOWNLOAD_TIMEOUT: "0" }, /HF_HUB_DOWNLOAD_TIMEOUT/],
		[
			{ HF_TOKEN: "hf_a\nb" },
			/^the token \(HF_TOKEN[^a]*plain characters, like hf_…, and is not\.$/,
		],
	];
	for (const [environment, message] of cases)
		await assert.rejects(readSettings({ environment, files: null }), {
			code: "invalid_option",
			message,
		});
});
