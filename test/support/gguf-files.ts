/** GGUF files for tests, in memory: from tensors of any type, and from whole checkpoints under ggml's names. */
import { mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
	GGML_TYPES,
	type GgmlType,
	type GgufOptions,
	type GgufTensor,
	type GgufValue,
	ggufBytes,
	tensorBytes,
	writeGgufFile,
} from "../../bench/peers/gguf-writer.ts";
import type { TensorDtype, WeightSource } from "../../src/backends/backend.ts";
import { checkpointTensors as shapesOf } from "../../src/backends/program.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import type { RandomSource } from "./random.ts";

export type Metadata = Readonly<Record<string, GgufValue>>;

export const u32 = (value: number): GgufValue => ({ u32: value });
export const f32 = (value: number): GgufValue => ({ f32: value });
export const string = (value: string): GgufValue => ({ string: value });
export const strings = (value: readonly string[]): GgufValue => ({
	strings: value,
});

export function tensor(
	name: string,
	type: GgmlType,
	shape: readonly number[],
	bytes: Uint8Array,
): GgufTensor {
	return { name, type, shape, data: () => [bytes] };
}

export function gguf(
	metadata: Metadata,
	tensors: readonly GgufTensor[] = [],
	options?: GgufOptions,
): Uint8Array<ArrayBuffer> {
	return ggufBytes(new Map(Object.entries(metadata)), tensors, options);
}

/** Random blocks of a type: every bit free but the exponents of its f16 numbers, which stay small and finite. */
export function randomBlocks(
	type: GgmlType,
	numBlocks: number,
	random: RandomSource,
	halves: readonly number[],
): Uint8Array<ArrayBuffer> {
	const { blockBytes } = GGML_TYPES[type];
	const bytes = new Uint8Array(numBlocks * blockBytes);
	for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
	for (let at = 0; at < bytes.length; at += blockBytes) {
		for (const half of halves) bytes[at + half + 1] &= 0xbb;
		if (type === "mxfp4") bytes[at] = 100 + random.below(40);
	}
	return bytes;
}

export const floatBytes = (values: Float32Array): Uint8Array =>
	new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Checkpoint name → ggml's, for Qwen3 and its kin. */
export function ggmlName(name: string): string {
	const layer = /^model\.layers\.(\d+)\.(.*)\.(weight|bias)$/.exec(name);
	if (layer) return `blk.${layer[1]}.${LAYER[layer[2]]}.${layer[3]}`;
	return GLOBAL[name];
}

const GLOBAL: Readonly<Record<string, string>> = {
	"model.embed_tokens.weight": "token_embd.weight",
	"model.norm.weight": "output_norm.weight",
	"lm_head.weight": "output.weight",
};
const LAYER: Readonly<Record<string, string>> = {
	input_layernorm: "attn_norm",
	post_attention_layernorm: "ffn_norm",
	"self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k",
	"self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output",
	"self_attn.q_norm": "attn_q_norm",
	"self_attn.k_norm": "attn_k_norm",
	"mlp.gate_proj": "ffn_gate",
	"mlp.up_proj": "ffn_up",
	"mlp.down_proj": "ffn_down",
};

/** A Qwen3 checkpoint as GGUF tensors in the types it has. */
export async function checkpointTensors(
	source: WeightSource<TensorDtype>,
): Promise<GgufTensor[]> {
	const tensors: GgufTensor[] = [];
	for (const { name, dtype, shape } of source.tensors.values()) {
		const bytes = await source.read(name, 0, shape[0]);
		// Vectors are f32 in every GGUF.
		const isVector = shape.length === 1;
		tensors.push(
			tensor(
				ggmlName(name),
				isVector ? "f32" : dtype,
				shape,
				isVector ? floatBytes(toFloat32(bytes, dtype).slice()) : bytes,
			),
		);
	}
	return tensors;
}

type Json = Readonly<Record<string, unknown>>;

/** The metadata of a Qwen3 config.json. */
export function qwen3Metadata(config: Json): Metadata {
	const number = (key: string) => u32(config[key] as number);
	const metadata: Record<string, GgufValue> = {
		"general.architecture": string("qwen3"),
		"qwen3.block_count": number("num_hidden_layers"),
		"qwen3.context_length": number("max_position_embeddings"),
		"qwen3.embedding_length": number("hidden_size"),
		"qwen3.feed_forward_length": number("intermediate_size"),
		"qwen3.attention.head_count": number("num_attention_heads"),
		"qwen3.attention.head_count_kv": number("num_key_value_heads"),
		"qwen3.attention.key_length": number("head_dim"),
		"qwen3.attention.layer_norm_rms_epsilon": f32(
			config.rms_norm_eps as number,
		),
		"qwen3.rope.freq_base": f32(ropeTheta(config)),
	};
	if (typeof config.eos_token_id === "number")
		metadata["tokenizer.ggml.eos_token_id"] = number("eos_token_id");
	return metadata;
}

function ropeTheta(config: Json): number {
	const parameters = config.rope_parameters as Json | undefined;
	return (config.rope_theta ?? parameters?.rope_theta ?? 10_000) as number;
}

/** A Qwen3 of any size on disk whose matrices are a hole in the file: to be refused before they are read. */
export async function emptyGguf(config: Json, type: GgmlType) {
	const folder = await mkdtemp(join(tmpdir(), "gguf-"));
	const path = join(folder, "empty.gguf");
	const program = buildProgram(parseModelConfig(config));
	const tensors = shapesOf(program).map(({ name, shape }): GgufTensor => {
		const own = shape.length === 1 ? "f32" : type;
		return { name: ggmlName(name), type: own, shape, data: () => [] };
	});
	const metadata = new Map(Object.entries(qwen3Metadata(config)));
	await writeGgufFile(path, metadata, tensors);
	const { size } = await stat(path);
	const numBytes = tensors.reduce((sum, it) => sum + tensorBytes(it) + 32, 0);
	await truncate(path, size + numBytes);
	return {
		path,
		[Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
	};
}
