/**
 * Regular expressions for XGrammar. What it would take for something else than ECMAScript does is rewritten or refused: the dot,
 * anchors in the middle, classes beyond ASCII; in a JSON string also characters that are written as escapes there. What it does
 * not know (lookaround, backreferences, word boundaries, \p) is left in for it to refuse by name. Matches the whole text.
 */
import { JSON_ESCAPED, writeClass } from "./character-class.ts";
import { type Item, patternError, readPattern } from "./pattern-reader.ts";

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
	const source = { chars: [...pattern], where };
	let text = "";
	for (const { item, at } of readPattern(source)) {
		const written = write(item, inJson);
		if (written === null)
			throw patternError(
				source,
				at,
				"is a class that cannot be matched token by token. It may name ASCII characters and up to 512 others, exclude ASCII ones only, and must leave something",
			);
		text += written;
	}
	return `(?:${text})`;
}

function write(item: Item, inJson: boolean): string | null {
	switch (item.kind) {
		case "syntax":
			return item.text;
		case "class":
			return writeClass(item.value, inJson ? JSON_ESCAPED : []);
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
	const chars = Array.from(escaped, (char) => literal(char.charCodeAt(0)));
	return `(?:${chars.join("")})`;
}

/** XGrammar reads \xHH on past two digits, \uHHHH not past four. */
function literal(code: number): string {
	const char = String.fromCodePoint(code);
	if (code >= 0x80 || /[a-z0-9]/i.test(char)) return char;
	return `\\u${code.toString(16).padStart(4, "0")}`;
}
