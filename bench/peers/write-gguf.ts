/**
 * A Qwen3 model with seeded random weights as a GGUF file, for engines that read nothing else.
 *   node bench/peers/write-gguf.ts --dir DIR [--model bench/configs/qwen3-0.6b] [--format q8_0] [--seed 0]
 * Values are spread as those of --load-format dummy, though not the same ones: matrices 0 ± √3/√in, norms 1.
 */
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type ModelConfig, parseModelConfig } from "../../src/models/config.ts";
import {
	float32ToBfloat16,
	float32ToFloat16,
} from "../../src/weights/convert.ts";
import {
	GGML_TYPES,
	type GgmlType,
	type GgufTensor,
	type GgufValue,
	writeGgufFile,
} from "./gguf-writer.ts";
import { createWords } from "./random-words.ts";

export const GGUF_FORMATS = ["f16", "bf16", "q8_0", "q4_0"] as const;
export type GgufFormat = (typeof GGUF_FORMATS)[number];

export const isGgufFormat = (name: string): name is GgufFormat =>
	(GGUF_FORMATS as readonly string[]).includes(name);

/** llama.cpp's numbers of "mostly this type", for general.file_type. */
const FILE_TYPES: Readonly<Record<GgufFormat, number>> = {
	f16: 1,
	bf16: 32,
	q8_0: 7,
	q4_0: 2,
};

/** The file's path in `directory`; written only where it is not there yet. */
export async function ensureGguf(
	directory: string,
	model: string,
	format: GgufFormat,
	seed = 0,
): Promise<string> {
	const name = basename(resolve(model));
	const path = join(directory, `${name}-${format}-seed${seed}.gguf`);
	if (existsSync(path)) return path;
	mkdirSync(directory, { recursive: true });
	const text = readFileSync(join(model, "config.json"), "utf8");
	const config = parseModelConfig(JSON.parse(text));
	if (config.architecture !== "Qwen3ForCausalLM")
		throw new Error(`${model}: wanted Qwen3, got ${config.architecture}`);
	// A run cut short leaves no file under the final name.
	const partial = `${path}.${process.pid}.part`;
	await writeGgufFile(
		partial,
		metadataOf(config, name, format),
		tensorsOf(config, format, seed),
	);
	renameSync(partial, path);
	return path;
}

function metadataOf(
	config: ModelConfig,
	name: string,
	format: GgufFormat,
): Map<string, GgufValue> {
	const u32 = (value: number) => ({ u32: value });
	return new Map<string, GgufValue>([
		["general.architecture", { string: "qwen3" }],
		["general.name", { string: `${name}, random weights` }],
		["general.file_type", u32(FILE_TYPES[format])],
		["general.quantization_version", u32(2)],
		["qwen3.block_count", u32(config.numLayers)],
		["qwen3.context_length", u32(config.maxPositionEmbeddings)],
		["qwen3.embedding_length", u32(config.hiddenSize)],
		["qwen3.feed_forward_length", u32(config.intermediateSize)],
		["qwen3.attention.head_count", u32(config.numHeads)],
		["qwen3.attention.head_count_kv", u32(config.numKvHeads)],
		["qwen3.attention.key_length", u32(config.headDim)],
		["qwen3.attention.value_length", u32(config.headDim)],
		["qwen3.attention.layer_norm_rms_epsilon", { f32: config.rmsNormEps }],
		["qwen3.rope.freq_base", { f32: config.rope.theta }],
		...madeUpVocabulary(config),
	]);
}

/** As many tokens as the model has, made up but for the bytes: nothing here is ever turned into text. */
export function madeUpVocabulary(config: ModelConfig): [string, GgufValue][] {
	const [a, b, ...others] = byteTokens();
	// A merge may only name tokens, of which there may be few: what it makes stands behind its parts.
	const first = [a, b, `${a}${b}`, ...others];
	const tokens = Array.from(
		{ length: config.vocabSize },
		(_, id) => first[id] ?? `token${id}`,
	);
	const eos = config.eosTokenIds[0] ?? config.vocabSize - 1;
	const types = new Int32Array(config.vocabSize).fill(NORMAL_TOKEN);
	types[eos] = CONTROL_TOKEN;
	return [
		["tokenizer.ggml.model", { string: "gpt2" }],
		["tokenizer.ggml.pre", { string: "qwen2" }],
		["tokenizer.ggml.tokens", { strings: tokens }],
		["tokenizer.ggml.token_type", { i32s: types }],
		["tokenizer.ggml.merges", { strings: [`${a} ${b}`] }],
		["tokenizer.ggml.eos_token_id", { u32: eos }],
		["tokenizer.ggml.add_bos_token", { bool: false }],
	];
}

const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

