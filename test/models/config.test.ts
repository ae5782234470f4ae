/** config.json and generation_config.json: both spellings of transformers, and every way we know to be wrong. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { kvBytesPerToken, weightsOf } from "../../src/backends/program.ts";
import type { ErrorCode } from "../../src/errors.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { parseGenerationConfig } from "../../src/models/generation-config.ts";
import { createRope } from "../../src/models/rope.ts";

/** As transformers 4 writes it. */
const CONFIG = {
	architectures: ["Qwen3ForCausalLM"],
	attention_bias: false,
	bos_token_id: 151643,
	eos_token_id: 151645,
	head_dim: 128,
	hidden_act: "silu",
	hidden_size: 1024,
	intermediate_size: 3072,
	max_position_embeddings: 40960,
	max_window_layers: 28,
	num_attention_heads: 16,
	num_hidden_layers: 28,
	num_key_value_heads: 8,
	rms_norm_eps: 1e-6,
	rope_scaling: null,
	rope_theta: 1000000,
	sliding_window: null,
	tie_word_embeddings: true,
	torch_dtype: "bfloat16",
	use_sliding_window: false,
	vocab_size: 151936,
};
/** As from a file: what is undefined is not there. */
const parse = (changes: object) =>
	parseModelConfig(JSON.parse(JSON.stringify({ ...CONFIG, ...changes })));

const PLAIN_ROPE = {
	theta: 1000000,
	rotaryDim: 128,
	scaling: { type: "default" },
} as const;

test("transformers 4's config of Qwen3-0.6B", () => {
	assert.deepEqual(parse({}), {
		architecture: "Qwen3ForCausalLM",
		vocabSize: 151936,
		hiddenSize: 1024,
		intermediateSize: 3072,
		numLayers: 28,
		numHeads: 16,
		numKvHeads: 8,
		headDim: 128,
		maxPositionEmbeddings: 40960,
		rmsNormEps: 1e-6,
		tieWordEmbeddings: true,
		attentionBias: false,
		mlpBias: false,
		activation: "silu",
		rope: PLAIN_ROPE,
		slidingRope: PLAIN_ROPE,
		ropeLayers: new Array(28).fill(true),
		slidingWindows: new Array(28).fill(null),
		attentionScale: null,
		attentionSoftCap: null,
		logitsSoftCap: null,
		embeddingMultiplier: 1,
		residualMultiplier: 1,
		logitsMultiplier: 1,
		experts: null,
		bosTokenId: 151643,
		eosTokenIds: [151645],
	});
});

test("transformers 5's spelling means the same", () => {
	const { rope_theta, rope_scaling, torch_dtype, ...rest } = CONFIG;
	const v5 = {
		...rest,
		dtype: torch_dtype,
		rope_parameters: { rope_type: "default", rope_theta },
		layer_types: new Array(28).fill("full_attention"),
	};
	assert.equal(rope_scaling, null);
	assert.deepEqual(parseModelConfig(v5), parse({}));
});

test("what may be left out", () => {
	const least = parseModelConfig({
		architectures: ["Qwen3ForCausalLM"],
		hidden_size: 64,
		intermediate_size: 128,
		num_attention_heads: 4,
		num_hidden_layers: 2,
		vocab_size: 100,
	});
	assert.equal(least.numKvHeads, 4);
	assert.equal(least.headDim, 16);
	assert.equal(least.rope.theta, 10_000);
	assert.equal(least.rmsNormEps, 1e-6);
	assert.equal(least.tieWordEmbeddings, false);
	assert.equal(least.attentionBias, false);
	assert.deepEqual(least.eosTokenIds, []);
	assert.equal(least.bosTokenId, null);
	// null is what transformers writes for "not set".
	for (const key of [
		"layer_types",
		"max_window_layers",
		"sliding_window",
		"rope_scaling",
		"eos_token_id",
		"bos_token_id",
		"num_key_value_heads",
		"head_dim",
	])
		assert.doesNotThrow(() => parse({ [key]: null }), key);
});

