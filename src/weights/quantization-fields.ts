/** Fields that methods of quantization share in config.json, checked, and how a wrong one is refused. Knows no method. */
import { NanoVllmError } from "../errors.ts";
import { show } from "./safetensors-header.ts";

export type Json = Readonly<Record<string, unknown>>;

const WHERE = "config.json: quantization_config";
/** Beyond any matrix: config.json is broken, not big. */
const MAX_GROUP = 2 ** 24;

/** -1 is null: no groups. */
export function parseGroupSize(value: unknown): number | null {
	if (value === -1) return null;
	if (isSize(value)) return value;
	throw invalidConfig(
		`group_size must be -1 or a whole number of 1 to ${MAX_GROUP}, got ${show(value)}`,
	);
}

/** [rows, columns], or null where there are none. */
export function parseBlocks(value: unknown): readonly [number, number] | null {
	if ((value ?? null) === null) return null;
	if (Array.isArray(value) && value.length === 2 && value.every(isSize))
		return [value[0], value[1]];
	throw invalidConfig(
		`the size of blocks must be two whole numbers of 1 to ${MAX_GROUP}, like [128, 128], got ${show(value)}`,
	);
}

/** @throws unsupported_model for a value that is not among `values` */
export function oneOf(
	json: Json,
	key: string,
	values: readonly number[],
): number {
	const value = json[key];
	if (typeof value === "number" && values.includes(value)) return value;
	throw unsupportedConfig(
		`${key} must be ${values.join(" or ")}, got ${show(value)}`,
	);
}

function isSize(value: unknown): value is number {
	return (
		Number.isSafeInteger(value) &&
		(value as number) >= 1 &&
		(value as number) <= MAX_GROUP
	);
}

export function invalidConfig(message: string): NanoVllmError {
	return new NanoVllmError(
		"invalid_model_config",
		`${WHERE}: ${message}. Get config.json again from its source.`,
	);
}

export function unsupportedConfig(message: string): NanoVllmError {
	return new NanoVllmError(
		"unsupported_model",
		`${WHERE}: ${message}. Take the model in one of these forms, or its bf16 or f16 checkpoint and quantize it while loading with quantization "q8_0" or "q4_0".`,
	);
}
