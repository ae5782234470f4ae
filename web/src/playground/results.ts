/** Results that are kept for comparison, in this browser; the oldest go when there are too many. */
import { signal } from "@preact/signals";
import { readStored, writeStored } from "../stored.ts";
import type { RunFigures } from "./run-figures.ts";

export interface Result {
	readonly id: string;
	/** What ran, in a few words. */
	readonly name: string;
	/** The model and where it ran. */
	readonly place: string;
	readonly figures: RunFigures;
}

const KEY = "playground-results";
const MAX_RESULTS = 24;

export const results = signal<readonly Result[]>(read());

export function keepResult(result: Omit<Result, "id">): void {
	const id = crypto.randomUUID();
	write([{ ...result, id }, ...results.value].slice(0, MAX_RESULTS));
}

export function dropResult(id: string): void {
	write(results.value.filter((it) => it.id !== id));
}

export function dropResults(): void {
	write([]);
}

function write(value: readonly Result[]): void {
	results.value = value;
	writeStored(KEY, JSON.stringify(value));
}

/** What cannot be read is forgotten. */
function read(): readonly Result[] {
	try {
		const value: unknown = JSON.parse(readStored(KEY) ?? "[]");
		return Array.isArray(value) ? value.filter(isResult) : [];
	} catch {
		return [];
	}
}

function isResult(value: unknown): value is Result {
	const { id, name, figures } = (value ?? {}) as Partial<Result>;
	return (
		typeof id === "string" &&
		typeof name === "string" &&
		typeof figures?.outputTokensPerSecond === "number" &&
		"engine" in figures
	);
}
