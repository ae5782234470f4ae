/** HF config.json → ModelConfig: the numbers a model family needs, checked. Knows transformers 4's and 5's spellings, no file system. */
import { show } from "../config.ts";
import { NanoVllmError } from "../errors.ts";

export interface ModelConfig {
	readonly architecture: string;
	readonly vocabSize: number;
	readonly hiddenSize: number;
	readonly intermediateSize: number;
	readonly numLayers: number;
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
	readonly maxPositionEmbeddings: number;
	readonly rmsNormEps: number;
	readonly tieWordEmbeddings: boolean;
	readonly attentionBias: boolean;
	readonly rope: RopeConfig;
	/** Per layer: tokens a query may look back, null for all. */
	readonly slidingWindows: readonly (number | null)[];
	readonly bosTokenId: number | null;
	readonly eosTokenIds: readonly number[];
}

export interface RopeConfig {
	readonly type: "default" | "linear";
	readonly theta: number;
	/** Positions are divided by it (`linear`). */
	readonly factor: number;
}

type Json = Record<string, unknown>;

/** Largest sizes believed: beyond them a config is broken, not big. */
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 2 ** 12;
const MAX_CONTEXT = 2 ** 30;

/** @throws invalid_model_config, unsupported_model */
export function parseModelConfig(json: unknown): ModelConfig {
	if (!isObject(json))
		throw invalid(`config.json must hold an object, got ${show(json)}.`);
	const architectures = json.architectures;
	const architecture = Array.isArray(architectures)
		? architectures[0]
		: undefined;
	if (typeof architecture !== "string")
		throw invalid(
			`config.json: "architectures" must name one, like ["Qwen3ForCausalLM"], got ${show(architectures)}.`,
		);
	const hiddenSize = size(json, "hidden_size", MAX_SIZE);
	const numLayers = size(json, "num_hidden_layers", MAX_LAYERS);
	const numHeads = size(json, "num_attention_heads", MAX_SIZE);
	const numKvHeads = size(json, "num_key_value_heads", MAX_SIZE, numHeads);
	if (numHeads % numKvHeads !== 0)
		throw invalid(
			`config.json: num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKvHeads}.`,
		);
	const headDim = size(json, "head_dim", MAX_SIZE, hiddenSize / numHeads);
	if (headDim % 2 !== 0)
		throw invalid(
			`config.json: head_dim ${headDim} is odd, rotary embeddings need pairs.`,
		);
	if ((json.hidden_act ?? "silu") !== "silu")
		throw new NanoVllmError(
			"unsupported_model",
			`config.json: hidden_act ${show(json.hidden_act)} is not supported, only "silu".`,
		);

	return {
		architecture,
		vocabSize: size(json, "vocab_size", MAX_SIZE),
		hiddenSize,
		intermediateSize: size(json, "intermediate_size", MAX_SIZE),
		numLayers,
		numHeads,
		numKvHeads,
		headDim,
		maxPositionEmbeddings: size(
			json,
			"max_position_embeddings",
			MAX_CONTEXT,
			2048,
		),
		rmsNormEps: positive(json, "rms_norm_eps", 1e-6),
		tieWordEmbeddings: flag(json, "tie_word_embeddings", false),
		attentionBias: flag(json, "attention_bias", false),
		rope: parseRope(json),
		slidingWindows: parseSlidingWindows(json, numLayers),
		bosTokenId:
			typeof json.bos_token_id === "number" ? json.bos_token_id : null,
		eosTokenIds: tokenIds(json.eos_token_id, "config.json: eos_token_id"),
	};
}

/** transformers 4 has rope_theta and rope_scaling side by side, transformers 5 one rope_parameters. */
function parseRope(json: Json): RopeConfig {
	const parameters = json.rope_parameters ?? json.rope_scaling ?? {};
	if (!isObject(parameters))
		throw invalid(
			`config.json: rope_parameters must be an object, got ${show(parameters)}.`,
		);
	const type = parameters.rope_type ?? parameters.type ?? "default";
	const merged = {
		rope_theta: json.rope_theta,
		...dropUndefined(parameters),
	} as Json;
	const theta = positive(merged, "rope_theta", 10_000);
	switch (type) {
		case "default":
			return { type: "default", theta, factor: 1 };
		case "linear":
			return {
				type: "linear",
				theta,
				factor: positive(parameters, "factor", 1),
			};
		default:
			throw new NanoVllmError(
				"unsupported_model",
				`config.json: rope type ${show(type)} is not supported, only "default" and "linear".`,
			);
	}
}

