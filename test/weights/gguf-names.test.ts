/** ggml's names and layouts back to a checkpoint's: what converters do is done here, plainly, and must come undone as rows are read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GgufTensor } from "../../bench/peers/gguf-writer.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { decode } from "../../src/weights/ggml-blocks.ts";
import { openGguf } from "../../src/weights/gguf.ts";
import { fileMap } from "../../src/weights/source.ts";
import {
	f32,
	floatBytes,
	gguf,
	type Metadata,
	string,
	tensor,
	u32,
} from "../support/gguf-files.ts";
import { randomSource } from "../support/random.ts";

const random = randomSource(23);

/** Enough of a family's metadata for its config. */
function metadata(architecture: string, more: Metadata = {}): Metadata {
	const own = (key: string) => `${architecture}.${key}`;
	return {
		"general.architecture": string(architecture),
		[own("block_count")]: u32(2),
		[own("context_length")]: u32(64),
		[own("embedding_length")]: u32(64),
		[own("feed_forward_length")]: u32(64),
		[own("expert_feed_forward_length")]: u32(64),
		[own("attention.head_count")]: u32(4),
		[own("attention.head_count_kv")]: u32(2),
		[own("attention.key_length")]: u32(16),
		[own("attention.layer_norm_rms_epsilon")]: f32(1e-6),
		[own("attention.sliding_window")]: u32(32),
		...more,
	};
}

async function open(head: Metadata, tensors: readonly GgufTensor[]) {
	const files = fileMap("d", new Map([["m.gguf", gguf(head, tensors)]]));
	return (await openGguf(files, "m.gguf")).weights;
}

/** Any numbers of a shape. */
function numbers(name: string, ...shape: number[]) {
	const values = random.vector(shape.reduce((a, b) => a * b, 1));
	return { values, written: tensor(name, "f32", shape, floatBytes(values)) };
}

/** LlamaModel.permute of the converters, on rows: [heads, 2, half] → [heads, half, 2]. */
function permuted<T>(rows: readonly T[], heads: number): T[] {
	const half = rows.length / heads / 2;
	return Array.from({ length: rows.length }, (_, to) => {
		const head = Math.floor(to / (2 * half));
		const within = to % (2 * half);
		return rows[head * 2 * half + (within % 2) * half + Math.floor(within / 2)];
	});
}

const rowsOf = (values: Uint8Array, size: number): Uint8Array[] =>
	Array.from({ length: values.length / size }, (_, r) =>
		values.subarray(r * size, (r + 1) * size),
	);

for (const architecture of ["llama", "granite", "smollm3"])
	test(`${architecture}: q and k as a checkpoint has them, any rows, blocks too, biases too`, async () => {
		const queries = random.vector(64 * 64);
		const bytes = new Uint8Array(32 * 2 * 34).map(() => random.below(256));
		const bias = random.vector(64);
		const source = await open(metadata(architecture), [
			tensor(
				"blk.1.attn_q.weight",
				"f32",
				[64, 64],
				Buffer.concat(permuted(rowsOf(floatBytes(queries), 256), 4)),
			),
			tensor(
				"blk.1.attn_k.weight",
				"q8_0",
				[32, 64],
				Buffer.concat(permuted(rowsOf(bytes, 68), 2)),
			),
			tensor(
				"blk.1.attn_q.bias",
				"f32",
				[64],
				floatBytes(Float32Array.from(permuted([...bias], 4))),
			),
			tensor(
				"blk.1.attn_v.weight",
				"f32",
				[32, 64],
				floatBytes(queries).slice(0, 8192),
			),
		]);
		const at = "model.layers.1.self_attn";
		for (const [start, end] of [
			[0, 64],
			[0, 16],
			[5, 6],
			[13, 35],
			[16, 48],
			[63, 64],
			[7, 7],
		]) {
			assert.deepEqual(
				await source.read(`${at}.q_proj.weight`, start, end),
				floatBytes(queries).slice(start * 256, end * 256),
				`rows ${start} to ${end}`,
			);
			assert.deepEqual(
				toFloat32(await source.read(`${at}.q_proj.bias`, start, end), "f32"),
				bias.slice(start, end),
			);
			const [first, last] = [Math.min(start, 32), Math.min(end, 32)];
			assert.deepEqual(
				await source.read(`${at}.k_proj.weight`, first, last),
				bytes.slice(first * 68, last * 68),
			);
		}
		assert.equal(source.tensors.get(`${at}.k_proj.weight`)?.dtype, "q8_0");
		assert.deepEqual(
			toFloat32(await source.read(`${at}.v_proj.weight`, 1, 3), "f32"),
			queries.slice(64, 192),
		);
	});

