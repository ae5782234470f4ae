/** Everything a caller or a checkpoint can get wrong: the code, the message, and that nobody else notices. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { referenceBackend } from "../../src/backends/reference/backend.ts";
import { type ErrorCode, NanoVllmError } from "../../src/errors.ts";
import { LLM, type LoadOptions } from "../../src/llm.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";
import {
	asModel,
	type Files,
	json,
	loadText,
	TEXT_CONFIG,
	textFiles,
	textTensors,
	VOCAB_SIZE,
} from "../support/text-model.ts";

// Callers without types are the point here.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Anything = any;

async function refused(
	promise: Promise<unknown>,
	code: ErrorCode,
	message: RegExp,
): Promise<NanoVllmError> {
	const error = await promise.then(
		() => assert.fail("nothing was refused"),
		(e: unknown) => e,
	);
	assert.ok(error instanceof NanoVllmError, `${error}`);
	assert.equal(error.code, code, error.message);
	assert.match(error.message, message);
	return error;
}

const text = (content: string) => new TextEncoder().encode(content);
const decode = (bytes: Uint8Array | undefined) =>
	new TextDecoder().decode(bytes);
const weights = "model.safetensors";

/** The files with the checkpoint's tensors changed. */
const withTensors =
	(change: (tensors: Awaited<ReturnType<typeof textTensors>>) => void) =>
	async (files: Files) => {
		const tensors = await textTensors();
		change(tensors);
		files.set(weights, writeSafetensors(tensors));
	};
const withConfig = (changes: object) => (files: Files) => {
	files.set("config.json", json({ ...TEXT_CONFIG, ...changes }));
};
const put = (name: string, content: Uint8Array | string) => (files: Files) => {
	files.set(name, typeof content === "string" ? text(content) : content);
};
const without = (name: string) => (files: Files) => {
	files.delete(name);
};
const norm = "model.layers.1.input_layernorm.weight";
const down = "model.layers.0.mlp.down_proj.weight";

