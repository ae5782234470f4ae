/** Judges answers to held-out questions. evaluate.py has the same rules for the training machine. */
import type { Expected, Kind } from "./corpus/document.ts";

/** The longest answer a kind of question may need, in tokens, with room to spare. */
export const MAX_TOKENS: Readonly<Record<Kind, number>> = {
	addition: 32,
	subtraction: 32,
	fact: 160,
	story: 500,
	json: 96,
	list: 96,
	chat: 32,
};

/** The share of right answers each kind must reach. */
export const TARGETS: Readonly<Record<Kind, number>> = {
	addition: 0.95,
	subtraction: 0.9,
	fact: 0.8,
	story: 0.95,
	json: 0.9,
	list: 0.9,
	chat: 0.9,
};

export function isRight(answer: string, expected: Expected): boolean {
	const text = answer.trim();
	if ("oneOf" in expected) return expected.oneOf.includes(text);
	if ("number" in expected) {
		const numbers = text.split("\n")[0].match(/\d+/g);
		return numbers !== null && Number(numbers.at(-1)) === expected.number;
	}
	if ("words" in expected) return keepsNames(text, expected);
	if ("json" in expected) return isJson(text, expected.json);
	const items = text.split("\n").map((line) => line.replace(/^\d+\. /, ""));
	return (
		items.length === expected.count &&
		new Set(items).size === items.length &&
		items.every((item) => expected.items.includes(item))
	);
}

/** Each wanted word often enough, and inside sentences no capitalised word but the wanted names. */
function keepsNames(
	text: string,
	{ words, names }: Extract<Expected, { names: string[] }>,
): boolean {
	const all = text.match(/[A-Za-z]+/g) ?? [];
	for (const [word, count] of Object.entries(words)) {
		if (all.filter((other) => other === word).length < count) return false;
	}
	if (names.length === 0) return true;
	const inside = [...text.matchAll(/[a-z,] ([A-Z][a-z]+)/g)];
	return inside.every(([, name]) => names.includes(name));
}

function isJson(
	text: string,
	expected: Readonly<Record<string, string | number>>,
): boolean {
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value !== "object" || value === null) return false;
		const entries = Object.entries(value);
		return (
			entries.length === Object.keys(expected).length &&
			entries.every(([key, field]) => expected[key] === field)
		);
	} catch {
		return false;
	}
}