test("qwen3 and others keep their rows", async () => {
	const { values, written } = numbers("blk.0.attn_q.weight", 64, 64);
	const source = await open(metadata("qwen3"), [written]);
	assert.deepEqual(
		toFloat32(
			await source.read("model.layers.0.self_attn.q_proj.weight", 0, 64),
			"f32",
		),
		values,
	);
});

const NORMS = {
	"output_norm.weight": "model.norm.weight",
	"blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
	"blk.0.post_attention_norm.weight":
		"model.layers.0.post_attention_layernorm.weight",
	"blk.0.ffn_norm.weight": "model.layers.0.pre_feedforward_layernorm.weight",
	"blk.0.post_ffw_norm.weight":
		"model.layers.0.post_feedforward_layernorm.weight",
	"blk.0.attn_q_norm.weight": "model.layers.0.self_attn.q_norm.weight",
	"blk.0.attn_k_norm.weight": "model.layers.0.self_attn.k_norm.weight",
};

for (const architecture of ["gemma2", "gemma3"])
	test(`${architecture}: norms less the one that converters add`, async () => {
		const tensors = Object.keys(NORMS).map((name) => numbers(name, 64));
		const matrix = numbers("token_embd.weight", 3, 64);
		const source = await open(metadata(architecture), [
			...tensors.map(({ written }) => written),
			matrix.written,
		]);
		for (const [i, name] of Object.values(NORMS).entries()) {
			const got = toFloat32(await source.read(name, 2, 64), "f32");
			const want = tensors[i].values.slice(2).map((x) => x - 1);
			assert.deepEqual(got, want, name);
		}
		const embedding = await source.read("model.embed_tokens.weight", 0, 3);
		assert.deepEqual(toFloat32(embedding, "f32"), matrix.values);
	});

test("norms of other families are as they are, and after attention comes one", async () => {
	const { values, written } = numbers("blk.0.ffn_norm.weight", 64);
	const source = await open(metadata("llama"), [written]);
	const name = "model.layers.0.post_attention_layernorm.weight";
	assert.deepEqual(toFloat32(await source.read(name, 0, 64), "f32"), values);
});

test("names that families have to themselves", async () => {
	const cases: [string, Metadata, string, number[], string][] = [
		["phi3", {}, "blk.0.attn_qkv.weight", [8, 32], "self_attn.qkv_proj.weight"],
		["phi3", {}, "blk.0.ffn_up.weight", [8, 32], "mlp.gate_up_proj.weight"],
		["gpt-oss", {}, "blk.0.attn_sinks.weight", [4], "self_attn.sinks"],
		["gpt-oss", {}, "blk.0.ffn_gate_inp.bias", [4], "mlp.router.bias"],
		[
			"gpt-oss",
			{},
			"blk.0.post_attention_norm.weight",
			[64],
			"post_attention_layernorm.weight",
		],
		["qwen3moe", {}, "blk.0.ffn_gate_inp.weight", [4, 32], "mlp.gate.weight"],
		[
			"llama",
			{ "llama.expert_count": u32(4) },
			"blk.0.ffn_gate_inp.weight",
			[4, 32],
			"block_sparse_moe.gate.weight",
		],
		["qwen2", {}, "blk.0.attn_k.bias", [8], "self_attn.k_proj.bias"],
		["qwen3", {}, "blk.0.something_new.weight", [8], ""],
	];
	const experts = (architecture: string): Metadata => ({
		[`${architecture}.expert_count`]: u32(4),
		[`${architecture}.expert_used_count`]: u32(2),
	});
	for (const [architecture, more, name, shape, wanted] of cases) {
		const { values, written } = numbers(name, ...shape);
		const head = metadata(architecture, {
			...(/oss|moe|llama/.test(architecture) ? experts(architecture) : {}),
			...more,
		});
		const source = await open(head, [written]);
		const full = wanted === "" ? name : `model.layers.0.${wanted}`;
		assert.deepEqual([...source.tensors.keys()], [full]);
		assert.deepEqual(
			toFloat32(await source.read(full, 0, shape[0]), "f32"),
			values,
		);
	}
});

