/** Asks for a fact in endless ways: hand-written questions and frames, then synonyms, manners, slips of the pen. */
import { normalize } from "./document.ts";
import { HELD_OUT_QUESTIONS, TOPICS, type TopicFact } from "./facts.ts";
import {
	HOW_FRAMES,
	POLITE_ENDS,
	POLITE_STARTS,
	SHORT_ENDS,
	SHORT_STARTS,
	WHAT_FRAMES,
	WHY_FRAMES,
} from "./frames.ts";
import { LONGEST_PHRASE, SYNONYMS } from "./lexicon.ts";
import type { Random } from "./random.ts";

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

function ask(fact: TopicFact, random: Random): Question {
	let text = random.chance(0.55) ? random.pick(fact.ask) : framed(fact, random);
	if (random.chance(0.6)) {
		text = replaceSynonyms(text, random.pick([0.2, 0.4, 0.7]), random);
	}
	if (random.chance(0.08)) text = keywords(text, random);
	if (random.chance(0.2)) text = shakeWords(text, random);
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
