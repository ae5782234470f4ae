/** A Hugging Face checkpoint in safetensors as a GGUF file, in a type of one's choice: what convert_hf_to_gguf and llama-quantize make of it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ModelConfig, parseModelConfig } from "../../src/models/config.ts";
import { platform } from "../../src/platform/node.ts";
import {
	float32ToBfloat16,
	float32ToFloat16,
	toFloat32,
} from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import {
	convert,
	type PlainTensor,
} from "../../test/support/gguf-converter.ts";
import { tokenizerMetadata } from "../../test/support/gguf-tokenizer.ts";
import {
	ggmlArchitecture,
	modelMetadata,
	ropeTensors,
} from "./checkpoint-metadata.ts";
import {
	type GgufTensor,
	type GgufValue,
	writeGgufFile,
} from "./gguf-writer.ts";
import {
	BLOCK_TYPES,
	type BlockType,
	fitsBlocks,
	quantize,
} from "./quantize-blocks.ts";
import { madeUpVocabulary } from "./write-gguf.ts";

export const WRITTEN_TYPES = ["f32", "f16", "bf16", ...BLOCK_TYPES] as const;
export type WrittenType = (typeof WRITTEN_TYPES)[number];

export interface CheckpointOptions {
	readonly type: WrittenType;
	/** Fields of config.json to be written otherwise, where GGUF has no word for what the checkpoint has. */
	readonly changes?: Readonly<Record<string, unknown>>;
	/** Whether the folder has a tokenizer.json, of the kind of GPT-2's. */
	readonly hasTokenizer?: boolean;
}

/** @returns the config as it was written */
export async function writeCheckpoint(
	path: string,
	folder: string,
	{ type, changes = {}, hasTokenizer = false }: CheckpointOptions,
): Promise<ModelConfig> {
	const read = async (name: string) =>
		JSON.parse(await readFile(join(folder, name), "utf8"));
	const config = parseModelConfig({
		...(await read("config.json")),
		...changes,
	});
	const metadata = modelMetadata(config);
	const text: Readonly<Record<string, GgufValue>> = hasTokenizer
		? tokenizerMetadata(
				await read("tokenizer.json"),
				await read("tokenizer_config.json"),
				"gpt2",
				{
					"tokenizer.ggml.pre": { string: "qwen2" },
					"tokenizer.ggml.add_bos_token": { bool: false },
				},
			)
		: Object.fromEntries(madeUpVocabulary(config));
	for (const [key, value] of Object.entries(text)) metadata.set(key, value);
	const tensors = convert(await readCheckpoint(folder), {
		architecture: ggmlArchitecture(config),
		numHeads: config.numHeads,
		numKvHeads: config.numKvHeads,
	});
	const typed = tensors.map((tensor) => withType(tensor, type));
	await writeGgufFile(path, metadata, [...typed, ...ropeTensors(config)]);
	return config;
}

async function readCheckpoint(
	folder: string,
): Promise<Map<string, PlainTensor>> {
	const source = await openSafetensors(await platform.localFiles(folder));
	const checkpoint = new Map<string, PlainTensor>();
	for (const { name, dtype, shape } of source.tensors.values()) {
		const bytes = await source.read(name, 0, shape[0]);
		checkpoint.set(name, { shape, values: toFloat32(bytes, dtype).slice() });
	}
	await source.close();
	return checkpoint;
}

/** Vectors, biases and routers stay in f32, as converters keep them; so do matrices whose rows are no whole blocks. */
function withType(tensor: GgufTensor, type: WrittenType): GgufTensor {
	const { name, shape } = tensor;
	const isMatrix = shape.length > 1 && name.endsWith(".weight");
	if (!isMatrix || name.includes("ffn_gate_inp") || type === "f32")
		return tensor;
	if (isBlockType(type) && !fitsBlocks(type, shape.at(-1) ?? 1)) return tensor;
	const data = (numBytes: number) => {
		const bytes = Buffer.concat([...tensor.data(2 * numBytes)]);
		const values = new Float32Array(new Uint8Array(bytes).buffer);
		return [encode(values, type)];
	};
	return { ...tensor, type, data };
}

const isBlockType = (type: WrittenType): type is BlockType =>
	(BLOCK_TYPES as readonly string[]).includes(type);

function encode(
	values: Float32Array,
	type: Exclude<WrittenType, "f32">,
): Uint8Array {
	if (isBlockType(type)) return quantize(values, type);
	const words =
		type === "f16"
			? float32ToFloat16(values).values
			: float32ToBfloat16(values);
	return new Uint8Array(words.buffer);
}
