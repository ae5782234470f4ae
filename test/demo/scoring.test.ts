/** The rules by which answers of the demo model are judged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Expected } from "../../demo-model/corpus/document.ts";
import { isRight } from "../../demo-model/scoring.ts";

function check(expected: Expected, right: string[], wrong: string[]): void {
	for (const answer of right) assert(isRight(answer, expected), answer);
	for (const answer of wrong) assert(!isRight(answer, expected), answer);
}

test("a sum counts by the last number of its first line", () => {
	check(
		{ number: 85 },
		["27 + 58 = 85", " 85\n1 + 1 = 2"],
		["27 + 58 = 86", "", "eighty-five", "27 + 58 = 8\n85"],
	);
});

test("a fact counts word by word", () => {
	check({ oneOf: ["A. B.", "A."] }, ["A. B.", " A.\n"], ["B.", "A. B. C."]);
});

test("a story keeps its names and brings in no others", () => {
	check(
		{ words: { Mira: 2, key: 1 }, names: ["Mira", "Tob"] },
		["Mira found a key. It was old, said Tob to Mira."],
		[
			"Mira found a key.",
			"Mira saw Mara find a key. So Mira left.",
			"Mira, Mira",
		],
	);
});

test("JSON counts by its fields", () => {
	check(
		{ json: { name: "Ana", age: 31 } },
		['{"name": "Ana", "age": 31}', '{"age":31,"name":"Ana"}'],
		[
			'{"name": "Ana"}',
			'{"name": "Ana", "age": "31"}',
			'{"name": "Ana", "age": 31',
			"null",
		],
	);
});

test("a list has so many different items of its kind", () => {
	check(
		{ items: ["red", "blue", "green"], count: 2 },
		["1. red\n2. blue"],
		["1. red", "1. red\n2. red", "1. red\n2. cat", "red, blue"],
	);
});
