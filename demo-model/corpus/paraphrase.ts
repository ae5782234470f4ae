/** Asks for a fact in endless ways: hand-written questions and frames, then synonyms, manners, slips of the pen. */
import { normalize } from "./document.ts";
import { FACTS, HELD_OUT_QUESTIONS, TOPICS, type TopicFact } from "./facts.ts";
import {
	ANY_FRAMES,
	HOW_FRAMES,
	PIECE_FRAMES,
	POLITE_ENDS,
	POLITE_STARTS,
	SHORT_ENDS,
	SHORT_STARTS,
	WHAT_FRAMES,
	WHY_FRAMES,
} from "./frames.ts";
import { LONGEST_PHRASE, SYNONYMS } from "./lexicon.ts";
import type { Random } from "./random.ts";
import { CONTEXTS, EVERYDAY_WORDS } from "./small-talk-around.ts";

export interface Question {
	text: string;
	/** True if the asker wants one sentence. */
	short: boolean;
}

type Weighted = readonly (readonly [number, readonly string[]])[];

function framesOf(aspect: "what" | "why" | "how", alone: boolean): Weighted {
	if (alone)
		return [
			[3, WHAT_FRAMES],
			[1, WHY_FRAMES],
			[1, HOW_FRAMES],
			[2, ANY_FRAMES],
		];
	return [[1, { what: WHAT_FRAMES, why: WHY_FRAMES, how: HOW_FRAMES }[aspect]]];
}

/** Frames that fit a fact, with the noun phrases that go into them. */
function framed(fact: TopicFact, random: Random): string {
	const { aspect, names, subjects, alone } = fact;
	const isTopic = aspect === "what" || aspect === "why" || aspect === "how";
	const subject = random.pick(isTopic ? names : (subjects ?? names));
	const frames = isTopic
		? random.weighted<readonly string[]>(framesOf(aspect, alone))
		: WHAT_FRAMES;
	const bare = random.chance(0.3)
		? subject.replace(/^(the|an?) /, "")
		: subject;
	return random.pick(frames).replace("%", () => bare);
}

/** The general synonyms, and for every name of a topic its other names. */
const REPLACEMENTS: ReadonlyMap<string, readonly string[]> = (() => {
	const map = new Map(SYNONYMS);
	for (const { names } of Object.values(TOPICS)) {
		const bare = names.map((name) => name.replace(/^(the|an?) /, ""));
		for (const name of bare) {
			if (!map.has(name.toLowerCase())) map.set(name.toLowerCase(), bare);
		}
	}
	return map;
})();

/** Replaces words and phrases by others of their group, each with the given chance. */
export function replaceSynonyms(
	text: string,
	chance: number,
	random: Random,
): string {
	const words = text.split(" ");
	const out: string[] = [];
	for (let i = 0; i < words.length; ) {
		let taken = 1;
		let replacement = words[i];
		for (
			let length = Math.min(LONGEST_PHRASE, words.length - i);
			length > 0;
			length--
		) {
			const phrase = words.slice(i, i + length).join(" ");
			const [, core, tail] = /^(.*?)([?.,:!]*)$/.exec(
				phrase,
			) as RegExpExecArray;
			const others = REPLACEMENTS.get(core.toLowerCase());
			if (others === undefined) continue;
			taken = length;
			replacement = random.chance(chance) ? random.pick(others) + tail : phrase;
			break;
		}
		out.push(replacement);
		i += taken;
	}
	return out.join(" ");
}

const FILLERS =
	"just really actually maybe perhaps kindly exactly basically simply now here again then well so ok um this that thing stuff thanks please".split(
		" ",
	);

/** Drops, adds or moves a few words, as people do who type in a hurry. */
function shakeWords(text: string, random: Random): string {
	const words = text.split(" ");
	const changes = random.int(1, 3);
	for (let i = 0; i < changes && words.length > 3; i++) {
		const at = random.int(0, words.length - 1);
		const form = random.next();
		if (form < 0.6) words.splice(at, 1);
		else if (form < 0.85) words.splice(at, 0, random.pick(FILLERS));
		else words.push(...words.splice(at, 1));
	}
	return words.join(" ");
}

const SMALL_WORDS = new Set(
	"a an the is are was do does did of to in on for at by with and or it its that this be what how why which can could i my me you so".split(
		" ",
	),
);

/** "What does a block table map?" becomes "block table map". */
function keywords(text: string, random: Random): string {
	const words = text
		.replace(/[?!.,:;]+(?= |$)/g, "")
		.split(" ")
		.filter(
			(word) => !SMALL_WORDS.has(word.toLowerCase()) || random.chance(0.1),
		);
	return words.join(" ");
}