const models: [
	string,
	(files: Files) => unknown,
	ErrorCode,
	RegExp,
	LoadOptions?,
][] = [
	[
		"no config.json",
		without("config.json"),
		"model_not_found",
		/tiny has no config.json/,
	],
	[
		"config.json not JSON",
		put("config.json", "{oops"),
		"invalid_model_config",
		/tiny\/config.json is not JSON/,
	],
	[
		"config.json empty",
		put("config.json", ""),
		"invalid_model_config",
		/is not JSON/,
	],
	[
		"config.json not UTF-8",
		put("config.json", Uint8Array.of(0xff, 0xfe)),
		"invalid_model_config",
		/UTF-8/,
	],
	[
		"config.json a list",
		put("config.json", "[]"),
		"invalid_model_config",
		/must hold an object/,
	],
	[
		"unknown architecture",
		withConfig({ architectures: ["MambaForCausalLM"] }),
		"unsupported_model",
		/"MambaForCausalLM" is not supported. Supported: /,
	],
	[
		"heads that do not divide",
		withConfig({ num_key_value_heads: 3 }),
		"invalid_model_config",
		/not a multiple/,
	],
	[
		"generation_config.json not JSON",
		put("generation_config.json", "?"),
		"invalid_model_config",
		/generation_config.json is not JSON/,
	],
	[
		"generation_config.json with a wrong eos",
		put("generation_config.json", json({ eos_token_id: "x" })),
		"invalid_model_config",
		/eos_token_id/,
	],
	["no weights", without(weights), "model_not_found", /safetensors/],
	[
		"weights empty",
		put(weights, new Uint8Array(0)),
		"invalid_weights",
		/model.safetensors/,
	],
	[
		"weights cut",
		(f) => f.set(weights, (f.get(weights) as Uint8Array).slice(0, -100)),
		"invalid_weights",
		/model.safetensors/,
	],
	[
		"weights cut in the header",
		(f) => f.set(weights, (f.get(weights) as Uint8Array).slice(0, 40)),
		"invalid_weights",
		/model.safetensors/,
	],
	[
		"header length lies",
		(f) => (f.get(weights) as Uint8Array).fill(0xff, 0, 8),
		"invalid_weights",
		/header/,
	],
	[
		"header is not JSON",
		(f) => (f.get(weights) as Uint8Array).fill(0x20, 8, 20),
		"invalid_weights",
		/header/,
	],
	[
		"a missing tensor",
		withTensors((t) => delete t[norm]),
		"missing_tensor",
		/layers.1.input_layernorm.weight/,
	],
	[
		"a tensor of the wrong shape",
		withTensors((t) => {
			t[norm] = { dtype: "f32", shape: [8], data: new Float32Array(8) };
		}),
		"shape_mismatch",
		/config.json wants shape \[16\], the checkpoint has \[8\]/,
	],
	[
		"a transposed tensor",
		withTensors((t) => {
			t[down] = { ...t[down], shape: [24, 16] };
		}),
		"shape_mismatch",
		/wants shape \[16, 24\], the checkpoint has \[24, 16\]/,
	],
	[
		"a tensor of a dtype nobody runs",
		(f) => {
			const bytes = f.get(weights) as Uint8Array;
			const header = decode(bytes.subarray(8, 4000));
			bytes.set(text("I32"), 8 + header.indexOf("F32"));
		},
		"unsupported_dtype",
		/I32/,
	],
	[
		"NaN in the weights",
		withTensors((t) => {
			t[down].data[7] = NaN;
		}),
		"nan_weights",
		/layers.0.mlp.down_proj.weight: element 7 is not a finite/,
	],
	[
		"infinity in the weights",
		withTensors((t) => {
			t[down].data[9] = -Infinity;
		}),
		"nan_weights",
		/element 9/,
	],
	[
		"a config larger than the checkpoint",
		withConfig({ hidden_size: 2 ** 24, vocab_size: 2 ** 24 }),
		"shape_mismatch",
		/config.json wants shape/,
	],
	[
		"a config with more layers",
		withConfig({ num_hidden_layers: 4000 }),
		"missing_tensor",
		/layers.2\./,
	],
	[
		"no tokenizer.json",
		without("tokenizer.json"),
		"invalid_tokenizer",
		/has no tokenizer.json/,
	],
	[
		"tokenizer.json not JSON",
		put("tokenizer.json", "{"),
		"invalid_tokenizer",
		/tokenizer.json is not JSON/,
	],
	[
		"tokenizer.json of nothing",
		put("tokenizer.json", "{}"),
		"invalid_tokenizer",
		/./,
	],
	[
		"tokenizer.json a number",
		put("tokenizer.json", "3"),
		"invalid_tokenizer",
		/./,
	],
	[
		"tokenizer.json without a vocabulary",
		put("tokenizer.json", json({ model: { type: "BPE" } })),
		"invalid_tokenizer",
		/./,
	],
	[
		"tokenizer.json of another kind",
		put("tokenizer.json", json({ model: { type: "Magic", vocab: {} } })),
		"invalid_tokenizer",
		/./,
	],
	[
		"tokenizer_config.json not JSON",
		put("tokenizer_config.json", "x"),
		"invalid_tokenizer",
		/tokenizer_config.json is not JSON/,
	],
	[
		"a broken chat template",
		put("chat_template.jinja", "{% for %}"),
		"invalid_chat_template",
		/./,
	],
	[
		"dummy weights too large for any memory",
		withConfig({ hidden_size: 2 ** 24, vocab_size: 2 ** 24 }),
		"out_of_memory",
		/no memory for/,
		{ loadFormat: "dummy" },
	],
	[
		"a cache too large for any memory",
		withConfig({ max_position_embeddings: 2 ** 30 }),
		"out_of_memory",
		/no memory for/,
		{ kvCacheMemoryBytes: 2 ** 50, maxNumSeqs: 64 },
	],
];

