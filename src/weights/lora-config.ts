/**
 * A PEFT adapter's adapter_config.json, checked: how large each module's matrices are and how much they count. Which modules there are the
 * tensors say. Field names and meanings are PEFT's.
 */
import { NanoVllmError } from "../errors.ts";
import { isRecord, show } from "./safetensors-header.ts";

export interface LoraConfig {
	/** Of a module, by its name in the checkpoint. */
	rankOf(module: string): number;
	/** What b · a is multiplied by: alpha / rank, or alpha / √rank (rsLoRA, Kalajdzievski 2023). */
	scaleOf(module: string): number;
}

type Json = Readonly<Record<string, unknown>>;

/** Beyond any matrix a model has: the file is broken, not big. */
const MAX_RANK = 2 ** 16;
/** A pattern longer than this names no module. */
const MAX_PATTERN = 1024;

/** @throws invalid_adapter, unsupported_adapter */
export function parseLoraConfig(json: unknown): LoraConfig {
	if (!isRecord(json))
		throw invalidAdapter(
			`adapter_config.json must hold an object, got ${show(json)}`,
		);
	refuseOthers(json);
	checkTargets(json.target_modules ?? null);
	const rank = rankIn(json.r, "r");
	const alpha = numberIn(json.lora_alpha, "lora_alpha");
	const ranks = patternsIn(json, "rank_pattern", rankIn);
	const alphas = patternsIn(json, "alpha_pattern", numberIn);
	const rankOf = (module: string) => valueFor(module, ranks) ?? rank;
	const rsLora = json.use_rslora === true;
	return {
		rankOf,
		scaleOf(module) {
			const r = rankOf(module);
			return (valueFor(module, alphas) ?? alpha) / (rsLora ? Math.sqrt(r) : r);
		},
	};
}

/** What is not two matrices beside a linear layer. */
function refuseOthers(json: Json): void {
	if (json.peft_type !== "LORA")
		throw unsupportedAdapter(`peft_type ${show(json.peft_type)}`);
	const flags = {
		use_dora: "DoRA",
		use_qalora: "QALoRA",
		fan_in_fan_out: "fan_in_fan_out",
		lora_bias: "lora_bias",
	};
	for (const [key, what] of Object.entries(flags))
		if (json[key] === true) throw unsupportedAdapter(what);
	if ((json.bias ?? "none") !== "none")
		throw unsupportedAdapter(`biases (bias ${show(json.bias)})`);
	const lists = [
		"modules_to_save",
		"target_parameters",
		"trainable_token_indices",
		"layer_replication",
		"alora_invocation_tokens",
	];
	for (const key of lists)
		if (!isEmpty(json[key] ?? null))
			throw unsupportedAdapter(`${key} ${show(json[key])}`);
	const init = json.init_lora_weights;
	if (typeof init === "string" && /^(pissa|olora|corda|loftq)/.test(init))
		throw unsupportedAdapter(
			`init_lora_weights ${show(init)}, which changes the model's own weights,`,
		);
}

function isEmpty(value: unknown): boolean {
	if (value === null) return true;
	return typeof value === "object" && Object.keys(value).length === 0;
}

/** A list of names, one regular expression, or "all-linear". */
function checkTargets(value: unknown): void {
	const names = Array.isArray(value) ? value : [value];
	if (value === null || names.every((name) => typeof name === "string")) return;
	throw invalidAdapter(
		`adapter_config.json: target_modules must be a list of names, a pattern or "all-linear", got ${show(value)}`,
	);
}

function rankIn(value: unknown, where: string): number {
	if (Number.isSafeInteger(value) && isNumberIn(value, 1, MAX_RANK))
		return value as number;
	throw invalidAdapter(
		`adapter_config.json: ${where} must be an integer from 1 to ${MAX_RANK}, got ${show(value)}`,
	);
}

function numberIn(value: unknown, where: string): number {
	if (isNumberIn(value, -1e9, 1e9)) return value as number;
	throw invalidAdapter(
		`adapter_config.json: ${where} must be a number, got ${show(value)}`,
	);
}

const isNumberIn = (value: unknown, low: number, high: number): boolean =>
	typeof value === "number" && value >= low && value <= high;

type Patterns = readonly (readonly [pattern: RegExp, value: number])[];

function patternsIn(
	json: Json,
	key: string,
	parse: (value: unknown, where: string) => number,
): Patterns {
	const value = json[key] ?? {};
	if (!isRecord(value))
		throw invalidAdapter(
			`adapter_config.json: ${key} must be an object of module names, got ${show(value)}`,
		);
	return Object.entries(value).map(([pattern, each]) => [
		patternOf(pattern, key),
		parse(each, `${key}[${JSON.stringify(pattern)}]`),
	]);
}

/** Matches the whole name of a module, or its end after a dot. */
function patternOf(pattern: string, key: string): RegExp {
	try {
		if (pattern.length > MAX_PATTERN) throw new Error("it is too long");
		return new RegExp(`^(?:.*\\.)?(?:${pattern})$`);
	} catch (cause) {
		throw invalidAdapter(
			`adapter_config.json: ${key} holds ${show(pattern)}, which is no pattern: ${(cause as Error).message}`,
		);
	}
}

function valueFor(module: string, patterns: Patterns): number | undefined {
	return patterns.find(([pattern]) => pattern.test(module))?.[1];
}

export function invalidAdapter(message: string): NanoVllmError {
	return new NanoVllmError(
		"invalid_adapter",
		`${message}. Save the adapter again with PEFT, or download it again.`,
	);
}

export function unsupportedAdapter(what: string): NanoVllmError {
	return new NanoVllmError(
		"unsupported_adapter",
		`the adapter uses ${what}: only plain LoRA on attention and MLP layers can be loaded. Merge it into the model with PEFT's merge_and_unload, and load that.`,
	);
}
