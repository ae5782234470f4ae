/** Plain sentences of a wanted length, the same for the same seed: readable where the inspector shows what a block holds. */

const ADJECTIVES = [
	"small",
	"old",
	"green",
	"quiet",
	"bright",
	"round",
	"warm",
	"tall",
];
const NOUNS = [
	"fox",
	"boat",
	"tree",
	"child",
	"bird",
	"house",
	"stone",
	"river",
	"cat",
	"garden",
	"lamp",
	"cloud",
];
const VERBS = ["sees", "finds", "likes", "wants", "knows", "follows"];
const PLACES = [
	"near the river",
	"in the garden",
	"on the hill",
	"by the door",
	"under the tree",
	"at night",
];

/** Exactly `numWords` words. */
export function sentences(seed: number, numWords: number): string {
	const random = randomOf(seed);
	const pick = (list: readonly string[]) =>
		list[Math.floor(random() * list.length)];
	const words: string[] = [];
	while (words.length < numWords)
		words.push(
			...`The ${pick(ADJECTIVES)} ${pick(NOUNS)} ${pick(VERBS)} the ${pick(ADJECTIVES)} ${pick(NOUNS)} ${pick(PLACES)}.`.split(
				" ",
			),
		);
	return words.slice(0, numWords).join(" ");
}

/** Numbers in [0, 1): a multiplicative congruential generator, good enough to choose words with. */
export function randomOf(seed: number): () => number {
	let state = (Math.imul(seed + 1, 0x9e3779b1) >>> 0) | 1;
	return () => {
		state = Math.imul(state, 0x2c9277b5) + 0xac564b05;
		return ((state >>> 8) & 0xffffff) / 2 ** 24;
	};
}