for (const [name, change, code, message, options] of models)
	test(`a model with ${name}`, async () => {
		const files = await textFiles();
		await change(files);
		await refused(loadText(options, files), code, message);
	});

test("the whole model loads, so that the table above says what it seems to say", async () => {
	await using llm = await loadText();
	const [output] = await llm.generate("Hello", { maxTokens: 3 });
	assert.equal(output.outputs[0].tokenIds.length, 3);
});

test("a directory that is not there, or is a file, or holds no model", async () => {
	const folder = await mkdtemp(join(tmpdir(), "nano-vllm-"));
	try {
		const options = { device: "reference" } as const;
		const missing = join(folder, "nowhere");
		await refused(LLM.load(missing, options), "model_not_found", /nowhere/);
		await refused(LLM.load(folder, options), "model_not_found", /config.json/);
		const file = join(folder, "file");
		await writeFile(file, "x");
		await refused(LLM.load(file, options), "model_not_found", /file/);
		const gguf = join(folder, "model.gguf");
		await refused(LLM.load(gguf, options), "model_not_found", /model\.gguf/);
	} finally {
		await rm(folder, { recursive: true });
	}
});

test("a model that is neither path nor files", async () => {
	for (const model of [undefined, null, 3, {}, [], true, { label: "x" }])
		await refused(
			LLM.load(model as Anything, { device: "reference" }),
			"model_not_found",
			/a model is/,
		);
});

const bad = {
	integer: [1.5, NaN, Infinity, "1", null, true, [], {}],
	boolean: [0, 1, "true", null, []],
};
const engineOptions: [string, unknown[]][] = [
	["device", ["gpu", "", null, 1]],
	["dtype", ["int8", null, 16]],
	["quantization", ["awq", "", 8]],
	["loadFormat", ["bin", null]],
	["maxModelLen", [1, 0, -5, ...bad.integer.filter((v) => v !== null)]],
	["maxNumSeqs", [0, -1, 70_000, ...bad.integer]],
	[
		"maxNumBatchedTokens",
		[0, -1, 2 ** 30, ...bad.integer.filter((v) => v !== null)],
	],
	["blockSize", [0, -16, 2048, ...bad.integer]],
	["kvCacheMemoryBytes", [0, -1, ...bad.integer.filter((v) => v !== null)]],
	["gpuMemoryUtilization", [0, -0.1, 1.01, NaN, "0.9", null]],
	["kvCacheDtype", ["fp8", null]],
	["enablePrefixCaching", bad.boolean],
	["enableChunkedPrefill", bad.boolean],
	["asyncScheduling", bad.boolean],
	["schedulingPolicy", ["lifo", null]],
	["seed", [-1, ...bad.integer]],
	["maxLogprobs", [-2, ...bad.integer]],
	["skipTokenizerInit", bad.boolean],
];

test("every engine option out of range or of the wrong type", async () => {
	const files = await textFiles();
	for (const [key, values] of engineOptions)
		for (const value of values)
			await refused(
				loadText({ [key]: value } as LoadOptions, files),
				"invalid_option",
				new RegExp(`^${key} must be .+, got .`),
			);
});

test("engine options that do not exist, or do not go together", async () => {
	const files = await textFiles();
	for (const [options, message] of [
		[{ maxSeqs: 3 }, /there is no option "maxSeqs". Known: .*maxNumSeqs/],
		[{ toString: 1 }, /there is no option "toString"/],
		[
			{ maxNumSeqs: 64, maxNumBatchedTokens: 32 },
			/maxNumBatchedTokens is 32, less than maxNumSeqs 64/,
		],
		[
			{ enableChunkedPrefill: false, maxNumBatchedTokens: 64 },
			/must hold a whole prompt, maxModelLen 256/,
		],
		[
			{ maxModelLen: 257 },
			/maxModelLen is 257, the model was made for at most 256/,
		],
		[{ dtype: "f16" }, /dtype is f16: the reference backend/],
		[{ quantization: "q8_0" }, /quantization is q8_0/],
		[{ kvCacheDtype: "bf16" }, /kvCacheDtype is bf16/],
	] as [LoadOptions, RegExp][])
		await refused(loadText(options, files), "invalid_option", message);
	await refused(
		LLM.load(asModel(files), "fast" as Anything),
		"invalid_option",
		/there is no option "0"/,
	);
});

