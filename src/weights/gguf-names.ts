/**
 * ggml's tensor names → the names and rows of Hugging Face checkpoints, which models/ programs ask for. Knows what llama.cpp's converters
 * do to tensors on the way, and says how to undo it. Reads nothing.
 */
import { invalid } from "./gguf-cursor.ts";
import type { GgufTensor } from "./gguf-header.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";

/** A checkpoint's tensor as rows of a GGUF tensor. */
export interface NamedTensor {
	readonly name: string;
	readonly shape: readonly number[];
	readonly stored: GgufTensor;
	/** Its first row among the stored tensor's, all dimensions but the last counted as rows. */
	readonly rowStart: number;
	readonly undo: Undo;
}

/**
 * heads: rows of a head were reordered from [first half | second half] to alternating ones, for a rope that turns neighbours;
 * rows: how many a head has. plus_one: one was added to every number, so that a norm need not add it.
 */
export type Undo =
	| { readonly kind: "none" }
	| { readonly kind: "heads"; readonly rows: number }
	| { readonly kind: "plus_one" };

const NONE: Undo = { kind: "none" };

/** Outside the layers. */
const GLOBAL_NAMES: ReadonlyMap<string, string> = new Map([
	["token_embd.weight", "model.embed_tokens.weight"],
	["output_norm.weight", "model.norm.weight"],
	["output.weight", "lm_head.weight"],
	["output.bias", "lm_head.bias"],
]);

/** Of a layer, where families agree. */
const LAYER_NAMES: ReadonlyMap<string, string> = new Map([
	["attn_norm", "input_layernorm"],
	["attn_q", "self_attn.q_proj"],
	["attn_k", "self_attn.k_proj"],
	["attn_v", "self_attn.v_proj"],
	["attn_qkv", "self_attn.qkv_proj"],
	["attn_output", "self_attn.o_proj"],
	["attn_q_norm", "self_attn.q_norm"],
	["attn_k_norm", "self_attn.k_norm"],
	["post_attention_norm", "post_attention_layernorm"],
	["ffn_norm", "post_attention_layernorm"],
	["post_ffw_norm", "post_feedforward_layernorm"],
	["ffn_gate", "mlp.gate_proj"],
	["ffn_up", "mlp.up_proj"],
	["ffn_down", "mlp.down_proj"],
	["ffn_gate_inp", "mlp.gate"],
	["ffn_gate_shexp", "mlp.shared_expert.gate_proj"],
	["ffn_up_shexp", "mlp.shared_expert.up_proj"],
	["ffn_down_shexp", "mlp.shared_expert.down_proj"],
	["ffn_gate_inp_shexp", "mlp.shared_expert_gate"],
]);

/** Where a family differs from LAYER_NAMES. */
const FAMILY_NAMES: Readonly<Record<string, ReadonlyMap<string, string>>> = {
	gemma2: new Map([["ffn_norm", "pre_feedforward_layernorm"]]),
	gemma3: new Map([["ffn_norm", "pre_feedforward_layernorm"]]),
	phi3: new Map([["ffn_up", "mlp.gate_up_proj"]]),
	"gpt-oss": new Map([
		["ffn_gate_inp", "mlp.router"],
		["attn_sinks", "self_attn.sinks"],
	]),
};

/** llama.cpp's "llama" of several experts is Mixtral, whose checkpoints have names of their own. */
const MIXTRAL_NAMES: ReadonlyMap<string, string> = new Map([
	["ffn_gate_inp", "block_sparse_moe.gate"],
]);

/** Families whose q and k rows the converters reorder. */
const REORDERED: ReadonlySet<string> = new Set(["llama", "granite", "smollm3"]);
/** Families whose norms the converters add one to. */
const NORMS_PLUS_ONE: ReadonlySet<string> = new Set([
	"gemma",
	"gemma2",
	"gemma3",
]);

const LAYER_NAME = /^blk\.(\d+)\.([a-z_]+)(?:\.(\d+))?\.(weight|bias)$/;
/** Each becomes a name. The largest mixtures published have 512. */
const MAX_EXPERTS = 4096;
const EXPERTS = /^ffn_(gate|up|down)_exps$/;

/** Tensors we have no name for keep their own. @throws invalid_weights, invalid_model_config */
export function nameTensors(
	architecture: string,
	metadata: GgufMetadata,
	tensors: Iterable<GgufTensor>,
): Map<string, NamedTensor> {
	const named = new Map<string, NamedTensor>();
	for (const stored of tensors)
		for (const tensor of translate(architecture, metadata, stored)) {
			const other = named.get(tensor.name);
			if (other !== undefined)
				throw invalid(
					metadata.file,
					`tensors ${stored.name} and ${other.stored.name} are both ${tensor.name} of a checkpoint. Convert the model again with a current llama.cpp.`,
				);
			named.set(tensor.name, tensor);
		}
	return named;
}