test("experts of a stack are tensors of their own, in every type", async () => {
	for (const [architecture, nameOf] of [
		["qwen3moe", (e: number) => `mlp.experts.${e}.down_proj.weight`],
		["gpt-oss", (e: number) => `mlp.experts.${e}.down_proj.weight`],
		["llama", (e: number) => `block_sparse_moe.experts.${e}.w2.weight`],
	] as const) {
		const blocks = new Uint8Array(3 * 5 * 2 * 18).map(() => random.below(251));
		for (let at = 1; at < blocks.length; at += 18) blocks[at] &= 0x3f;
		const bias = numbers("blk.1.ffn_down_exps.bias", 3, 5);
		const source = await open(
			metadata(architecture, {
				[`${architecture}.expert_count`]: u32(3),
				[`${architecture}.expert_used_count`]: u32(2),
			}),
			[
				tensor("blk.1.ffn_down_exps.weight", "q4_0", [3, 5, 64], blocks),
				bias.written,
			],
		);
		const all = decode(blocks, "q4_0");
		for (let e = 0; e < 3; e++) {
			const name = `model.layers.1.${nameOf(e)}`;
			const info = source.tensors.get(name);
			assert.deepEqual(info, { name, dtype: "q4_0", shape: [5, 64] });
			const rows = decode(await source.read(name, 1, 4), "q4_0");
			assert.deepEqual(rows, all.slice((e * 5 + 1) * 64, (e * 5 + 4) * 64));
			const biasName = name.replace(/weight$/, "bias");
			assert.deepEqual(
				toFloat32(await source.read(biasName, 1, 5), "f32"),
				bias.values.slice(e * 5 + 1, (e + 1) * 5),
			);
		}
	}
	// As the first files of mixtures had them: a tensor for each expert.
	const { values, written } = numbers("blk.0.ffn_gate.1.weight", 8, 32);
	const source = await open(
		metadata("llama", {
			"llama.expert_count": u32(2),
			"llama.expert_used_count": u32(2),
		}),
		[written],
	);
	const name = "model.layers.0.block_sparse_moe.experts.1.w1.weight";
	assert.deepEqual(toFloat32(await source.read(name, 0, 8), "f32"), values);
});

test("two tensors of one name, and heads that do not divide, are refused", async () => {
	const twice = [
		numbers("blk.0.ffn_norm.weight", 64).written,
		numbers("blk.0.post_attention_norm.weight", 64).written,
	];
	await assert.rejects(open(metadata("qwen3"), twice), {
		code: "invalid_weights",
		message: /are both model\.layers\.0\.post_attention_layernorm\.weight/,
	});
	const { written } = numbers("blk.0.attn_q.weight", 62, 64);
	await assert.rejects(open(metadata("llama"), [written]), {
		code: "invalid_weights",
		message: /rows of 4 heads with an even number each, got 62/,
	});
	for (const shape of [[64], [5000, 1, 1]]) {
		const { written } = numbers("blk.0.ffn_up_exps.weight", ...shape);
		await assert.rejects(open(metadata("qwen3"), [written]), {
			code: "invalid_weights",
			message: /wanted a stack of at most 4096 experts/,
		});
	}
});