test("a cache too small: the message names what would fit, and that loads", async () => {
	const files = await textFiles();
	const small = { kvCacheMemoryBytes: 10_000 };
	const { message } = await refused(
		loadText({ ...small, maxModelLen: 250 }, files),
		"out_of_memory",
		/maxModelLen 250 does not fit the KV cache/,
	);
	const advice =
		/Set maxModelLen to (\d+) or less, or kvCacheMemoryBytes to (\d+) or more/;
	const [fits, bytes] = (advice.exec(message) ?? []).slice(1).map(Number);
	await using fitting = await loadText({ ...small, maxModelLen: fits }, files);
	assert.equal(fitting.maxModelLen, fits);
	await refused(
		loadText({ ...small, maxModelLen: fits + 1 }, files),
		"out_of_memory",
		/./,
	);
	await using larger = await loadText(
		{ kvCacheMemoryBytes: bytes, maxModelLen: 250 },
		files,
	);
	assert.equal(larger.maxModelLen, 250);
	await refused(
		loadText({ kvCacheMemoryBytes: bytes - 1, maxModelLen: 250 }, files),
		"out_of_memory",
		/./,
	);
	await using unsaid = await loadText(small, files);
	assert.equal(unsaid.maxModelLen, fits, "unsaid, it is what fits");
	await refused(
		loadText({ kvCacheMemoryBytes: 10 }, files),
		"out_of_memory",
		/kvCacheMemoryBytes is 10, one block/,
	);
});

test("every file opened is closed, and a device that took a model in vain gives it back", async () => {
	const files = asModel(await textFiles());
	let numOpen = 0;
	const counting = {
		...files,
		open: async (path: string) => {
			const file = await files.open(path);
			if (file !== null) numOpen++;
			return file && { ...file, close: async () => void numOpen-- };
		},
	};
	const options = { device: "reference", maxNumSeqs: 2 } as const;
	const llm = await LLM.load(counting, options);
	assert.equal(numOpen, 0);
	await llm.close();
	const { compile } = referenceBackend;
	let numClosed = 0;
	const tooSmall = { ...options, kvCacheMemoryBytes: 5000, maxModelLen: 250 };
	try {
		referenceBackend.compile = async (...args) => ({
			...(await compile(...args)),
			close: async () => void numClosed++,
		});
		await refused(LLM.load(counting, tooSmall), "out_of_memory", /./);
		assert.equal(numClosed, 1);
		referenceBackend.compile = async () => {
			throw new Error("no such device");
		};
		await assert.rejects(LLM.load(counting, options), /no such device/);
	} finally {
		referenceBackend.compile = compile;
	}
	assert.equal(numOpen, 0);
});

test("an aborted load", async () => {
	const reason = new Error("changed my mind");
	await assert.rejects(loadText({ signal: AbortSignal.abort(reason) }), reason);
});

let llm: LLM;
const goodParams = { temperature: 0, maxTokens: 6 };
let goodTokens: number[];
before(async () => {
	llm = await loadText({ maxLogprobs: 5 });
	const [{ outputs }] = await llm.generate("The good one", goodParams);
	goodTokens = outputs[0].tokenIds;
});
after(() => llm.close());

/** Refuses the call while a good request runs beside it, which must not notice. */
async function refusedBeside(
	call: () => Promise<unknown>,
	code: ErrorCode,
	message: RegExp,
): Promise<void> {
	const good = llm.generate("The good one", goodParams);
	await refused(call(), code, message);
	const [{ outputs }] = await good;
	assert.deepEqual(outputs[0].tokenIds, goodTokens);
	const stats = llm.stats();
	assert.equal(stats.kvCacheUsage, 0);
	assert.equal(stats.numRequestsRunning + stats.numRequestsWaiting, 0);
}