test("rope: spellings and scaling", () => {
	const rope = (changes: object) => parse(changes).rope;
	const linear = {
		...PLAIN_ROPE,
		scaling: { type: "linear", factor: 4 },
	} as const;
	assert.deepEqual(
		rope({ rope_scaling: { type: "linear", factor: 4 } }),
		linear,
	);
	assert.deepEqual(
		rope({ rope_scaling: { rope_type: "linear", factor: 4.0 } }),
		linear,
	);
	assert.deepEqual(
		rope({
			rope_theta: undefined,
			rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 1000000 },
		}),
		linear,
	);
	assert.equal(
		rope({ rope_parameters: { rope_theta: 5e5, rope_type: "default" } }).theta,
		5e5,
	);
	assert.equal(rope({ rope_theta: null }).theta, 10_000);
	const frequencies = (changes: object) =>
		createRope(parse(changes).rope, 1).inverseFrequencies;
	assert.deepEqual(
		[...frequencies({ head_dim: 4 })],
		[1, Math.fround(1000000 ** -0.5)],
	);
	assert.deepEqual(
		[
			...frequencies({
				head_dim: 4,
				rope_scaling: { type: "linear", factor: 8 },
			}),
		],
		[1 / 8, Math.fround(1000000 ** -0.5 / 8)],
	);
});

test("a window without a flag: a Qwen config does not use it, another architecture's does", () => {
	const changes = {
		num_hidden_layers: 1,
		sliding_window: 32,
		max_window_layers: 0,
		use_sliding_window: undefined,
	};
	assert.deepEqual(parse(changes).slidingWindows, [null]);
	const mistral = { ...changes, architectures: ["MistralForCausalLM"] };
	assert.deepEqual(parse(mistral).slidingWindows, [32]);
});

test("sliding windows: by flag and first layer, or by layer types", () => {
	const windows = (changes: object) =>
		parse({ num_hidden_layers: 4, use_sliding_window: true, ...changes })
			.slidingWindows;
	assert.deepEqual(windows({ sliding_window: 32, max_window_layers: 2 }), [
		null,
		null,
		32,
		32,
	]);
	assert.deepEqual(
		windows({ sliding_window: 32, max_window_layers: 0 }),
		[32, 32, 32, 32],
	);
	assert.deepEqual(windows({ sliding_window: 32, max_window_layers: 9 }), [
		null,
		null,
		null,
		null,
	]);
	assert.deepEqual(
		windows({
			sliding_window: 32,
			max_window_layers: 0,
			use_sliding_window: false,
		}),
		[null, null, null, null],
	);
	assert.deepEqual(windows({ sliding_window: null }), [null, null, null, null]);
	const [full, sliding] = ["full_attention", "sliding_attention"];
	assert.deepEqual(
		windows({ sliding_window: 8, layer_types: [sliding, full, sliding, full] }),
		[8, null, 8, null],
	);
	const { ops } = buildProgram(
		parse({
			num_hidden_layers: 2,
			sliding_window: 8,
			use_sliding_window: true,
			layer_types: [full, sliding],
		}),
	);
	assert.deepEqual(
		ops.filter((op) => op.op === "attention").map((op) => op.slidingWindow),
		[null, 8],
	);
});

test("end-of-sequence ids: one, several, none", () => {
	const eos = (eos_token_id: unknown) => parse({ eos_token_id }).eosTokenIds;
	assert.deepEqual(eos(7), [7]);
	assert.deepEqual(eos([7, 8]), [7, 8]);
	assert.deepEqual(eos(null), []);
});