/** GPT-2's spelling of bytes: printable ones as they are, the others from U+0100 on. */
function byteTokens(): string[] {
	const isPrintable = (byte: number) =>
		(byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
	let next = 256;
	return Array.from({ length: 256 }, (_, byte) =>
		String.fromCharCode(isPrintable(byte) ? byte : next++),
	);
}

function tensorsOf(
	config: ModelConfig,
	format: GgufFormat,
	seed: number,
): GgufTensor[] {
	const { hiddenSize: hidden, intermediateSize: ffn, headDim } = config;
	const queries = config.numHeads * headDim;
	const keys = config.numKvHeads * headDim;
	const blocks = createBlockPools(seed);
	const matrix = (
		name: string,
		rows: number,
		columns: number,
		type: GgmlType = format,
	): GgufTensor => ({
		name: `${name}.weight`,
		type,
		shape: [rows, columns],
		data: (numBytes) => blocks(type, columns, numBytes),
	});
	const norm = (name: string, length: number): GgufTensor => ({
		name: `${name}.weight`,
		type: "f32",
		shape: [length],
		data: () => [new Uint8Array(new Float32Array(length).fill(1).buffer)],
	});
	// 4-bit files keep embedding and output head at 8 bits, as nano-vllm does.
	const tableType = format === "q4_0" ? "q8_0" : format;
	const tensors = [
		matrix("token_embd", config.vocabSize, hidden, tableType),
		norm("output_norm", hidden),
	];
	if (!config.tieWordEmbeddings)
		tensors.push(matrix("output", config.vocabSize, hidden, tableType));
	for (let layer = 0; layer < config.numLayers; layer++) {
		const at = `blk.${layer}`;
		tensors.push(
			norm(`${at}.attn_norm`, hidden),
			matrix(`${at}.attn_q`, queries, hidden),
			matrix(`${at}.attn_k`, keys, hidden),
			matrix(`${at}.attn_v`, keys, hidden),
			norm(`${at}.attn_q_norm`, headDim),
			norm(`${at}.attn_k_norm`, headDim),
			matrix(`${at}.attn_output`, hidden, queries),
			norm(`${at}.ffn_norm`, hidden),
			matrix(`${at}.ffn_gate`, ffn, hidden),
			matrix(`${at}.ffn_up`, ffn, hidden),
			matrix(`${at}.ffn_down`, hidden, ffn),
		);
	}
	return tensors;
}

/** Blocks made once per type and width; a tensor is slices of them. */
const POOL_BLOCKS = 2 ** 16;
const PIECE_BLOCKS = 2 ** 15;

function createBlockPools(seed: number) {
	const random = createWords(seed);
	const pools = new Map<string, Uint8Array>();
	return function* pieces(
		type: GgmlType,
		columns: number,
		numBytes: number,
	): Generator<Uint8Array> {
		const key = `${type} ${columns}`;
		const pool = pools.get(key) ?? makeBlocks(type, columns, random);
		pools.set(key, pool);
		const { blockBytes } = GGML_TYPES[type];
		for (let done = 0; done < numBytes; ) {
			const first = random() % (POOL_BLOCKS - PIECE_BLOCKS);
			const length = Math.min(PIECE_BLOCKS * blockBytes, numBytes - done);
			yield pool.subarray(first * blockBytes, first * blockBytes + length);
			done += length;
		}
	};
}

function makeBlocks(
	type: GgmlType,
	columns: number,
	random: () => number,
): Uint8Array {
	const spread = Math.sqrt(3 / columns);
	const { blockBytes } = GGML_TYPES[type];
	const scaled = (levels: number) =>
		float32ToFloat16(Float32Array.of(spread / levels)).values[0];
	if (type === "q8_0" || type === "q4_0") {
		const pool = new Uint8Array(POOL_BLOCKS * blockBytes);
		const view = new DataView(pool.buffer);
		const scale = scaled(type === "q8_0" ? 127 : 8);
		for (let at = 0; at < pool.length; at++) pool[at] = random() >>> 24;
		for (let at = 0; at < pool.length; at += blockBytes)
			view.setUint16(at, scale, true);
		return pool;
	}
	const values = Float32Array.from(
		{ length: POOL_BLOCKS },
		() => spread * (random() / 2 ** 31 - 1),
	);
	const words =
		type === "f16"
			? float32ToFloat16(values).values
			: type === "bf16"
				? float32ToBfloat16(values)
				: values;
	return new Uint8Array(words.buffer);
}

if (import.meta.main) {
	const { values } = parseArgs({
		options: {
			dir: { type: "string" },
			model: { type: "string", default: "bench/configs/qwen3-0.6b" },
			format: { type: "string", default: "q8_0" },
			seed: { type: "string", default: "0" },
		},
	});
	const { dir, model, format, seed } = values;
	if (dir === undefined || !isGgufFormat(format))
		throw new Error(`wanted --dir DIR --format ${GGUF_FORMATS.join(" | ")}`);
	console.log(await ensureGguf(dir, model, format, Number(seed)));
}
