/** What a GGUF file says of itself, by key, with checked access. Knows no models: keys and types only. */
import { NanoVllmError } from "../errors.ts";
import { show } from "./safetensors-header.ts";

export type GgufList =
	| readonly GgufValue[]
	| Uint8Array
	| Int8Array
	| Uint16Array
	| Int16Array
	| Uint32Array
	| Int32Array
	| Float32Array
	| Float64Array
	| BigInt64Array
	| BigUint64Array;

/** Integers of 64 bits are numbers where a number holds them. */
export type GgufValue = number | bigint | boolean | string | GgufList;

export interface GgufMetadata {
	readonly file: string;
	has(key: string): boolean;
	/** undefined where the key is absent. @throws invalid_model_config where it holds something else; so do the others */
	number(key: string): number | undefined;
	boolean(key: string): boolean | undefined;
	string(key: string): string | undefined;
	numbers(key: string): readonly number[] | undefined;
	strings(key: string): readonly string[] | undefined;
	/** @throws invalid_model_config where it is absent too */
	needNumber(key: string): number;
	needString(key: string): string;
}

export function createMetadata(
	file: string,
	values: ReadonlyMap<string, GgufValue>,
): GgufMetadata {
	function get<T>(
		key: string,
		wanted: string,
		read: (value: GgufValue) => T | undefined,
	): T | undefined {
		const value = values.get(key);
		if (value === undefined) return undefined;
		const found = read(value);
		if (found === undefined) throw wrong(file, key, wanted, shortly(value));
		return found;
	}
	function need<T>(value: T | undefined, key: string, wanted: string): T {
		if (value === undefined) throw wrong(file, key, wanted, "nothing");
		return value;
	}
	const number = (key: string) => get(key, "a number", asNumber);
	const string = (key: string) => get(key, "a string", asString);
	return {
		file,
		has: (key) => values.has(key),
		number,
		string,
		boolean: (key) => get(key, "true or false", asBoolean),
		numbers: (key) => get(key, "a list of numbers", asNumbers),
		strings: (key) => get(key, "a list of strings", asStrings),
		needNumber: (key) => need(number(key), key, "a number"),
		needString: (key) => need(string(key), key, "a string"),
	};
}

function asNumber(value: GgufValue): number | undefined {
	return typeof value === "number" ? value : undefined;
}

function asString(value: GgufValue): string | undefined {
	return typeof value === "string" ? value : undefined;
}

function asBoolean(value: GgufValue): boolean | undefined {
	return typeof value === "boolean" ? value : undefined;
}

/** Lists of booleans count as 0 and 1: patterns over layers are written either way. */
function asNumbers(value: GgufValue): readonly number[] | undefined {
	if (typeof value !== "object") return undefined;
	const list = Array.from<GgufValue>(value as readonly GgufValue[]);
	const isNumeric = list.every(
		(v) => typeof v === "number" || typeof v === "boolean",
	);
	return isNumeric ? list.map(Number) : undefined;
}

function asStrings(value: GgufValue): readonly string[] | undefined {
	if (!Array.isArray(value)) return undefined;
	return value.every((v) => typeof v === "string") ? value : undefined;
}

/** A value for a message; lists by their length, since they may hold anything. */
function shortly(value: GgufValue): string {
	if (typeof value === "bigint") return `${value}`;
	if (typeof value === "object") return `a list of ${value.length}`;
	return show(value);
}

function wrong(
	file: string,
	key: string,
	wanted: string,
	got: string,
): NanoVllmError {
	return new NanoVllmError(
		"invalid_model_config",
		`${file}: metadata ${show(key)}: wanted ${wanted}, got ${got}. Convert the model again with a current llama.cpp.`,
	);
}
