/** The models that greedy.ts compares: the bundled one in every type that is written, and a tiny one of each family that GGUF has a name for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import type { WrittenType } from "./checkpoint-gguf.ts";

export interface GreedyCase {
	readonly name: string;
	/** Of a checkpoint; where there is only a config.json, weights are random. */
	readonly folder: string;
	readonly config?: Readonly<Record<string, unknown>>;
	readonly hasTokenizer: boolean;
	readonly types: readonly WrittenType[];
	readonly prompts: readonly (readonly number[])[];
	/** Of the prompts, where they are text: both engines must make the same tokens of it. */
	readonly texts: readonly string[];
	/** Tokens of the longest sequence: where long ropes begin depends on it. */
	readonly contextSize: number;
	/** Fields of config.json that are written otherwise; see checkpoint-gguf.ts. */
	readonly changes?: Readonly<Record<string, unknown>>;
	/** Why no file is written. */
	readonly leftOut?: string;
}

const ROOT = join(import.meta.dirname, "../..");

const TEXTS = [
	"Once upon a time there was a small",
	"A paged KV cache keeps",
	"<|im_start|>user\nWhat is a scheduler?<|im_end|>\n<|im_start|>assistant\n",
	"Continuous batching lets requests join",
];

function bundled(): GreedyCase {
	const folder = join(ROOT, "demo-model");
	const read = (name: string) =>
		JSON.parse(readFileSync(join(folder, name), "utf8"));
	const tokenizer = createTokenizer(
		read("tokenizer.json"),
		read("tokenizer_config.json"),
	);
	return {
		name: "demo-model",
		folder,
		hasTokenizer: true,
		types: ["f32", "f16", "bf16", "q8_0", "q4_0", "q6_k", "q4_k"],
		prompts: TEXTS.map((text) => tokenizer.encode(text)),
		texts: TEXTS,
		contextSize: 256,
	};
}

/** Of the golden checkpoints, those that say something of a GGUF's family. */
const FAMILIES: Readonly<
	Record<string, Pick<GreedyCase, "changes" | "leftOut">>
> = {
	"qwen3/bf16-head64": {},
	"qwen3/deep-group2": {},
	"qwen3/bias-group8": { leftOut: "llama.cpp has no biases in Qwen3" },
	"families/qwen2-window": {},
	"families/qwen2-yarn": {},
	"families/llama-bias-linear": {},
	// GGUF has the divisors alone, and readers take them for Llama 3's own.
	"families/llama3-rope": {
		changes: {
			rope_scaling: {
				rope_type: "llama3",
				factor: 8,
				low_freq_factor: 1,
				high_freq_factor: 4,
				original_max_position_embeddings: 8192,
			},
		},
	},
	"families/mistral-window": {},
	"families/mixtral": {},
	"families/gemma2-caps": {},
	"families/gemma3-local-rope": {},
	"families/gemma3-layer-ropes": {},
	// llama.cpp lets every layer of Phi-3 see everything, whatever window the file has.
	"families/phi3-short": { changes: { sliding_window: null } },
	"families/phi3-long": {},
	"families/smollm3-nope": {},
	"families/olmo2-post-norm": {},
	"families/granite-multipliers": {},
	// llama.cpp rounds the bounds of YaRN's blend to whole dimensions, which gpt-oss's authors and transformers do not.
	"families/gpt-oss": { changes: { rope_scaling: null } },
	"families/llama-dynamic": { leftOut: "GGUF has no word for a dynamic rope" },
	"families/qwen3-moe-mixed": {
		leftOut: "llama.cpp has no Qwen3-MoE with plain layers between",
	},
};

function tiny([name, own]: [string, (typeof FAMILIES)[string]]): GreedyCase {
	const folder = join(ROOT, "test/golden", name);
	const { cases } = JSON.parse(
		readFileSync(join(folder, "golden.json"), "utf8"),
	) as { cases: { promptTokenIds: number[] }[] };
	return {
		name,
		folder,
		hasTokenizer: false,
		types: ["f32", "f16"],
		prompts: cases.map(({ promptTokenIds }) => promptTokenIds),
		texts: [],
		contextSize: 256,
		...own,
	};
}

/** Mixtures whose rows are whole blocks, with random weights: no golden checkpoint is one that llama.cpp takes. */
function mixture(): GreedyCase {
	return {
		name: "random/qwen3-moe",
		folder: "",
		config: {
			architectures: ["Qwen3MoeForCausalLM"],
			vocab_size: 600,
			hidden_size: 64,
			intermediate_size: 96,
			moe_intermediate_size: 32,
			num_hidden_layers: 2,
			num_attention_heads: 4,
			num_key_value_heads: 2,
			head_dim: 16,
			max_position_embeddings: 256,
			num_experts: 8,
			num_experts_per_tok: 3,
			norm_topk_prob: true,
			tie_word_embeddings: false,
		},
		hasTokenizer: false,
		types: ["f32", "f16", "q8_0"],
		prompts: [1, 13, 50, 100].map((length) =>
			Array.from({ length }, (_, i) => (i * i * 37 + 11 * length) % 600),
		),
		texts: [],
		contextSize: 256,
	};
}

export const greedyCases = (): GreedyCase[] => [
	bundled(),
	mixture(),
	...Object.entries(FAMILIES).map(tiny),
];