const ids = (promptTokenIds: unknown) => ({ promptTokenIds });
const prompts: [string, unknown, ErrorCode, RegExp][] = [
	["an empty text", "", "invalid_prompt", /the prompt is empty/],
	["no token ids", ids([]), "invalid_prompt", /the prompt is empty/],
	["an empty Int32Array", ids(new Int32Array()), "invalid_prompt", /is empty/],
	[
		"too many tokens",
		ids(new Array(256).fill(1)),
		"prompt_too_long",
		/has 256 tokens, and maxModelLen 256/,
	],
	[
		"a long text",
		"word ".repeat(400),
		"prompt_too_long",
		/has \d+ tokens, and maxModelLen 256/,
	],
	...[
		VOCAB_SIZE,
		-1,
		1.5,
		NaN,
		Infinity,
		"5",
		null,
		undefined,
		5n,
		2 ** 40,
	].map((id): [string, unknown, ErrorCode, RegExp] => [
		`token id ${id} (${typeof id})`,
		ids([1, id, 2]),
		"invalid_prompt",
		new RegExp(
			`token 1 of the prompt is .*, the model's token ids are 0 to ${VOCAB_SIZE - 1}`,
		),
	]),
	[
		"a hole in the ids",
		ids(Object.assign(new Array(3), { 0: 1, 2: 2 })),
		"invalid_prompt",
		/token 1 of the prompt is undefined/,
	],
	["ids as bigints", ids(BigInt64Array.of(1n)), "invalid_prompt", /token 0/],
	...[
		undefined,
		null,
		5,
		true,
		{},
		[[1, 2]],
		{ text: "x" },
		{ prompt: 3 },
		ids("abc"),
		ids(7),
		ids(null),
		ids({ length: 2 }),
		ids(new DataView(new ArrayBuffer(8))),
		ids(new ArrayBuffer(8)),
		() => "x",
		Symbol.iterator,
	].map((prompt, i): [string, unknown, ErrorCode, RegExp] => [
		`of the wrong type, ${i}`,
		prompt,
		"invalid_prompt",
		/a prompt is a string, \{ prompt: string \} or \{ promptTokenIds: number\[\] \}, got ./,
	]),
];

for (const [name, prompt, code, message] of prompts)
	test(`a prompt: ${name}`, async () => {
		const call = (p: unknown) => llm.generate(p as Anything, { maxTokens: 2 });
		await refusedBeside(() => call([prompt]), code, message);
		await refusedBeside(
			() => call(["fine", prompt, "fine"]),
			code,
			new RegExp(`^prompt 1: .*${message.source}`),
		);
		await refusedBeside(
			() => call([prompt, "fine"]),
			code,
			new RegExp(`^prompt 0: .*${message.source}`),
		);
		await refusedBeside(
			async () => llm.stream(prompt as Anything).next(),
			code,
			message,
		);
	});