const malformed: [string, unknown, ErrorCode, RegExp][] = [
	["null", null, "invalid_model_config", /must hold an object, got null/],
	["a list", [], "invalid_model_config", /must hold an object/],
	["a string", "{}", "invalid_model_config", /must hold an object/],
	["nothing", {}, "invalid_model_config", /"architectures" must name one/],
	...(
		[
			["architectures", undefined, "invalid_model_config", /must name one/],
			["architectures", [], "invalid_model_config", /must name one/],
			[
				"architectures",
				"Qwen3ForCausalLM",
				"invalid_model_config",
				/must name one/,
			],
			["architectures", [3], "invalid_model_config", /must name one/],
			[
				"architectures",
				["BertModel"],
				"unsupported_model",
				/"BertModel" is not supported. Supported: .*Qwen3ForCausalLM/,
			],
			[
				"architectures",
				["constructor"],
				"unsupported_model",
				/"constructor" is not supported/,
			],
			["architectures", ["__proto__"], "unsupported_model", /is not supported/],
			["hidden_act", "gelu", "unsupported_model", /hidden_act "gelu"/],
			[
				"rope_scaling",
				{ rope_type: "ntk_by_parts", factor: 4 },
				"unsupported_model",
				/rope type "ntk_by_parts"/,
			],
			["rope_scaling", { type: 3 }, "unsupported_model", /rope type 3/],
			[
				"rope_scaling",
				"linear",
				"invalid_model_config",
				/must be an object, got "linear"/,
			],
			["rope_scaling", [1], "invalid_model_config", /must be an object/],
			[
				"rope_scaling",
				{ type: "linear", factor: 0 },
				"invalid_model_config",
				/factor must be a positive number, got 0/,
			],
			[
				"rope_scaling",
				{ type: "linear", factor: "2" },
				"invalid_model_config",
				/factor/,
			],
			[
				"num_key_value_heads",
				3,
				"invalid_model_config",
				/16 is not a multiple of num_key_value_heads 3/,
			],
			["num_key_value_heads", 32, "invalid_model_config", /not a multiple/],
			["head_dim", 7, "invalid_model_config", /head_dim 7 is odd/],
			[
				"num_hidden_layers",
				5000,
				"invalid_model_config",
				/num_hidden_layers is 5000, beyond/,
			],
			[
				"vocab_size",
				2 ** 30,
				"invalid_model_config",
				/vocab_size is 1073741824, beyond/,
			],
			["max_position_embeddings", 2 ** 40, "invalid_model_config", /beyond/],
			[
				"eos_token_id",
				-1,
				"invalid_model_config",
				/eos_token_id must be a token id/,
			],
			["eos_token_id", 1.5, "invalid_model_config", /eos_token_id/],
			["eos_token_id", "2", "invalid_model_config", /eos_token_id/],
			["eos_token_id", [1, null], "invalid_model_config", /eos_token_id/],
			["eos_token_id", { a: 1 }, "invalid_model_config", /eos_token_id/],
			[
				"layer_types",
				"full_attention",
				"invalid_model_config",
				/layer_types must be a list/,
			],
			[
				"layer_types",
				["full_attention"],
				"invalid_model_config",
				/layer_types has 1 entries for 28 layers/,
			],
			[
				"layer_types",
				new Array(28).fill("linear_attention"),
				"unsupported_model",
				/layer type "linear_attention"/,
			],
			[
				"layer_types",
				new Array(28).fill(null),
				"unsupported_model",
				/layer type null/,
			],
			[
				"rms_norm_eps",
				0,
				"invalid_model_config",
				/rms_norm_eps must be a positive number/,
			],
			["rms_norm_eps", "1e-6", "invalid_model_config", /rms_norm_eps/],
			[
				"rope_theta",
				-1,
				"invalid_model_config",
				/rope_theta must be a positive/,
			],
			["rope_theta", Infinity, "invalid_model_config", /rope_theta/],
			[
				"tie_word_embeddings",
				1,
				"invalid_model_config",
				/tie_word_embeddings must be true or false, got 1/,
			],
			[
				"attention_bias",
				"false",
				"invalid_model_config",
				/attention_bias must be true or false/,
			],
			...[
				"hidden_size",
				"intermediate_size",
				"num_hidden_layers",
				"num_attention_heads",
				"num_key_value_heads",
				"head_dim",
				"vocab_size",
				"max_position_embeddings",
			].flatMap((key) =>
				[0, -4, 2.5, "64", NaN, [64], {}, true].map((value) => [
					key,
					value,
					"invalid_model_config",
					new RegExp(`${key} must be a positive integer`),
				]),
			),
			...[
				"hidden_size",
				"intermediate_size",
				"num_hidden_layers",
				"num_attention_heads",
				"vocab_size",
			].map((key) => [
				key,
				undefined,
				"invalid_model_config",
				new RegExp(`${key} must be a positive integer, got undefined`),
			]),
		] as [string, unknown, ErrorCode, RegExp][]
	).map(
		([key, value, code, message]) =>
			[
				`${key} ${JSON.stringify(value)?.slice(0, 40)}`,
				{ ...CONFIG, [key]: value },
				code,
				message,
			] as [string, unknown, ErrorCode, RegExp],
	),
	[
		"head_dim that heads do not divide",
		{ ...CONFIG, head_dim: undefined, hidden_size: 1000 },
		"invalid_model_config",
		/head_dim must be a positive integer, got 62.5/,
	],
	...[0, -3, 2.5, "32"].map(
		(sliding_window) =>
			[
				`sliding_window ${sliding_window}`,
				{ ...CONFIG, sliding_window, use_sliding_window: true },
				"invalid_model_config",
				/sliding_window must be a positive integer/,
			] as [string, unknown, ErrorCode, RegExp],
	),
	...[-1, 1.5, "two", NaN].map(
		(max_window_layers) =>
			[
				`max_window_layers ${max_window_layers}`,
				{
					...CONFIG,
					max_window_layers,
					sliding_window: 4,
					use_sliding_window: true,
				},
				"invalid_model_config",
				/max_window_layers must be an integer of at least 0/,
			] as [string, unknown, ErrorCode, RegExp],
	),
];

