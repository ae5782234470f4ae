/**
 * Checkpoints of every family → GGUF tensors, as llama.cpp's converters make them: names, reordered rows, norms plus one, stacks of experts.
 * Plain and slow, and of its own: what the reader undoes is done here a second way.
 */
import type { GgufTensor } from "../../bench/peers/gguf-writer.ts";
import { floatBytes, tensor } from "./gguf-files.ts";

export interface PlainTensor {
	readonly shape: readonly number[];
	readonly values: Float32Array;
}

export type Checkpoint = ReadonlyMap<string, PlainTensor>;

export interface Conversion {
	readonly architecture: string;
	readonly numHeads: number;
	readonly numKvHeads: number;
}

const MODULES: Readonly<Record<string, string>> = {
	input_layernorm: "attn_norm",
	post_attention_layernorm: "ffn_norm",
	pre_feedforward_layernorm: "ffn_norm",
	post_feedforward_layernorm: "post_ffw_norm",
	"self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k",
	"self_attn.v_proj": "attn_v",
	"self_attn.qkv_proj": "attn_qkv",
	"self_attn.o_proj": "attn_output",
	"self_attn.q_norm": "attn_q_norm",
	"self_attn.k_norm": "attn_k_norm",
	"mlp.gate_proj": "ffn_gate",
	"mlp.up_proj": "ffn_up",
	"mlp.gate_up_proj": "ffn_up",
	"mlp.down_proj": "ffn_down",
	"mlp.gate": "ffn_gate_inp",
	"mlp.router": "ffn_gate_inp",
	"block_sparse_moe.gate": "ffn_gate_inp",
};
/** Families with two norms around attention call the second by its own name. */
const POST_NORMS = ["gemma2", "gemma3", "olmo2", "gpt-oss"];

export function convert(
	checkpoint: Checkpoint,
	conversion: Conversion,
): GgufTensor[] {
	const out: GgufTensor[] = [];
	const add = (name: string, { shape, values }: PlainTensor) =>
		out.push(tensor(name, "f32", shape, floatBytes(values)));
	const stacks = new Map<string, PlainTensor[]>();
	for (const [name, plain] of checkpoint) {
		const layer = /^model\.layers\.(\d+)\.(.*)$/.exec(name);
		if (layer === null) add(globalName(name), withOne(name, plain, conversion));
		else {
			const at = `blk.${layer[1]}`;
			const expert =
				/^(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$/.exec(
					layer[2],
				);
			if (expert) {
				const key = `${at}.ffn_${EXPERT[expert[2]]}_exps.weight`;
				stacks.set(key, [...(stacks.get(key) ?? []), plain]);
			} else if (layer[2].startsWith("mlp.experts."))
				for (const [part, one] of unstacked(layer[2], plain))
					add(`${at}.${part}`, one);
			else add(...ofLayer(at, layer[2], plain, conversion));
		}
	}
	for (const [name, experts] of stacks) add(name, stacked(experts));
	return out;
}

const EXPERT: Readonly<Record<string, string>> = {
	w1: "gate",
	w2: "down",
	w3: "up",
	gate_proj: "gate",
	down_proj: "down",
	up_proj: "up",
};

function globalName(name: string): string {
	const names: Readonly<Record<string, string>> = {
		"model.embed_tokens.weight": "token_embd.weight",
		"model.norm.weight": "output_norm.weight",
		"lm_head.weight": "output.weight",
	};
	return names[name];
}

function ofLayer(
	at: string,
	name: string,
	plain: PlainTensor,
	conversion: Conversion,
): [string, PlainTensor] {
	const { architecture, numHeads, numKvHeads } = conversion;
	if (name === "self_attn.sinks") return [`${at}.attn_sinks.weight`, plain];
	const [, module, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
	const isPost =
		module === "post_attention_layernorm" && POST_NORMS.includes(architecture);
	const ggml = isPost ? "post_attention_norm" : MODULES[module];
	const full = `${at}.${ggml}.${kind}`;
	const turns = ["llama", "granite", "smollm3"].includes(architecture);
	if (turns && ggml === "attn_q") return [full, permuted(plain, numHeads)];
	if (turns && ggml === "attn_k") return [full, permuted(plain, numKvHeads)];
	return [full, withOne(name, plain, conversion)];
}

function withOne(
	name: string,
	{ shape, values }: PlainTensor,
	{ architecture }: Conversion,
): PlainTensor {
	const isShifted =
		architecture.startsWith("gemma") && name.endsWith("norm.weight");
	return { shape, values: isShifted ? values.map((x) => x + 1) : values };
}

/** [heads, 2, half, columns] → [heads, half, 2, columns] */
function permuted({ shape, values }: PlainTensor, heads: number): PlainTensor {
	const columns = values.length / shape[0];
	const half = shape[0] / heads / 2;
	const out = new Float32Array(values.length);
	for (let h = 0; h < heads; h++)
		for (let side = 0; side < 2; side++)
			for (let i = 0; i < half; i++) {
				const from = ((h * 2 + side) * half + i) * columns;
				const to = ((h * half + i) * 2 + side) * columns;
				out.set(values.subarray(from, from + columns), to);
			}
	return { shape, values: out };
}

function stacked(experts: readonly PlainTensor[]): PlainTensor {
	const { shape, values } = experts[0];
	const out = new Float32Array(experts.length * values.length);
	for (const [e, expert] of experts.entries())
		out.set(expert.values, e * values.length);
	return { shape: [experts.length, ...shape], values: out };
}

/** gpt-oss: [E, H, 2I] with gate and up alternating → two of [E, I, H]; down [E, I, H] → [E, H, I]; biases alike. */
function unstacked(name: string, plain: PlainTensor): [string, PlainTensor][] {
	const isBias = name.endsWith("_bias");
	const kind = isBias ? "bias" : "weight";
	const rows = isBias ? plain : transposed(plain);
	if (name.includes("down_proj")) return [[`ffn_down_exps.${kind}`, rows]];
	return ["gate", "up"].map((part, first) => [
		`ffn_${part}_exps.${kind}`,
		everySecondRow(rows, first),
	]);
}

function transposed({ shape: [E, A, B], values }: PlainTensor): PlainTensor {
	const out = new Float32Array(values.length);
	for (let e = 0; e < E; e++)
		for (let a = 0; a < A; a++)
			for (let b = 0; b < B; b++)
				out[(e * B + b) * A + a] = values[(e * A + a) * B + b];
	return { shape: [E, B, A], values: out };
}

/** Along the second dimension. */
function everySecondRow(
	{ shape: [E, rows, ...rest], values }: PlainTensor,
	first: number,
): PlainTensor {
	const columns = rest[0] ?? 1;
	const out = new Float32Array(values.length / 2);
	for (let e = 0; e < E; e++)
		for (let r = first, to = 0; r < rows; r += 2, to++) {
			const from = (e * rows + r) * columns;
			out.set(
				values.subarray(from, from + columns),
				((e * rows) / 2 + to) * columns,
			);
		}
	return { shape: [E, rows / 2, ...rest], values: out };
}
