/**
 * Regular expressions for XGrammar. What it would take for something else than ECMAScript does is rewritten or refused: the dot,
 * anchors in the middle, classes beyond ASCII; in a JSON string also characters that are written as escapes there. What it does
 * not know (lookaround, backreferences, word boundaries, \p) is left in for it to refuse by name. Matches the whole text.
 */
import { NanoVllmError } from "../errors.ts";
import {
	type CharacterClass,
	DIGITS,
	JSON_ESCAPED,
	type Range,
	SPACE,
	WORD,
	writeClass,
} from "./character-class.ts";

type Item =
	| { readonly kind: "class"; readonly value: CharacterClass }
	| { readonly kind: "char"; readonly code: number }
	/** Groups, quantifiers, alternation, and what XGrammar refuses. */
	| { readonly kind: "syntax"; readonly text: string };

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

/**
 * @param where the pattern's name in messages
 * @param inJson the text matched is a JSON string's content
 * @throws invalid_sampling_params
 */
export function translatePattern(
	pattern: string,
	where: string,
	inJson: boolean,
): string {
	const reader = createReader([...pattern], where);
	let text = "";
	for (let at = reader.start; at < reader.end; ) {
		const { item, next } = reader.read(at);
		text += write(item, inJson, () => reader.wrong(at));
		at = next;
	}
	return `(?:${text})`;
}

function write(item: Item, inJson: boolean, wrong: () => Error): string {
	switch (item.kind) {
		case "syntax":
			return item.text;
		case "class": {
			const text = writeClass(item.value, inJson ? JSON_ESCAPED : []);
			if (text === null) throw wrong();
			return text;
		}
		case "char":
			return inJson ? writeInJson(item.code) : literal(item.code);
		default:
			return item satisfies never;
	}
}

function writeInJson(code: number): string {
	if (!JSON_ESCAPED.some(([low, high]) => code >= low && code <= high))
		return literal(code);
	const escaped = JSON.stringify(String.fromCodePoint(code)).slice(1, -1);
	return `(?:${[...escaped].map((c) => literal(c.codePointAt(0) ?? 0)).join("")})`;
}

function literal(code: number): string {
	const char = String.fromCodePoint(code);
	if (code >= 0x80 || /[a-z0-9]/i.test(char)) return char;
	return `\\u${code.toString(16).padStart(4, "0")}`;
}