for (const [name, config, code, message] of malformed)
	test(`refused: ${name}`, () => {
		assert.throws(
			() => buildProgram(parseModelConfig(config)),
			(error) => {
				assert.ok(error instanceof NanoVllmError, String(error));
				assert.equal(error.code, code);
				assert.match(error.message, message);
				return true;
			},
		);
	});

test("generation_config.json: advice in our names, only what is there", () => {
	assert.deepEqual(parseGenerationConfig(null), {
		eosTokenIds: [],
		sampling: {},
	});
	assert.deepEqual(
		parseGenerationConfig({
			bos_token_id: 151643,
			do_sample: true,
			eos_token_id: [151645, 151643],
			pad_token_id: 151643,
			temperature: 0.6,
			top_k: 20,
			top_p: 0.95,
			min_p: 0.01,
			repetition_penalty: 1.05,
			max_new_tokens: 2048,
			transformers_version: "4.51.0",
		}),
		{
			eosTokenIds: [151645, 151643],
			sampling: {
				temperature: 0.6,
				topK: 20,
				topP: 0.95,
				minP: 0.01,
				repetitionPenalty: 1.05,
				maxTokens: 2048,
			},
		},
	);
	assert.deepEqual(
		parseGenerationConfig({ do_sample: false, temperature: null }).sampling,
		{ temperature: 0 },
	);
	for (const [value, message] of [
		[[], /must hold an object/],
		["x", /must hold an object/],
		[{ eos_token_id: "2" }, /generation_config.json: eos_token_id/],
		[{ eos_token_id: [-2] }, /generation_config.json: eos_token_id/],
	] as [unknown, RegExp][])
		assert.throws(() => parseGenerationConfig(value), {
			code: "invalid_model_config",
			message,
		});
});

test("the published shapes build programs of the published size", async () => {
	const folder = fileURLToPath(new URL("../../bench/configs", import.meta.url));
	for (const name of await readdir(folder)) {
		const text = await readFile(`${folder}/${name}/config.json`, "utf8");
		const config = parseModelConfig(JSON.parse(text));
		const program = buildProgram(config);
		const numParameters = weightsOf(program).reduce(
			(sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
			0,
		);
		// The first number that ends in b: qwen3-30b-a3b has 30 billion, 3 of them active.
		const billions = Number(/([\d.]+)b\b/.exec(name)?.[1]);
		assert.ok(
			Math.abs(numParameters / 1e9 - billions) < 0.1 * billions + 0.15,
			`${name}: ${numParameters}`,
		);
		assert.equal(
			kvBytesPerToken(program, 2),
			config.numLayers * 2 * config.numKvHeads * config.headDim * 2,
		);
	}
});
