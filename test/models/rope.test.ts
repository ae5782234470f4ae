/** Rotary frequencies of every scaling: against the formulas in the words of their papers, and the config fields they come from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModelConfig } from "../../src/models/config.ts";
import { createRope } from "../../src/models/rope.ts";

const BASE = {
	architectures: ["LlamaForCausalLM"],
	hidden_size: 256,
	intermediate_size: 64,
	num_attention_heads: 4,
	num_hidden_layers: 2,
	vocab_size: 100,
	max_position_embeddings: 4096,
	rope_theta: 10_000,
};
const DIM = 64;
const plain = (i: number, theta = 10_000, dim = DIM) =>
	theta ** ((-2 * i) / dim);
const config = (changes: object) => parseModelConfig({ ...BASE, ...changes });
const rope = (changes: object, maxModelLen = 4096) =>
	createRope(config(changes).rope, maxModelLen);

function close(
	got: Float32Array,
	want: (i: number) => number,
	length = DIM / 2,
): void {
	assert.equal(got.length, length);
	got.forEach((value, i) => {
		const wanted = want(i);
		assert.ok(
			Math.abs(value - wanted) <= 2e-7 * wanted,
			`pair ${i}: ${value}, wanted ${wanted}`,
		);
	});
}

test("default and linear", () => {
	close(rope({}).inverseFrequencies, plain);
	const linear = { rope_type: "linear", factor: 8 };
	const scaled = rope({ rope_scaling: linear });
	close(scaled.inverseFrequencies, (i) => plain(i) / 8);
	assert.equal(scaled.scale, 1);
});

test("a part of each head turns: its frequencies are those of a head so small", () => {
	const half = (i: number) => plain(i, 10_000, 32);
	const part = { partial_rotary_factor: 0.5 };
	close(rope(part).inverseFrequencies, half, 16);
	// transformers 5 says it among the parameters.
	const inside = { rope_type: "default", rope_theta: 10_000, ...part };
	close(rope({ rope_parameters: inside }).inverseFrequencies, half, 16);
});

test("llama3: by wavelength, kept, divided, or between", () => {
	const { inverseFrequencies, scale } = rope({
		rope_scaling: {
			rope_type: "llama3",
			factor: 8,
			low_freq_factor: 1,
			high_freq_factor: 4,
			original_max_position_embeddings: 512,
		},
	});
	const kinds = new Set<string>();
	close(inverseFrequencies, (i) => {
		const wavelength = (2 * Math.PI) / plain(i);
		if (wavelength < 512 / 4) {
			kinds.add("kept");
			return plain(i);
		}
		if (wavelength > 512) {
			kinds.add("divided");
			return plain(i) / 8;
		}
		kinds.add("between");
		const smooth = (512 / wavelength - 1) / 3;
		return ((1 - smooth) * plain(i)) / 8 + smooth * plain(i);
	});
	assert.equal(kinds.size, 3);
	assert.equal(scale, 1);
});

test("yarn: pairs that turn often are kept, those that hardly turn divided, a ramp between whole pairs or not", () => {
	for (const truncate of [true, false]) {
		const scaling = {
			rope_type: "yarn",
			factor: 4,
			original_max_position_embeddings: 1024,
			truncate,
		};
		const { inverseFrequencies, scale } = rope({ rope_scaling: scaling });
		// The pair, as a real number, that turns so many times within 1024 tokens.
		const pair = (turns: number) =>
			(DIM / 2) * (Math.log(1024 / (2 * Math.PI * turns)) / Math.log(10_000));
		const low = truncate ? Math.floor(pair(32)) : pair(32);
		const high = truncate ? Math.ceil(pair(1)) : pair(1);
		assert.ok(low > 2 && high < DIM / 2 - 2, "all three kinds are there");
		close(inverseFrequencies, (i) => {
			if (i <= low) return plain(i);
			if (i >= high) return plain(i) / 4;
			const slow = (i - low) / (high - low);
			return (slow * plain(i)) / 4 + (1 - slow) * plain(i);
		});
		assert.equal(scale, 0.1 * Math.log(4) + 1);
	}
});

test("yarn: what the attention factor is made of", () => {
	const scale = (more: object) =>
		rope({ rope_scaling: { rope_type: "yarn", factor: 16, ...more } }).scale;
	assert.equal(scale({ attention_factor: 1.5 }), 1.5);
	const of = (m: number) => 0.1 * m * Math.log(16) + 1;
	assert.equal(scale({ mscale: 2, mscale_all_dim: 0.5 }), of(2) / of(0.5));
	assert.equal(scale({ factor: 1 }), 1);
});

test("dynamic: a greater base for the length that is served, none below the first one", () => {
	const scaling = { rope_scaling: { rope_type: "dynamic", factor: 4 } };
	close(rope(scaling, 100).inverseFrequencies, plain);
	close(rope(scaling, 4096).inverseFrequencies, plain);
	const base = 10_000 * ((4 * 12_288) / 4096 - 3) ** (DIM / (DIM - 2));
	close(rope(scaling, 12_288).inverseFrequencies, (i) => plain(i, base));
});

test("longrope: factors of short texts or of long ones, by the length that is served", () => {
	const short = Array.from({ length: 32 }, (_, i) => 1 + i / 100);
	const long = Array.from({ length: 32 }, (_, i) => 2 + i);
	for (const type of ["longrope", "su"]) {
		const changes = {
			original_max_position_embeddings: 1024,
			rope_scaling: { type, short_factor: short, long_factor: long },
		};
		const few = rope(changes, 1024);
		close(few.inverseFrequencies, (i) => plain(i) / short[i]);
		const many = rope(changes, 1025);
		close(many.inverseFrequencies, (i) => plain(i) / long[i]);
		const wanted = Math.sqrt(1 + Math.log(4) / Math.log(1024));
		assert.equal(few.scale, wanted);
		assert.equal(many.scale, wanted);
	}
});

test("a first length beside the parameters has a say over theirs", () => {
	const { scaling } = config({
		original_max_position_embeddings: 512,
		rope_scaling: {
			rope_type: "yarn",
			factor: 4,
			original_max_position_embeddings: 1024,
		},
	}).rope;
	assert.ok(scaling.type === "yarn" && scaling.originalLength === 512);
});

test("the longest text is what the scaling stretches max_position_embeddings to", () => {
	const longest = (rope_scaling: object) =>
		config({ rope_scaling }).maxPositionEmbeddings;
	assert.equal(longest({ rope_type: "linear", factor: 4 }), 4096);
	assert.equal(longest({ rope_type: "dynamic", factor: 4 }), 16_384);
	assert.equal(longest({ rope_type: "yarn", factor: 4 }), 16_384);
	const within = { factor: 4, original_max_position_embeddings: 1024 };
	assert.equal(longest({ rope_type: "yarn", ...within }), 4096);
});

test("layers with a window have their own: transformers 4's base frequency, transformers 5's parameters per type", () => {
	const gemma = { architectures: ["Gemma3ForCausalLM"], head_dim: DIM };
	const four = config({
		...gemma,
		rope_theta: 1e6,
		rope_local_base_freq: 20_000,
		rope_scaling: { rope_type: "linear", factor: 8 },
	});
	const five = config({
		...gemma,
		rope_theta: undefined,
		rope_parameters: {
			full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
			sliding_attention: { rope_type: "default", rope_theta: 20_000 },
		},
	});
	for (const { rope, slidingRope } of [four, five]) {
		assert.deepEqual(rope, {
			theta: 1e6,
			rotaryDim: DIM,
			scaling: { type: "linear", factor: 8 },
		});
		assert.deepEqual(slidingRope, {
			theta: 20_000,
			rotaryDim: DIM,
			scaling: { type: "default" },
		});
	}
});

// biome-ignore format: a table
const refused: [string, object, RegExp][] = [
	["dynamic without a factor", { rope_scaling: { rope_type: "dynamic" } }, /factor must be a positive number, got undefined/],
	["llama3 without a factor", { rope_scaling: { rope_type: "llama3", factor: 8 } }, /low_freq_factor must be/],
	["llama3 with factors in the wrong order", { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } }, /high_freq_factor 4 must be greater than low_freq_factor 4/],
	["yarn with half a token", { rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 0.5 } }, /original_max_position_embeddings must be a positive integer/],
	["yarn with a word", { rope_scaling: { rope_type: "yarn", factor: 4, truncate: "no" } }, /truncate must be true or false/],
	["longrope without factors", { rope_scaling: { rope_type: "longrope" } }, /short_factor must be a list of 32 positive numbers, got undefined/],
	["longrope with too few", { rope_scaling: { rope_type: "longrope", short_factor: [1, 2] } }, /list of 32 positive numbers, got \[1,2\]/],
	["a head of which nothing turns", { partial_rotary_factor: 0.01 }, /partial_rotary_factor 0.01 of head_dim 64 is 0 elements/],
	["a head of which too much turns", { partial_rotary_factor: 1.5 }, /96 elements; wanted an even number of them, at most 64/],
	["parameters per type that are none", { rope_parameters: { full_attention: 3 } }, /rope_parameters must be an object, got 3/],
	["a local base of nothing", { rope_local_base_freq: 0 }, /rope_local_base_freq must be a positive number/],
];
for (const [name, changes, message] of refused)
	test(`refused: ${name}`, () => {
		assert.throws(() => config(changes), {
			code: "invalid_model_config",
			message,
		});
	});