const outOf = (low: number, high: number) => [
	low - 1e-3,
	high + 1e-3,
	NaN,
	"0.5",
	null,
	true,
	[1],
];
const listsOfIds = [5, "5", [-1], [1.5], ["3"], [null], [[1]], { 0: 1 }, true];
const listsOfTexts = [5, [""], [3], [null], [["a"]], {}, true];
const sampling: [string, unknown[]][] = [
	["n", [0, -1, 100_000, ...bad.integer]],
	["temperature", [-0.1, 1e5, NaN, Infinity, "0", null, true]],
	["topP", [0, -0.5, 1.001, NaN, "0.9", null]],
	["topK", [-2, 2 ** 31, ...bad.integer]],
	["minP", outOf(0, 1)],
	["seed", [-1, ...bad.integer.filter((v) => v !== null), 2 ** 53]],
	["presencePenalty", outOf(-2, 2)],
	["frequencyPenalty", outOf(-2, 2)],
	["repetitionPenalty", [0, -1, 1e5, NaN, "1", null]],
	["stop", [...listsOfTexts, "", null, ["ok", ""]]],
	["stopTokenIds", [...listsOfIds, null]],
	["ignoreEos", bad.boolean],
	["maxTokens", [0, -1, ...bad.integer.filter((v) => v !== null)]],
	["minTokens", [-1, ...bad.integer]],
	["logprobs", [-2, ...bad.integer.filter((v) => v !== null)]],
	["promptLogprobs", [-2, ...bad.integer.filter((v) => v !== null)]],
	[
		"logitBias",
		[
			5,
			"x",
			[1],
			{ x: 1 },
			{ "-1": 1 },
			{ "1.5": 1 },
			{ "": 1 },
			{ " 5": 1 },
			{ "0x10": 1 },
			{ "1e2": 1 },
			{ "05": 1 },
			{ 5: NaN },
			{ 5: Infinity },
			{ 5: 1e7 },
			{ 5: "1" },
			{ 5: null },
			new Map([[5, 1]]),
		],
	],
	["allowedTokenIds", [...listsOfIds, []]],
	["badWords", [...listsOfTexts, null, "word"]],
	["detokenize", bad.boolean],
	["skipSpecialTokens", bad.boolean],
	["includeStopStrInOutput", bad.boolean],
];

for (const [key, values] of sampling)
	test(`sampling parameter ${key} out of range or of the wrong type`, async () => {
		for (const value of values)
			await refusedBeside(
				() => llm.generate("x", { [key]: value } as Anything),
				"invalid_sampling_params",
				new RegExp(`^${key} must be .+, got .`),
			);
	});

test("sampling parameters that do not exist, do not go together, or ask too much", async () => {
	for (const [params, message] of [
		[
			{ max_tokens: 5 },
			/there is no sampling parameter "max_tokens". Known: .*maxTokens/,
		],
		[{ constructor: 5 }, /there is no sampling parameter "constructor"/],
		[{ minTokens: 5, maxTokens: 4 }, /minTokens is 5, more than maxTokens 4/],
		[{ stop: ["a"], detokenize: false }, /stop strings are found in text/],
		[{ logprobs: 6 }, /logprobs is 6, the engine gives at most 5/],
		[{ logprobs: -1 }, /logprobs is -1, the engine gives at most 5/],
		[{ promptLogprobs: 6 }, /promptLogprobs is 6/],
		[
			{ stopTokenIds: [VOCAB_SIZE] },
			/stopTokenIds holds token id 908, the model's vocabulary ends at 907/,
		],
		[{ logitBias: { 1000: 1 } }, /logitBias holds token id 1000/],
		[{ allowedTokenIds: [1, 5000] }, /allowedTokenIds holds token id 5000/],
		["greedy", /wanted an object of sampling parameters, got "greedy"/],
		[5, /wanted an object of sampling parameters, got 5/],
		[[{}, {}], /2 sampling parameters for 1 prompts/],
		[[], /0 sampling parameters for 1 prompts/],
		[[5], /wanted an object of sampling parameters/],
	] as [unknown, RegExp][])
		await refusedBeside(
			() => llm.generate("x", params as Anything),
			"invalid_sampling_params",
			message,
		);
});

test("parameters that together forbid every token fail their own request", async () => {
	await refusedBeside(
		() =>
			llm.generate("x", {
				allowedTokenIds: [7],
				logitBias: { 7: -Infinity },
			}),
		"invalid_sampling_params",
		/forbid every token/,
	);
});

test("a priority that is no integer, or that nobody heeds", async () => {
	for (const priority of [1.5, NaN, "high", Infinity, {}])
		await refusedBeside(
			() => llm.generate("x", {}, { priority: priority as Anything }),
			"invalid_option",
			/priority must be an integer/,
		);
	await refusedBeside(
		() => llm.generate("x", {}, { priority: 2 }),
		"invalid_option",
		/priority 2 .*schedulingPolicy/,
	);
});

