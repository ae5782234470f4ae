/** A small random model twice: as GGUF in block types, and as a checkpoint of the same numbers in f32. */
import type { GgmlType, GgufTensor } from "../../bench/peers/gguf-writer.ts";
import type { BlockDtype } from "../../src/backends/backend.ts";
import { weightsOf } from "../../src/backends/program.ts";
import { LLM, type LoadOptions } from "../../src/llm.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { BLOCK_FORMATS, decode } from "../../src/weights/ggml-blocks.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { greedy } from "../backends/cpu/tiny-model.ts";
import {
	floatBytes,
	ggmlName,
	gguf,
	qwen3Metadata,
	randomBlocks,
	tensor,
} from "./gguf-files.ts";
import { randomSource } from "./random.ts";
import { type TensorToWrite, writeSafetensors } from "./safetensors-writer.ts";

/** Wide enough for blocks of 256. */
export const CONFIG = {
	architectures: ["Qwen3ForCausalLM"],
	vocab_size: 150,
	hidden_size: 256,
	intermediate_size: 256,
	num_hidden_layers: 2,
	num_attention_heads: 4,
	num_key_value_heads: 2,
	head_dim: 64,
	max_position_embeddings: 64,
	rms_norm_eps: 2 ** -20,
	rope_theta: 10_000,
	tie_word_embeddings: false,
	eos_token_id: 149,
};

export interface Twins {
	readonly tensors: readonly GgufTensor[];
	readonly file: Uint8Array;
	readonly gguf: ModelFiles;
	/** The same numbers in f32. */
	readonly safetensors: ModelFiles;
}

/** `typeOf`: the type of each matrix, by the checkpoint's name. */
export function twins(typeOf: (name: string) => BlockDtype): Twins {
	const random = randomSource(17);
	const plain: Record<string, TensorToWrite> = {};
	const tensors: GgufTensor[] = [];
	const program = buildProgram(parseModelConfig(CONFIG), 64);
	for (const { parts, shape } of weightsOf(program))
		for (const { tensor: name, rows } of parts) {
			const own = [rows, ...shape.slice(1)];
			const isVector = own.length === 1;
			const type: GgmlType = isVector ? "f32" : typeOf(name);
			const bytes = isVector
				? floatBytes(random.vector(rows).map((x) => 1 + x / 10))
				: matrix(type as BlockDtype, own, random);
			const data = decode(bytes, type as BlockDtype | "f32");
			tensors.push(tensor(ggmlName(name), type, own, bytes));
			plain[name] = { dtype: "f32", shape: own, data };
		}
	const file = gguf(qwen3Metadata(CONFIG), tensors);
	const config = new TextEncoder().encode(JSON.stringify(CONFIG));
	return {
		tensors,
		file,
		gguf: fileMap("gguf", new Map([["m.gguf", file]])),
		safetensors: fileMap(
			"safetensors",
			new Map([
				["config.json", config],
				["model.safetensors", writeSafetensors(plain)],
			]),
		),
	};
}

/** Random blocks whose numbers are about as large as a model's. */
function matrix(
	type: BlockDtype,
	[rows, columns]: readonly number[],
	random: ReturnType<typeof randomSource>,
): Uint8Array {
	const { halves, blockElements, blockBytes } = BLOCK_FORMATS[type];
	const numBlocks = (rows * columns) / blockElements;
	const bytes = randomBlocks(type, numBlocks, random, halves);
	let most = 0;
	for (const value of decode(bytes, type))
		most = Math.max(most, Math.abs(value));
	const shift = Math.round(Math.log2(most)) + 2;
	for (let at = 0; at < bytes.length; at += blockBytes) {
		if (type === "mxfp4") bytes[at] -= shift;
		for (const half of halves) scaleHalf(bytes, at + half, 2 ** -shift);
	}
	return bytes;
}

function scaleHalf(bytes: Uint8Array, at: number, factor: number): void {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	view.setFloat16(at, view.getFloat16(at, true) * factor, true);
}

const PROMPTS = [[1, 2, 3, 4, 5], [100, 50, 25, 12, 6, 3, 1, 140], [7]];

export async function answers(
	files: ModelFiles | string,
	options: LoadOptions,
) {
	await using llm = await LLM.load(files, {
		skipTokenizerInit: true,
		...options,
	});
	return await greedy(llm, PROMPTS, 12);
}

export const REFERENCE = { device: "reference" } as const;

/** Largest difference of a prompt's logprob between a device's over the GGUF and the reference's over the checkpoint. */
export async function largestDifference(
	{ gguf, safetensors }: Twins,
	options: LoadOptions,
): Promise<number> {
	const got = await answers(gguf, options);
	const want = await answers(safetensors, REFERENCE);
	let worst = 0;
	for (const [i, { promptLogprobs }] of got.entries())
		for (const [t, logprob] of promptLogprobs.entries())
			worst = Math.max(
				worst,
				Math.abs((logprob ?? 0) - (want[i].promptLogprobs[t] ?? 0)),
			);
	return worst;
}