function mistype(text: string, random: Random): string {
	const slips = random.int(1, 2);
	let result = text;
	for (let i = 0; i < slips; i++) {
		const at = random.int(1, result.length - 2);
		if (!/[a-z]/i.test(result[at]) || !/[a-z]/i.test(result[at + 1])) continue;
		const [head, a, b, tail] = [
			result.slice(0, at),
			result[at],
			result[at + 1],
			result.slice(at + 2),
		];
		result = head + random.pick([b + a, b, a + a + b]) + tail;
	}
	return result;
}

function dress(text: string, random: Random): Question {
	let result = text;
	const short = random.chance(0.1);
	const isStart = random.chance(0.5);
	const [starts, ends] = short
		? [SHORT_STARTS, SHORT_ENDS]
		: [POLITE_STARTS, POLITE_ENDS];
	if (short || random.chance(0.3)) {
		if (isStart) {
			const lower = /^[A-Z][a-z' ]/.test(result);
			if (lower) result = result.charAt(0).toLowerCase() + result.slice(1);
			result = random.pick<string>(starts) + result;
		} else {
			result += random.pick<string>(ends);
		}
	}
	if (random.chance(0.3)) result = result.replace(/[?.!]+$/, "");
	if (random.chance(0.25)) result = result.toLowerCase();
	else if (random.chance(0.02)) result = result.toUpperCase();
	else if (random.chance(0.8)) {
		result = result.charAt(0).toUpperCase() + result.slice(1);
	}
	return { text: result, short };
}

/** The words that carry the meaning of a text. */
const contentWords = (text: string): string[] =>
	text
		.replace(/[?!.,:;()]+(?= |$)/g, "")
		.split(" ")
		.filter((word) => !SMALL_WORDS.has(word.toLowerCase()));

const factWords = new Map(
	FACTS.map(({ id, names, answer, ask, subjects }) => {
		const own = subjects ?? names;
		const texts = [...own, ...own, answer, ...ask].map(contentWords);
		return [id, texts.flat()];
	}),
);

/** A handful of words around the fact, in no order: which words belong to which fact is half of understanding. */
function wordsAround(fact: TopicFact, random: Random): string {
	const words = factWords.get(fact.id) as string[];
	return random.sample(words, random.int(4, 8)).join(" ");
}

/** A piece of the answer, as of someone who has heard of the thing but not its name. */
function pieceOfAnswer(fact: TopicFact, random: Random): string {
	const words = fact.answer.replace(/[.:;]/g, ",").split(" ");
	const length = Math.min(words.length, random.int(4, 10));
	const at = random.int(0, words.length - length);
	const piece = words
		.slice(at, at + length)
		.join(" ")
		.replace(/,$/, "");
	return random.pick(PIECE_FRAMES).replace("%", () => piece);
}

const vocabulary = [...new Set([...factWords.values()].flat())];

/** Adds or overwrites words at random, so that no single word can decide. */
function addNoise(text: string, random: Random): string {
	const words = text.split(" ");
	const source = random.chance(0.7) ? EVERYDAY_WORDS : vocabulary;
	for (let i = random.int(1, 5); i > 0; i--) {
		const overwritten = random.chance(0.2) ? 1 : 0;
		const at = random.int(0, words.length - overwritten);
		words.splice(at, overwritten, random.pick(source));
	}
	return words.join(" ");
}

/** Puts a sentence before or after that has nothing to do with the question. */
function addContext(text: string, random: Random): string {
	const context = random.pick(CONTEXTS);
	if (random.chance(0.3)) return `${text} ${context}`;
	return random.chance(0.7)
		? `${context} ${text}`
		: `${context.slice(0, -1)}, ${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}

function ask(fact: TopicFact, random: Random): Question {
	const make = random.weighted<() => string>([
		[40, () => random.pick(fact.ask)],
		[35, () => framed(fact, random)],
		[13, () => wordsAround(fact, random)],
		[12, () => pieceOfAnswer(fact, random)],
	]);
	let text = make();
	if (random.chance(0.7)) {
		text = replaceSynonyms(text, random.pick([0.2, 0.4, 0.7]), random);
	}
	if (random.chance(0.08)) text = keywords(text, random);
	if (random.chance(0.2)) text = shakeWords(text, random);
	if (random.chance(0.25)) text = addNoise(text, random);
	if (random.chance(0.15)) text = addContext(text, random);
	if (random.chance(0.1) && text.length > 8) text = mistype(text, random);
	return dress(text, random);
}

/** A question for training: never contains a held-out question, whatever its case and punctuation. */
export function askFact(fact: TopicFact, random: Random): Question {
	for (;;) {
		const question = ask(fact, random);
		if (normalize(question.text) === "") continue;
		if (!containsHeldOut(question.text)) return question;
	}
}

export function containsHeldOut(text: string): boolean {
	const plain = ` ${normalize(text)} `;
	return HELD_OUT_QUESTIONS.some((held) => plain.includes(` ${held} `));
}