test("text where no tokenizer is loaded", async () => {
	await using bare = await loadText({ skipTokenizerInit: true });
	for (const [call, code, message] of [
		[() => bare.generate("text"), "invalid_prompt", /no tokenizer is loaded/],
		[
			() => bare.chat([{ role: "user", content: "x" }]),
			"invalid_tokenizer",
			/skipTokenizerInit/,
		],
		[async () => bare.tokenizer, "invalid_tokenizer", /skipTokenizerInit/],
		[
			() => bare.generate(ids([1]) as Anything, { badWords: ["x"] }),
			"invalid_sampling_params",
			/no tokenizer is loaded/,
		],
		[
			() => bare.generate(ids([1]) as Anything, { stop: "x" }),
			"invalid_sampling_params",
			/no tokenizer is loaded/,
		],
	] as [() => Promise<unknown>, ErrorCode, RegExp][])
		await refused(call(), code, message);
	const [output] = await bare.generate({ promptTokenIds: [1, 2] });
	assert.equal(output.outputs[0].text, "");
});

test("messages no chat template takes", async () => {
	for (const messages of [
		null,
		5,
		"hi",
		[5],
		[{ content: "x" }],
		{},
	] as unknown[])
		await refusedBeside(
			() => llm.chat(messages as Anything),
			"invalid_prompt",
			/./,
		);
	const files = await textFiles();
	files.delete("tokenizer_config.json");
	await using mute = await loadText({}, files);
	await refused(
		mute.chat([{ role: "user", content: "x" }]),
		"invalid_chat_template",
		/tiny has no chat template/,
	);
});

test("use after close", async () => {
	const closed = await loadText();
	const running = refused(
		closed.generate("one", { maxTokens: 200, ignoreEos: true }),
		"engine_closed",
		/closed/,
	);
	await new Promise((resolve) => setImmediate(resolve));
	await closed.close();
	await running;
	await refused(closed.generate("x"), "engine_closed", /closed/);
	await refused(closed.stream("x").next(), "engine_closed", /closed/);
	await refused(
		closed.chat([{ role: "user", content: "x" }]),
		"engine_closed",
		/closed/,
	);
	closed.abort("req-0");
	assert.equal(closed.stats().kvCacheUsage, 0);
	await closed.close();
	assert.ok(closed.tokenizer.encode("still here").length > 0);
});

for (const step of [1, 3])
	test(`a device that fails in step ${step}: every request is told, and the model can be loaded again`, async () => {
		const { compile } = referenceBackend;
		let numClosed = 0;
		referenceBackend.compile = async (...args) => {
			const executable = await compile(...args);
			let steps = 0;
			return {
				...executable,
				submit: async (input) => {
					if (++steps === step) throw new Error("the device fell over");
					return executable.submit(input);
				},
				close: async () => void numClosed++,
			};
		};
		try {
			const broken = await loadText({ maxNumSeqs: 2 });
			const stream = broken.stream("c", { ...goodParams, n: 2 });
			const drain = async () => {
				for await (const _ of stream);
			};
			await Promise.all(
				[broken.generate(["a", "b"], goodParams), drain()].map((call) =>
					refused(call, "backend_failed", /the device fell over/),
				),
			);
			assert.equal(broken.stats().kvCacheUsage, 0);
			await refused(broken.generate("late"), "backend_failed", /fell over/);
			await broken.close();
			assert.equal(numClosed, 1);
		} finally {
			referenceBackend.compile = compile;
		}
		await using again = await loadText();
		const [{ outputs }] = await again.generate("The good one", goodParams);
		assert.deepEqual(outputs[0].tokenIds, goodTokens);
	});

test("the good one again, after all that", async () => {
	const [{ outputs }] = await llm.generate("The good one", goodParams);
	assert.deepEqual(outputs[0].tokenIds, goodTokens);
});
