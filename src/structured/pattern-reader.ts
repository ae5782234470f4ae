/** Reads a regular expression of ECMAScript item by item. Knows what an item is, not what becomes of it. */
import { NanoVllmError } from "../errors.ts";
import {
	type CharacterClass,
	DIGITS,
	type Range,
	SPACE,
	WORD,
} from "./character-class.ts";

export type Item =
	| { readonly kind: "class"; readonly value: CharacterClass }
	| { readonly kind: "char"; readonly code: number }
	/** Groups, quantifiers, alternation, and what XGrammar refuses by name. */
	| { readonly kind: "syntax"; readonly text: string };

export interface PatternSource {
	/** Code points. */
	readonly chars: readonly string[];
	/** The pattern's name in messages. */
	readonly where: string;
}

/** What was read, and where it ends. */
interface Read<T> {
	readonly item: T;
	readonly next: number;
}

const LINE_ENDS: readonly Range[] = [
	[0x0a, 0x0a],
	[0x0d, 0x0d],
];
const CONTROLS: Readonly<Record<string, number>> = {
	t: 0x09,
	n: 0x0a,
	v: 0x0b,
	f: 0x0c,
	r: 0x0d,
	"0": 0x00,
};
const SHORTHANDS: Readonly<Record<string, readonly Range[]>> = {
	d: DIGITS,
	w: WORD,
	s: SPACE,
};
/** The longest thing that is looked for as a whole: a group's name. */
const LOOK_AHEAD = 80;

export function patternError(
	{ chars, where }: PatternSource,
	at: number,
	what: string,
): NanoVllmError {
	const pattern = JSON.stringify(chars.join("")).slice(0, 80);
	return new NanoVllmError(
		"invalid_sampling_params",
		`${where}: character ${at + 1} of ${pattern} ${what}.`,
	);
}

/** The items between the anchors at the ends. @throws invalid_sampling_params */
export function* readPattern(
	source: PatternSource,
): Generator<{ readonly item: Item; readonly at: number }> {
	const { chars } = source;
	const start = chars[0] === "^" ? 1 : 0;
	const last = chars.length - 1;
	const anchored =
		last >= start && chars[last] === "$" && !isEscaped(chars, last);
	const end = anchored ? last : chars.length;
	for (let at = start; at < end; ) {
		const { item, next } = readItem(source, at);
		yield { item, at };
		at = next;
	}
}

function isEscaped(chars: readonly string[], at: number): boolean {
	let backslashes = 0;
	while (chars[at - 1 - backslashes] === "\\") backslashes++;
	return backslashes % 2 === 1;
}

function readItem(source: PatternSource, at: number): Read<Item> {
	const char = source.chars[at];
	switch (char) {
		case "\\":
			return readEscape(source, at);
		case "[":
			return readClass(source, at);
		case ".":
			return classOf({ negated: true, ranges: LINE_ENDS }, at + 1);
		case "(":
			return readGroup(source, at);
		case "{":
			return readCount(source, at);
		case "^":
		case "$":
			throw patternError(
				source,
				at,
				"is an anchor in the middle, where it cannot be matched. Anchors belong to the ends",
			);
		case ")":
		case "|":
		case "*":
		case "+":
		case "?":
			return { item: { kind: "syntax", text: char }, next: at + 1 };
		default:
			return charOf(codeOf(char), at + 1);
	}
}

const codeOf = (char: string): number => char.codePointAt(0) ?? 0;

const charOf = (code: number, next: number): Read<Item> => ({
	item: { kind: "char", code },
	next,
});

const classOf = (value: CharacterClass, next: number): Read<Item> => ({
	item: { kind: "class", value },
	next,
});

const ahead = ({ chars }: PatternSource, at: number): string =>
	chars.slice(at, at + LOOK_AHEAD).join("");

/** What a backslash at `at` begins. */
function readEscape(source: PatternSource, at: number): Read<Item> {
	const letter = source.chars[at + 1];
	if (letter === undefined)
		throw patternError(source, at, "begins an escape, and the pattern ends");
	const code = /^(?:x([0-9a-f]{2})|u([0-9a-f]{4})|u\{([0-9a-f]{1,6})\})/i.exec(
		ahead(source, at + 1),
	);
	if (code !== null) {
		const value = Number.parseInt(code[1] ?? code[2] ?? code[3], 16);
		if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			throw patternError(source, at, "names a code that is no character");
		return charOf(value, at + 1 + code[0].length);
	}
	const next = at + 2;
	const lower = letter.toLowerCase();
	const ranges = SHORTHANDS[lower];
	if (ranges !== undefined)
		return classOf({ negated: letter !== lower, ranges }, next);
	if (CONTROLS[letter] !== undefined) return charOf(CONTROLS[letter], next);
	if (/[a-z0-9]/i.test(letter))
		return { item: { kind: "syntax", text: `\\${letter}` }, next };
	return charOf(codeOf(letter), next);
}

function readClass(source: PatternSource, open: number): Read<Item> {
	const { chars } = source;
	const negated = chars[open + 1] === "^";
	const ranges: Range[] = [];
	let at = open + (negated ? 2 : 1);
	while (chars[at] !== "]") {
		if (at >= chars.length)
			throw patternError(source, open, "opens a class that never ends");
		const first = readMember(source, at);
		const isRange =
			chars[first.next] === "-" &&
			first.next + 1 < chars.length &&
			chars[first.next + 1] !== "]";
		if (!isRange) {
			ranges.push(...first.item);
			at = first.next;
			continue;
		}
		const last = readMember(source, first.next + 1);
		const [low, high] = [first.item[0][0], last.item[0][0]];
		if (first.item.length > 1 || last.item.length > 1 || low > high)
			throw patternError(source, at, "begins a range that is none");
		ranges.push([low, high]);
		at = last.next;
	}
	return classOf({ negated, ranges }, at + 1);
}

/** One character or shorthand of a class. */
function readMember(source: PatternSource, at: number): Read<readonly Range[]> {
	const char = source.chars[at];
	if (char !== "\\")
		return { item: [[codeOf(char), codeOf(char)]], next: at + 1 };
	if (source.chars[at + 1] === "b") return { item: [[8, 8]], next: at + 2 };
	const { item, next } = readEscape(source, at);
	if (item.kind === "char") return { item: [[item.code, item.code]], next };
	if (item.kind === "class" && !item.value.negated)
		return { item: item.value.ranges, next };
	throw patternError(
		source,
		at,
		"cannot stand in a class here. Write it outside",
	);
}

/** A group's head; its name says nothing here. */
function readGroup(source: PatternSource, at: number): Read<Item> {
	const [head] = /^\((?:\?(?:<(?![=!])[^>]*>|<?[=!:]|))?/.exec(
		ahead(source, at),
	) ?? ["("];
	const text = head.endsWith(">") ? "(" : head;
	return { item: { kind: "syntax", text }, next: at + [...head].length };
}

function readCount(source: PatternSource, at: number): Read<Item> {
	const count = /^\{\d+(?:,\d*)?\}/.exec(ahead(source, at));
	if (count === null)
		throw patternError(source, at, "begins no count like {2,5}");
	const [text] = count;
	return { item: { kind: "syntax", text }, next: at + text.length };
}
