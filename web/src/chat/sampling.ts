/** What the sampling controls say, for all conversations. Empty: the model's own default. */
import { signal } from "@preact/signals";
import type { Sampling } from "../engine.ts";
import { readStored, writeStored } from "../stored.ts";

export interface SamplingField {
	readonly name: keyof Sampling;
	readonly label: string;
	readonly hint: string;
	readonly min: number;
	readonly max: number;
	readonly step: number;
}

const MAX_INTEGER = 2 ** 31 - 1;

export const SAMPLING_FIELDS: readonly SamplingField[] = [
	{
		name: "temperature",
		label: "Temperature",
		hint: "0 takes the likeliest token every time; higher is more varied.",
		min: 0,
		max: 2,
		step: 0.05,
	},
	{
		name: "topP",
		label: "Top p",
		hint: "Only the likeliest tokens that together reach this probability.",
		min: 0.01,
		max: 1,
		step: 0.01,
	},
	{
		name: "topK",
		label: "Top k",
		hint: "Only this many of the likeliest tokens; 0: all.",
		min: 0,
		max: MAX_INTEGER,
		step: 1,
	},
	{
		name: "minP",
		label: "Min p",
		hint: "Only tokens at least this likely, measured by the likeliest.",
		min: 0,
		max: 1,
		step: 0.01,
	},
	{
		name: "repetitionPenalty",
		label: "Repetition penalty",
		hint: "Above 1, tokens that were there already become less likely.",
		min: 0.1,
		max: 2,
		step: 0.05,
	},
	{
		name: "seed",
		label: "Seed",
		hint: "The same seed gives the same answer.",
		min: 0,
		max: MAX_INTEGER,
		step: 1,
	},
	{
		name: "maxTokens",
		label: "Longest answer, tokens",
		hint: "Empty: until the model ends it.",
		min: 1,
		max: MAX_INTEGER,
		step: 1,
	},
];

const KEY = "sampling";

export const sampling = signal<Sampling>(parse(readStored(KEY)));

/** null where the text is no number within the field's bounds; undefined where it is empty. */
export function parseField(
	{ min, max, step }: SamplingField,
	text: string,
): number | undefined | null {
	if (text.trim() === "") return undefined;
	const value = Number(text);
	const isInteger = step === 1;
	if (!(value >= min && value <= max)) return null;
	return isInteger && !Number.isInteger(value) ? null : value;
}

export function setSampling(
	name: keyof Sampling,
	value: number | undefined,
): void {
	sampling.value = { ...sampling.value, [name]: value };
	writeStored(KEY, JSON.stringify(sampling.value));
}

export function resetSampling(): void {
	sampling.value = {};
	writeStored(KEY, null);
}

function parse(text: string | null): Sampling {
	try {
		const stored = JSON.parse(text ?? "{}");
		const entries = SAMPLING_FIELDS.map(
			(field) =>
				[
					field.name,
					parseField(field, String(stored[field.name] ?? "")),
				] as const,
		);
		return Object.fromEntries(
			entries.filter(([, value]) => typeof value === "number"),
		);
	} catch {
		return {};
	}
}
