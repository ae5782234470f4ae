/** What a benchmark asks for: lengths and random token ids, the same for the same seed. Knows no engine. */
import { readFile } from "node:fs/promises";
import { NanoVllmError } from "../errors.ts";
import type { Range } from "./values.ts";

export interface RequestShape {
	readonly inputLen: number;
	readonly outputLen: number;
}

/** Like nano-vLLM's benchmark: ids below this, or below the vocabulary's size where that is less. */
const MAX_TOKEN_ID = 10_000;

/** Whole numbers from low to high, both included. */
export type Random = (low: number, high: number) => number;

/** Mulberry32 (Tommy Ettinger, 2017): 32 bits of state, plenty for lengths and token ids. */
export function createRandom(seed: number): Random {
	let state = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
	return (low, high) => {
		state = (state + 0x6d2b79f5) >>> 0;
		let x = Math.imul(state ^ (state >>> 15), state | 1);
		x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
		const unit = ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
		return low + Math.floor(unit * (high - low + 1));
	};
}

export function randomShapes(
	count: number,
	input: Range,
	output: Range,
	random: Random,
): RequestShape[] {
	return Array.from({ length: count }, () => ({
		inputLen: random(input.low, input.high),
		outputLen: random(output.low, output.high),
	}));
}

export function randomPrompt(
	length: number,
	vocabSize: number,
	random: Random,
): { promptTokenIds: number[] } {
	const highest = Math.min(MAX_TOKEN_ID, vocabSize) - 1;
	const promptTokenIds = Array.from({ length }, () => random(0, highest));
	return { promptTokenIds };
}

/** A file with {"requests": [[input tokens, output tokens], …]}. @throws invalid_option */
export async function readShapes(file: string): Promise<RequestShape[]> {
	let json: unknown;
	try {
		json = JSON.parse(await readFile(file, "utf8"));
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_option",
			`--workload ${file} could not be read: ${(cause as Error).message}`,
			{ cause },
		);
	}
	const requests = (json as { requests?: unknown } | null)?.requests;
	if (
		!Array.isArray(requests) ||
		requests.length === 0 ||
		!requests.every(isShape)
	)
		throw new NanoVllmError(
			"invalid_option",
			`--workload ${file}: wanted {"requests": [[input tokens, output tokens], …]} with lengths of at least 1.`,
		);
	return requests.map(([inputLen, outputLen]) => ({ inputLen, outputLen }));
}

function isShape(value: unknown): value is [number, number] {
	return (
		Array.isArray(value) &&
		value.length === 2 &&
		value.every((length) => Number.isSafeInteger(length) && length >= 1)
	);
}

/** Outputs would be cut short, and the figures say something else than the flags. @throws invalid_option */
export function checkFits(
	shapes: readonly RequestShape[],
	maxModelLen: number,
): void {
	const longest = Math.max(...shapes.map((s) => s.inputLen + s.outputLen));
	if (longest <= maxModelLen) return;
	throw new NanoVllmError(
		"invalid_option",
		`the longest request has ${longest} tokens, maxModelLen is ${maxModelLen}. Ask for shorter ones, or give the cache more room with kvCacheMemoryBytes.`,
	);
}
