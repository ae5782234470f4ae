/** A whole model folder in memory: a tiny random Qwen3 with a real tokenizer, a chat template, and files to break one by one. */
import { readFileSync } from "node:fs";
import { checkpointTensors } from "../../src/backends/program.ts";
import { LLM, type LoadOptions } from "../../src/llm.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { type TensorToWrite, writeSafetensors } from "./safetensors-writer.ts";

const TOKENIZERS = new URL("../golden/tokenizers/", import.meta.url);

/** <|im_end|> of the tokenizer. */
export const EOS = 902;
export const VOCAB_SIZE = 908;

export const TEXT_CONFIG = {
	architectures: ["Qwen3ForCausalLM"],
	vocab_size: VOCAB_SIZE,
	hidden_size: 16,
	intermediate_size: 24,
	num_hidden_layers: 2,
	num_attention_heads: 2,
	num_key_value_heads: 1,
	head_dim: 8,
	max_position_embeddings: 256,
	rms_norm_eps: 1e-6,
	rope_theta: 10_000,
	tie_word_embeddings: true,
	eos_token_id: EOS,
};

export const CHAT_TEMPLATE =
	"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

export type Files = Map<string, Uint8Array>;

export const json = (value: unknown): Uint8Array =>
	new TextEncoder().encode(JSON.stringify(value));

/** The tensors of a config, small seeded numbers in f32. */
export async function textTensors(): Promise<Record<string, TensorToWrite>> {
	const shapes = checkpointTensors(buildProgram(parseModelConfig(TEXT_CONFIG)));
	const source = dummyWeights(shapes, { seed: 11, dtype: "f32" });
	const tensors: Record<string, TensorToWrite> = {};
	for (const { name, shape } of shapes) {
		const bytes = await source.read(name, 0, shape[0]);
		const data = new Float32Array(bytes.slice().buffer);
		tensors[name] = { dtype: "f32", shape, data };
	}
	return tensors;
}

/** Every file of the model, to be changed by the caller. `tokenizer`: a folder of the golden tokenizers. */
export async function textFiles(tokenizer = "qwen2"): Promise<Files> {
	const read = (name: string) =>
		new Uint8Array(readFileSync(new URL(`${tokenizer}/${name}`, TOKENIZERS)));
	const tokenizerConfig = JSON.parse(
		new TextDecoder().decode(read("tokenizer_config.json")),
	);
	return new Map([
		["config.json", json(TEXT_CONFIG)],
		["model.safetensors", writeSafetensors(await textTensors())],
		["tokenizer.json", read("tokenizer.json")],
		[
			"tokenizer_config.json",
			json({ ...tokenizerConfig, chat_template: CHAT_TEMPLATE }),
		],
	]);
}

export const asModel = (files: Files): ModelFiles => fileMap("tiny", files);

/** The model on the reference backend, small enough to be quick. */
export async function loadText(
	options: LoadOptions = {},
	files?: Files,
): Promise<LLM> {
	return LLM.load(asModel(files ?? (await textFiles())), {
		device: "reference",
		maxNumSeqs: 8,
		blockSize: 4,
		...options,
	});
}
