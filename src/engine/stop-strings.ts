/** Finds stop strings in a text that arrives in pieces. Knows no tokens. Knuth, Morris and Pratt 1977, one automaton a string. */

export interface StopMatcher {
	/**
	 * `mayStop`: whether a stop string may end in this piece; one that ends in a piece that may not is text.
	 * @returns the text that can be shown now, and the stop string that ended it, if one did
	 */
	push(piece: string, mayStop?: boolean): { text: string; stop: string | null };
	/** What was held back, where the text ends without a stop string. */
	flush(): string;
}

/**
 * Holds back exactly the characters that could still become a stop string. The stop string that completes first wins,
 * the longest of those that complete together. `include`: the stop string is part of the text.
 */
export function createStopMatcher(
	stops: readonly string[],
	include: boolean,
): StopMatcher {
	const fallbacks = stops.map(borders);
	/** Per stop string, how many of its characters the text ends with. */
	const matched = stops.map(() => 0);
	let held = "";
	return {
		push(piece, mayStop = true) {
			const text = held + piece;
			for (let at = held.length; at < text.length; at++) {
				let found = "";
				for (let s = 0; s < stops.length; s++) {
					const stop = stops[s];
					while (matched[s] > 0 && stop[matched[s]] !== text[at])
						matched[s] = fallbacks[s][matched[s] - 1];
					if (stop[matched[s]] === text[at]) matched[s]++;
					if (matched[s] < stop.length) continue;
					matched[s] = fallbacks[s][stop.length - 1];
					if (mayStop && stop.length > found.length) found = stop;
				}
				if (found !== "") {
					held = "";
					const end = at + 1 - (include ? 0 : found.length);
					return { text: text.slice(0, end), stop: found };
				}
			}
			const shown = text.length - Math.max(0, ...matched);
			held = text.slice(shown);
			return { text: text.slice(0, shown), stop: null };
		},
		flush() {
			const rest = held;
			held = "";
			matched.fill(0);
			return rest;
		},
	};
}

/** borders[i]: length of the longest proper prefix of pattern[0..i] that is also its suffix. */
function borders(pattern: string): number[] {
	const result = [0];
	for (let i = 1, length = 0; i < pattern.length; i++) {
		while (length > 0 && pattern[i] !== pattern[length])
			length = result[length - 1];
		if (pattern[i] === pattern[length]) length++;
		result.push(length);
	}
	return result;
}
