/** How a sequence looks, the same in every picture: a hue and a pattern by its arrival. Knows no canvas. */

export const NUM_HUES = 10;
export const PATTERNS = ["solid", "stripes", "dots"] as const;
export type Pattern = (typeof PATTERNS)[number];

export interface SequenceStyle {
	/** 0 … NUM_HUES - 1; the CSS variable --seq-HUE. */
	readonly hue: number;
	readonly pattern: Pattern;
}

/** Thirty looks in turn: sequences that arrive near one another differ in hue, those with the same hue in pattern. */
export function styleOf(arrival: number): SequenceStyle {
	return {
		hue: arrival % NUM_HUES,
		pattern: PATTERNS[Math.floor(arrival / NUM_HUES) % PATTERNS.length],
	};
}

/** What a sequence is called on the page. */
export function nameOf(arrival: number): string {
	return `#${arrival}`;
}
