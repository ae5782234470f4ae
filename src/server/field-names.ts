/** The library's names and the body's: maxTokens ↔ max_tokens. Knows no values. */
import { SAMPLING_DEFAULTS } from "../config.ts";

const snake = (name: string): string =>
	name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const NAMES: ReadonlySet<string> = new Set([
	...Object.keys(SAMPLING_DEFAULTS),
	"structuredOutputs",
	"maxModelLen",
	"maxLogprobs",
	"skipTokenizerInit",
	"schedulingPolicy",
	"priority",
]);

/** A message that names options as the library does, in the names of a body. */
export function inBodyFields(message: string): string {
	return message.replace(/\b[a-z]+(?:[A-Z][a-z]*)+\b/g, (word) =>
		NAMES.has(word) ? snake(word) : word,
	);
}

/** The field that a message of the library begins with or quotes, if it is one of a body. */
export function bodyFieldOf(message: string): string | null {
	const [, quoted] =
		/^there is no sampling parameter "(\w+)"/.exec(message) ?? [];
	const word = quoted ?? /^(?:prompt \d+: )?(\w+)/.exec(message)?.[1] ?? "";
	return NAMES.has(word) && word !== "maxModelLen" ? snake(word) : null;
}
