/** Checked reading of a config.json's fields, against named limits. Knows no model. A field that is null counts as absent. */
import { show } from "../config.ts";
import { NanoVllmError } from "../errors.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Largest sizes believed: beyond them a config is broken, not big. */
export const MAX_SIZE = 2 ** 24;
export const MAX_LAYERS = 2 ** 12;
export const MAX_CONTEXT = 2 ** 30;
export const MAX_EXPERTS = 2 ** 14;

export function size(
	json: Json,
	key: string,
	max: number,
	fallback?: number,
): number {
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

export function positive(json: Json, key: string, fallback?: number): number {
	const value = json[key] ?? fallback;
	if (!isPositive(value))
		throw invalid(
			`config.json: ${key} must be a positive number, got ${show(value)}.`,
		);
	return value;
}

/** null where the config has none. */
export function optionalPositive(json: Json, key: string): number | null {
	return (json[key] ?? null) === null ? null : positive(json, key);
}

export function flag(json: Json, key: string, fallback: boolean): boolean {
	const value = json[key] ?? fallback;
	if (typeof value !== "boolean")
		throw invalid(
			`config.json: ${key} must be true or false, got ${show(value)}.`,
		);
	return value;
}

/** `length` positive numbers. */
export function positives(json: Json, key: string, length: number): number[] {
	const value = json[key];
	if (
		!Array.isArray(value) ||
		value.length !== length ||
		!value.every(isPositive)
	)
		throw invalid(
			`config.json: ${key} must be a list of ${length} positive numbers, got ${show(value)}.`,
		);
	return value;
}

/** Token ids: one, a list of them, or none. `where` names the field in messages. */
export function tokenIds(value: unknown, where: string): number[] {
	if (value === undefined || value === null) return [];
	const list = Array.isArray(value) ? value : [value];
	if (!list.every((id) => Number.isSafeInteger(id) && id >= 0))
		throw invalid(
			`${where} must be a token id or a list of them, got ${show(value)}.`,
		);
	return list;
}

/** Without what is null or undefined. */
export function dropAbsent(json: Json): Json {
	return Object.fromEntries(
		Object.entries(json).filter(([, v]) => v !== undefined && v !== null),
	);
}

export function isObject(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function invalid(message: string): NanoVllmError {
	return new NanoVllmError("invalid_model_config", message);
}

export function unsupported(message: string): NanoVllmError {
	return new NanoVllmError("unsupported_model", message);
}

function isPositive(value: unknown): value is number {
	return typeof value === "number" && value > 0 && value !== Infinity;
}
