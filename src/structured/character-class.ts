/**
 * Sets of characters as XGrammar can match them. Its classes compare bytes: [a-z] and [^"\\] are right, a class that names a
 * character beyond ASCII is not, so those are written as alternatives. Code points throughout.
 */

/** Inclusive. */
export type Range = readonly [first: number, last: number];

export interface CharacterClass {
	readonly negated: boolean;
	readonly ranges: readonly Range[];
}

export const DIGITS: readonly Range[] = [[0x30, 0x39]];
export const WORD: readonly Range[] = [
	[0x30, 0x39],
	[0x41, 0x5a],
	[0x5f, 0x5f],
	[0x61, 0x7a],
];
/** The blank characters of ASCII. */
export const SPACE: readonly Range[] = [
	[0x09, 0x0d],
	[0x20, 0x20],
];
/** What may not stand for itself in a JSON string: controls, the quote, the backslash. */
export const JSON_ESCAPED: readonly Range[] = [
	[0x00, 0x1f],
	[0x22, 0x22],
	[0x5c, 0x5c],
];

/** Alternatives a class may be written out as. */
const MAX_ALTERNATIVES = 512;

/**
 * The class as a pattern for XGrammar, without the characters in `excluded` (ASCII).
 * @returns null where it cannot be said: nothing is left, it excludes characters beyond ASCII, or names too many of them
 */
export function writeClass(
	{ negated, ranges }: CharacterClass,
	excluded: readonly Range[],
): string | null {
	if (negated) {
		if (ranges.some(([, last]) => last > 0x7f)) return null;
		return `[^${asciiItems([...ranges, ...excluded])}]`;
	}
	const ascii = asciiItems(
		ranges.flatMap((range) =>
			range[0] > 0x7f
				? []
				: without([range[0], Math.min(range[1], 0x7f)], excluded),
		),
	);
	const others = beyondAscii(ranges);
	if (others === null || (ascii === "" && others.length === 0)) return null;
	if (others.length === 0) return `[${ascii}]`;
	return `(?:${[...(ascii ? [`[${ascii}]`] : []), ...others].join("|")})`;
}

/** The range minus others, in pieces. */
function without(range: Range, excluded: readonly Range[]): Range[] {
	return excluded.reduce<Range[]>(
		(pieces, [low, high]) =>
			pieces.flatMap(([first, last]): Range[] => {
				if (high < first || low > last) return [[first, last]];
				const left: Range[] = low > first ? [[first, low - 1]] : [];
				const right: Range[] = high < last ? [[high + 1, last]] : [];
				return [...left, ...right];
			}),
		[range],
	);
}

function asciiItems(ranges: readonly Range[]): string {
	const char = (code: number) => `\\u${code.toString(16).padStart(4, "0")}`;
	return ranges
		.map(([first, last]) =>
			first === last ? char(first) : `${char(first)}-${char(last)}`,
		)
		.join("");
}

/** Every character from U+0080 on, each for itself; null where there are too many, or halves of surrogate pairs. */
function beyondAscii(ranges: readonly Range[]): string[] | null {
	const characters: string[] = [];
	for (const [first, last] of ranges) {
		if (last - Math.max(first, 0x80) >= MAX_ALTERNATIVES) return null;
		for (let code = Math.max(first, 0x80); code <= last; code++) {
			if (code >= 0xd800 && code <= 0xdfff) return null;
			characters.push(String.fromCodePoint(code));
		}
	}
	return characters.length > MAX_ALTERNATIVES ? null : characters;
}