/** transformers 4: use_sliding_window from layer max_window_layers on; transformers 5: layer_types says it per layer. */
function parseSlidingWindows(json: Json, numLayers: number): (number | null)[] {
	const types = parseLayerTypes(json, numLayers);
	const window = json.sliding_window ?? null;
	// A Qwen config names a window it does not use unless it says so; others use the window they name.
	const isQwen = String((json.architectures as unknown[])?.[0]).startsWith(
		"Qwen",
	);
	const isUsed = json.use_sliding_window ?? !isQwen;
	if (window === null || isUsed === false)
		return new Array(numLayers).fill(null);
	const length = size(json, "sliding_window", MAX_CONTEXT);
	if (types !== null)
		return types.map((t) => (t === "sliding_attention" ? length : null));
	const first = json.max_window_layers ?? 0;
	if (!Number.isSafeInteger(first) || (first as number) < 0)
		throw invalid(
			`config.json: max_window_layers must be an integer of at least 0, got ${show(first)}.`,
		);
	return Array.from({ length: numLayers }, (_, i) =>
		i >= (first as number) ? length : null,
	);
}

/** null where the config has none. */
function parseLayerTypes(json: Json, numLayers: number): unknown[] | null {
	const types = json.layer_types ?? null;
	if (types === null) return null;
	if (!Array.isArray(types))
		throw invalid(
			`config.json: layer_types must be a list, got ${show(types)}.`,
		);
	if (types.length !== numLayers)
		throw invalid(
			`config.json: layer_types has ${types.length} entries for ${numLayers} layers.`,
		);
	for (const type of types)
		if (type !== "full_attention" && type !== "sliding_attention")
			throw new NanoVllmError(
				"unsupported_model",
				`config.json: layer type ${show(type)} is not supported, only "full_attention" and "sliding_attention".`,
			);
	return types;
}

export interface GenerationConfig {
	readonly eosTokenIds: readonly number[];
	/** Sampling defaults the model's authors advise, in our names; only those present. */
	readonly sampling: Readonly<Record<string, number>>;
}

/** generation_config.json; null (no file) gives nothing. @throws invalid_model_config */
export function parseGenerationConfig(json: unknown): GenerationConfig {
	if (json === null) return { eosTokenIds: [], sampling: {} };
	if (!isObject(json))
		throw invalid(
			`generation_config.json must hold an object, got ${show(json)}.`,
		);
	const names = {
		temperature: "temperature",
		topP: "top_p",
		topK: "top_k",
		minP: "min_p",
		repetitionPenalty: "repetition_penalty",
		maxTokens: "max_new_tokens",
	};
	const sampling: Record<string, number> = {};
	for (const [ours, theirs] of Object.entries(names)) {
		const value = json[theirs];
		if (typeof value === "number" && Number.isFinite(value))
			sampling[ours] = value;
	}
	if (json.do_sample === false) sampling.temperature = 0;
	return {
		eosTokenIds: tokenIds(
			json.eos_token_id,
			"generation_config.json: eos_token_id",
		),
		sampling,
	};
}

function tokenIds(value: unknown, where: string): number[] {
	if (value === undefined || value === null) return [];
	const list = Array.isArray(value) ? value : [value];
	if (!list.every((id) => Number.isSafeInteger(id) && id >= 0))
		throw invalid(
			`${where} must be a token id or a list of them, got ${show(value)}.`,
		);
	return list;
}

function size(json: Json, key: string, max: number, fallback?: number): number {
	const value = json[key] ?? fallback;
	if (!Number.isSafeInteger(value) || (value as number) < 1)
		throw invalid(
			`config.json: ${key} must be a positive integer, got ${show(value)}.`,
		);
	if ((value as number) > max)
		throw invalid(
			`config.json: ${key} is ${value}, beyond the largest believed, ${max}.`,
		);
	return value as number;
}

function positive(json: Json, key: string, fallback: number): number {
	const value = json[key] ?? fallback;
	if (typeof value !== "number" || !(value > 0) || value === Infinity)
		throw invalid(
			`config.json: ${key} must be a positive number, got ${show(value)}.`,
		);
	return value;
}

function flag(json: Json, key: string, fallback: boolean): boolean {
	const value = json[key] ?? fallback;
	if (typeof value !== "boolean")
		throw invalid(
			`config.json: ${key} must be true or false, got ${show(value)}.`,
		);
	return value;
}

function dropUndefined(json: Json): Json {
	return Object.fromEntries(
		Object.entries(json).filter(([, v]) => v !== undefined && v !== null),
	);
}

function isObject(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): NanoVllmError {
	return new NanoVllmError("invalid_model_config", message);
}
