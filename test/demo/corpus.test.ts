/** The corpus of the demo model: deterministic, right, and nothing held out occurs in it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
	heldOutPairs,
	isHeldOutPair,
} from "../../demo-model/corpus/arithmetic.ts";
import {
	createDocument,
	HELD_OUT_SEED,
	heldOutItems,
	heldOutText,
} from "../../demo-model/corpus/corpus.ts";
import { type HeldOut, normalize } from "../../demo-model/corpus/document.ts";
import { FACTS } from "../../demo-model/corpus/facts.ts";
import {
	HELD_OUT_CITIES,
	HELD_OUT_NAMES,
} from "../../demo-model/corpus/names.ts";
import { askFact } from "../../demo-model/corpus/paraphrase.ts";
import { KINDS_OF_HERO, PLACES } from "../../demo-model/corpus/plots.ts";
import { createRandom } from "../../demo-model/corpus/random.ts";
import { isHeldOutScene } from "../../demo-model/corpus/stories.ts";

const NUM_DOCUMENTS = 8_000;

function sampleDocuments(seed: number, count = NUM_DOCUMENTS): string[] {
	const random = createRandom(seed);
	return Array.from({ length: count }, () => createDocument(random));
}

const documents = sampleDocuments(1);

test("a seed gives one corpus", () => {
	assert.deepEqual(sampleDocuments(1, 200), documents.slice(0, 200));
	assert.notDeepEqual(sampleDocuments(2, 200), documents.slice(0, 200));
});

test("the committed held-out files are what the generator writes", () => {
	const folder = new URL("../../demo-model/", import.meta.url);
	const read = (name: string) => readFileSync(new URL(name, folder), "utf8");
	const items = JSON.parse(read("heldout.json")) as HeldOut[];
	assert.deepEqual(items, JSON.parse(JSON.stringify(heldOutItems())));
	assert.equal(read("heldout.txt"), heldOutText(30_000));
});

test("sums are right and never held out", () => {
	let sums = 0;
	for (const document of documents) {
		const equations = document.matchAll(/(?<!\d)(\d+) ([+*-]) (\d+) = (\d+)/g);
		for (const [equation, left, sign, right, result] of equations) {
			const [a, b, c] = [left, right, result].map(Number);
			const want = sign === "+" ? a + b : sign === "-" ? a - b : a * b;
			assert.equal(c, want, equation);
			if (sign === "+") assert(!isHeldOutPair(a, b), equation);
			if (sign === "-") assert(!isHeldOutPair(c, b), equation);
			sums++;
		}
	}
	assert(sums > 1000);
	assert(heldOutPairs().length >= 300);
});

test("held-out names and cities are in no document", () => {
	const held = new Set([...HELD_OUT_NAMES, ...HELD_OUT_CITIES]);
	for (const document of documents) {
		for (const [word] of document.matchAll(/[A-Z][a-z]+/g)) {
			assert(!held.has(word), `${word} in: ${document}`);
		}
	}
});

test("no hero is put into a held-out place", () => {
	const kinds = KINDS_OF_HERO.join("|");
	const places = PLACES.join("|");
	const scene = new RegExp(
		`in (${places}),? .*?(?:lived|knew).*?\\b(${kinds}) (?:named|called)`,
	);
	let scenes = 0;
	for (const document of documents) {
		for (const line of document.split(".")) {
			const match = scene.exec(line);
			if (match === null) continue;
			const [, place, kind] = match;
			assert(!isHeldOutScene(kind, place), line);
			scenes++;
		}
	}
	assert(scenes > 100);
});

test("at least 150 facts, each with ten written questions and one held out", () => {
	assert(FACTS.length >= 150);
	assert.equal(new Set(FACTS.map((fact) => fact.id)).size, FACTS.length);
	assert.equal(new Set(FACTS.map((fact) => fact.answer)).size, FACTS.length);
	assert.equal(new Set(FACTS.map((fact) => fact.short)).size, FACTS.length);
	for (const { id, ask, heldOut } of FACTS) {
		assert(new Set(ask.map(normalize)).size >= 10, id);
		assert(heldOut.length >= 1, id);
	}
});

test("a fact is asked for in hundreds of ways", () => {
	const random = createRandom(3);
	for (const fact of FACTS.slice(0, 20)) {
		const asked = new Set<string>();
		for (let i = 0; i < 500; i++) {
			asked.add(normalize(askFact(fact, random).text));
		}
		assert(asked.size > 250, `${fact.id}: ${asked.size}`);
	}
});

const SMALL_WORDS = new Set(
	"a an the is are was do does did of to in on for at by with and or it its that this be what how why which can could i my me you so when".split(
		" ",
	),
);
const contentWords = (text: string): Set<string> =>
	new Set(
		normalize(text)
			.split(" ")
			.filter((word) => !SMALL_WORDS.has(word)),
	);

test("held-out questions are in no document and unlike every written question", () => {
	const training = normalize(documents.join("\n"));
	for (const { id, ask, heldOut } of FACTS) {
		for (const question of heldOut) {
			assert(!training.includes(` ${normalize(question)} `), question);
			const words = contentWords(question);
			for (const written of ask) {
				const others = contentWords(written);
				const shared = [...words].filter((word) => others.has(word)).length;
				const likeness = shared / (words.size + others.size - shared);
				assert(likeness < 0.8, `${id}: ${question} | ${written}`);
			}
		}
	}
});

test("held-out items are not in the training text", () => {
	const training = new Set(documents);
	for (const { prompt, messages } of heldOutItems()) {
		const question = prompt ?? messages?.at(-1)?.content ?? "";
		assert(!training.has(question));
	}
	assert.notEqual(HELD_OUT_SEED, 1);
});
