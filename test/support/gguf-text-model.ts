/** The tiny model with a real tokenizer as GGUF: wide enough for blocks of 32, one file or several. */
import { readFileSync } from "node:fs";
import type { GgufTensor } from "../../bench/peers/gguf-writer.ts";
import { type BlockType, quantize } from "../../bench/peers/quantize-blocks.ts";
import { checkpointTensors } from "../../src/backends/program.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";
import {
	ggmlName,
	gguf,
	type Metadata,
	qwen3Metadata,
	string,
	tensor,
	u32,
} from "./gguf-files.ts";
import { tokenizerMetadata } from "./gguf-tokenizer.ts";
import { CHAT_TEMPLATE, TEXT_CONFIG } from "./text-model.ts";

export const GGUF_TEXT_CONFIG = {
	...TEXT_CONFIG,
	hidden_size: 32,
	intermediate_size: 64,
	head_dim: 16,
};

function metadata(): Metadata {
	const read = (name: string) => {
		const url = new URL(`../golden/tokenizers/qwen2/${name}`, import.meta.url);
		return JSON.parse(readFileSync(url, "utf8"));
	};
	const text = tokenizerMetadata(
		read("tokenizer.json"),
		read("tokenizer_config.json"),
		"gpt2",
		{
			"tokenizer.ggml.pre": string("qwen2"),
			"tokenizer.chat_template": string(CHAT_TEMPLATE),
		},
	);
	return { ...text, ...qwen3Metadata(GGUF_TEXT_CONFIG) };
}

async function tensorsOf(type: BlockType): Promise<GgufTensor[]> {
	const program = buildProgram(parseModelConfig(GGUF_TEXT_CONFIG));
	const shapes = checkpointTensors(program);
	const source = dummyWeights(shapes, { seed: 11, dtype: "f32" });
	const tensors: GgufTensor[] = [];
	for (const { name, shape } of shapes) {
		const bytes = await source.read(name, 0, shape[0]);
		const own = ggmlName(name);
		tensors.push(
			shape.length === 1
				? tensor(own, "f32", shape, bytes)
				: tensor(own, type, shape, quantize(toFloat32(bytes, "f32"), type)),
		);
	}
	return tensors;
}

export async function textGguf(type: BlockType): Promise<Uint8Array> {
	return gguf(metadata(), await tensorsOf(type));
}

/** NAME-00001-of-00003.gguf …: metadata in the first, tensors in turn. */
export async function splitTextGguf(
	type: BlockType,
	stem: string,
	count: number,
): Promise<Map<string, Uint8Array>> {
	const tensors = await tensorsOf(type);
	const five = (n: number) => String(n).padStart(5, "0");
	return new Map(
		Array.from({ length: count }, (_, no) => [
			`${stem}-${five(no + 1)}-of-${five(count)}.gguf`,
			gguf(
				{
					...(no === 0 ? metadata() : {}),
					"split.no": u32(no),
					"split.count": u32(count),
				},
				tensors.filter((_, i) => i % count === no),
			),
		]),
	);
}