function translate(
	architecture: string,
	metadata: GgufMetadata,
	stored: GgufTensor,
): NamedTensor[] {
	const whole = (name: string, undo = NONE): NamedTensor[] => [
		{ name, shape: stored.shape, stored, rowStart: 0, undo },
	];
	const global = GLOBAL_NAMES.get(stored.name);
	const isNorm = stored.name.endsWith("norm.weight");
	const undoNorm: Undo =
		isNorm && NORMS_PLUS_ONE.has(architecture) ? { kind: "plus_one" } : NONE;
	if (global !== undefined) return whole(global, undoNorm);
	const match = LAYER_NAME.exec(stored.name);
	if (match === null) return whole(stored.name);
	const [, layer, module, expert, kind] = match;
	const at = `model.layers.${layer}`;
	const isMixtral = architecture === "llama" && isSparse(metadata);
	const experts = expertNames(at, isMixtral);
	if (expert !== undefined)
		return whole(experts(Number(expert), module.replace("ffn_", ""), kind));
	const stacked = EXPERTS.exec(module);
	if (stacked !== null)
		return split(metadata.file, stored, (e) => experts(e, stacked[1], kind));
	const name =
		(isMixtral ? MIXTRAL_NAMES : FAMILY_NAMES[architecture])?.get(module) ??
		LAYER_NAMES.get(module);
	if (name === undefined) return whole(stored.name);
	// Checkpoints have sinks as a bare parameter.
	if (module === "attn_sinks") return whole(`${at}.${name}`);
	const undo = undoHeads(architecture, metadata, stored, module);
	return whole(`${at}.${name}.${kind}`, undo.kind === "none" ? undoNorm : undo);
}

function isSparse(metadata: GgufMetadata): boolean {
	return (metadata.number("llama.expert_count") ?? 0) > 0;
}

type ExpertName = (expert: number, projection: string, kind: string) => string;

function expertNames(at: string, isMixtral: boolean): ExpertName {
	const numbers: Readonly<Record<string, string>> = {
		gate: "w1",
		down: "w2",
		up: "w3",
	};
	return (expert, projection, kind) =>
		isMixtral
			? `${at}.block_sparse_moe.experts.${expert}.${numbers[projection] ?? projection}.${kind}`
			: `${at}.mlp.experts.${expert}.${projection}_proj.${kind}`;
}

/** [experts, rows, columns] → a tensor [rows, columns] each; biases [experts, length] → [length]. */
function split(
	file: string,
	stored: GgufTensor,
	nameOf: (expert: number) => string,
): NamedTensor[] {
	const [numExperts, ...shape] = stored.shape;
	if (shape.length === 0 || numExperts > MAX_EXPERTS)
		throw invalid(
			file,
			`tensor ${stored.name}: wanted a stack of at most ${MAX_EXPERTS} experts, got shape [${stored.shape.join(", ")}]. The file is damaged; download it again.`,
		);
	const rows = shape.slice(0, -1).reduce((product, n) => product * n, 1);
	return Array.from({ length: numExperts }, (_, e) => ({
		name: nameOf(e),
		shape,
		stored,
		rowStart: e * rows,
		undo: NONE,
	}));
}

/** Rows of q and k, and their biases, of the families whose converter reorders them. */
function undoHeads(
	architecture: string,
	metadata: GgufMetadata,
	{ name, shape }: GgufTensor,
	module: string,
): Undo {
	const isQuery = module === "attn_q";
	if (!REORDERED.has(architecture) || (!isQuery && module !== "attn_k"))
		return NONE;
	const key = `${architecture}.attention.head_count`;
	const numHeads = metadata.needNumber(key);
	const count = isQuery ? numHeads : (metadata.number(`${key}_kv`) ?? numHeads);
	const rows = shape[0] / count;
	if (Number.isInteger(rows) && rows > 0 && rows % 2 === 0)
		return { kind: "heads", rows };
	throw invalid(
		metadata.file,
		`tensor ${name}: wanted rows of ${count} heads with an even number each, got ${shape[0]}. The file is damaged; download it again.`,
	);
}

/** Where row `row` of a checkpoint lies among the reordered ones: element i of the first half at 2i, of the second at 2i + 1. */
export function reorderedRow(row: number, headRows: number): number {
	const within = row % headRows;
	const half = headRows / 2;
	return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}
