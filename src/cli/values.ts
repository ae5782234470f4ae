/** Text of the command line → numbers, sizes, ranges. Knows no flags. Suffixes are vLLM's: k, m, g count in thousands, K, M, G in 1024s. */
import { InvalidArgumentError } from "commander";

const DECIMAL: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 };
const BINARY: Readonly<Record<string, number>> = {
	K: 2 ** 10,
	M: 2 ** 20,
	G: 2 ** 30,
};

/** "512", "25.6k", "32K" → a whole number. @throws InvalidArgumentError */
export function parseCount(text: string): number {
	const [, digits, suffix] = /^(-?\d+(?:\.\d+)?)([kmgKMG]?)$/.exec(text) ?? [];
	const unit = DECIMAL[suffix] ?? BINARY[suffix] ?? 1;
	const value = Math.round(Number(digits) * unit * 1e3) / 1e3;
	const fraction = digits?.includes(".") && !(suffix in DECIMAL);
	if (digits === undefined || fraction || !Number.isSafeInteger(value))
		throw new InvalidArgumentError(
			"Wanted a whole number, like 512, 25.6k (k, m, g: thousands) or 32K (K, M, G: 1024s).",
		);
	return value;
}

/** @throws InvalidArgumentError */
export function parseInteger(text: string): number {
	const value = Number(text);
	if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
		throw new InvalidArgumentError("Wanted a whole number.");
	return value;
}

/** Counts of at least `low`. */
export const atLeast =
	(low: number) =>
	(text: string): number => {
		const value = parseCount(text);
		if (value < low)
			throw new InvalidArgumentError(
				`Wanted a whole number of at least ${low}.`,
			);
		return value;
	};

/** @throws InvalidArgumentError */
export function parseNumber(text: string): number {
	const value = Number(text);
	if (text.trim() === "" || !Number.isFinite(value))
		throw new InvalidArgumentError("Wanted a number.");
	return value;
}

/** For flags that may come again: "1,2" then "3" → [1, 2, 3]. @throws InvalidArgumentError */
export function parseIntegers(text: string, before: number[] = []): number[] {
	return [
		...before,
		...text.split(",").map((part) => parseInteger(part.trim())),
	];
}

/** For flags that may come again. */
export function collect(text: string, before: string[] = []): string[] {
	return [...before, text];
}

/** Both ends included. */
export interface Range {
	readonly low: number;
	readonly high: number;
}

/** "512" or "100:1024". @throws InvalidArgumentError */
export function parseRange(text: string): Range {
	const [low, high = low, ...rest] = text.split(":").map(parseCount);
	if (rest.length > 0 || low < 1 || high < low)
		throw new InvalidArgumentError(
			"Wanted a length of at least 1, like 512, or a range from low to high, like 100:1024.",
		);
	return { low, high };
}

/** "yes,no" → ["yes", "no"]; may come again, so that texts with commas in them can be given as JSON: '["a, b"]'. @throws InvalidArgumentError */
export function parseTexts(text: string, before: string[] = []): string[] {
	if (!text.startsWith("[")) return [...before, ...text.split(",")];
	try {
		return [...before, ...(JSON.parse(text) as string[])];
	} catch {
		throw new InvalidArgumentError(
			'Wanted texts between commas, or a JSON list like ["a, b","c"].',
		);
	}
}