function createReader(chars: readonly string[], where: string) {
	const start = chars[0] === "^" ? 1 : 0;
	const isEscaped = (at: number): boolean =>
		at > 0 && chars[at - 1] === "\\" && !isEscaped(at - 1);
	const last = chars.length - 1;
	const endsAnchored = last >= start && chars[last] === "$" && !isEscaped(last);

	const wrong = (at: number, what = "cannot be matched token by token") =>
		new NanoVllmError(
			"invalid_sampling_params",
			`${where}: character ${at + 1} of ${JSON.stringify(chars.join("")).slice(0, 80)} ${what}. Anchors belong to the ends; a class may name ASCII characters and up to 512 others, exclude ASCII ones only, and must not be empty.`,
		);

	/** \xHH, \uHHHH, \u{H…}: the code point and where it ends. */
	const numeric = (at: number): { code: number; next: number } | null => {
		const rest = chars.slice(at, at + 12).join("");
		const hex = /^(?:x([0-9a-f]{2})|u([0-9a-f]{4})|u\{([0-9a-f]{1,6})\})/i.exec(
			rest,
		);
		if (!hex) return null;
		const code = Number.parseInt(hex[1] ?? hex[2] ?? hex[3], 16);
		if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw wrong(at);
		return { code, next: at + hex[0].length };
	};

	/** What a backslash at `at` begins. */
	const readEscape = (at: number): { item: Item; next: number } => {
		const letter = chars[at + 1];
		if (letter === undefined)
			throw wrong(at, "begins an escape and ends there");
		const hex = numeric(at + 1);
		if (hex) return { item: { kind: "char", code: hex.code }, next: hex.next };
		const next = at + 2;
		const shorthand = SHORTHANDS[letter.toLowerCase()];
		if (shorthand) {
			const negated = letter !== letter.toLowerCase();
			const value = { negated, ranges: shorthand };
			return { item: { kind: "class", value }, next };
		}
		const control = CONTROLS[letter];
		if (control !== undefined)
			return { item: { kind: "char", code: control }, next };
		if (/[a-z0-9]/i.test(letter))
			return { item: { kind: "syntax", text: `\\${letter}` }, next };
		return { item: { kind: "char", code: letter.codePointAt(0) ?? 0 }, next };
	};

	/** One character or shorthand of a class. */
	const readMember = (
		at: number,
	): { ranges: readonly Range[]; next: number } => {
		if (chars[at] !== "\\") {
			const code = chars[at].codePointAt(0) ?? 0;
			return { ranges: [[code, code]], next: at + 1 };
		}
		if (chars[at + 1] === "b") return { ranges: [[8, 8]], next: at + 2 };
		const { item, next } = readEscape(at);
		if (item.kind === "char") return { ranges: [[item.code, item.code]], next };
		if (item.kind === "class" && !item.value.negated)
			return { ranges: item.value.ranges, next };
		throw wrong(at);
	};

	const readClass = (open: number): { item: Item; next: number } => {
		const negated = chars[open + 1] === "^";
		const ranges: Range[] = [];
		let at = open + (negated ? 2 : 1);
		for (;;) {
			if (at >= chars.length)
				throw wrong(open, "opens a class that never ends");
			if (chars[at] === "]") break;
			const first = readMember(at);
			at = first.next;
			const isRange =
				chars[at] === "-" && at + 1 < chars.length && chars[at + 1] !== "]";
			if (!isRange) {
				ranges.push(...first.ranges);
				continue;
			}
			const last = readMember(at + 1);
			const [[low], [high]] = [first.ranges[0], last.ranges[0]];
			if (first.ranges.length !== 1 || last.ranges.length !== 1 || low > high)
				throw wrong(at, "is in a range from higher to lower");
			ranges.push([low, high]);
			at = last.next;
		}
		return {
			item: { kind: "class", value: { negated, ranges } },
			next: at + 1,
		};
	};

	const read = (at: number): { item: Item; next: number } => {
		const char = chars[at];
		const syntax = (text: string): { item: Item; next: number } => ({
			item: { kind: "syntax", text },
			next: at + [...text].length,
		});
		switch (char) {
			case "\\":
				return readEscape(at);
			case "[":
				return readClass(at);
			case ".": {
				const value = { negated: true, ranges: LINE_ENDS };
				return { item: { kind: "class", value }, next: at + 1 };
			}
			case "^":
			case "$":
				throw wrong(at, "is an anchor in the middle");
			case "(": {
				const rest = chars.slice(at, at + 80).join("");
				const head = /^\(\?(?:<(?![=!])[^>]*>|<?[=!:])?/.exec(rest);
				// A name says nothing here.
				if (head?.[0].endsWith(">"))
					return {
						item: { kind: "syntax", text: "(" },
						next: at + [...head[0]].length,
					};
				return syntax(head?.[0] ?? "(");
			}
			case "{": {
				const rest = chars.slice(at, at + 40).join("");
				const repeat = /^\{\d+(?:,\d*)?\}/.exec(rest);
				if (!repeat) throw wrong(at, "begins no count like {2,5}");
				return syntax(repeat[0]);
			}
			case ")":
			case "|":
			case "*":
			case "+":
			case "?":
				return syntax(char);
			default:
				return {
					item: { kind: "char", code: char.codePointAt(0) ?? 0 },
					next: at + 1,
				};
		}
	};
	return {
		start,
		end: endsAnchored ? last : chars.length,
		read,
		wrong,
	};
}
