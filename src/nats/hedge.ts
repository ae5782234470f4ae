/**
 * Which requests to ask a second time, when workers stand idle and nothing is left to give them: those that have been out longest, and
 * longer than answers take. After Dean and Barroso, The Tail at Scale (2013). Knows no broker.
 */

export interface Outstanding {
	readonly line: number;
	/** When it was asked. */
	readonly since: number;
	isHedged: boolean;
}

/** A younger one is not late yet. */
const MIN_AGE_MS = 1000;
/** Late is what takes so many times as long as the middle one of the last answers. */
const LATENESS = 2;
/** Of the last answers. */
const MAX_DURATIONS = 256;

/** How long workers took of late. */
export class Durations {
	readonly #last: number[] = [];
	#at = 0;

	add(ms: number): void {
		this.#last[this.#at] = ms;
		this.#at = (this.#at + 1) % MAX_DURATIONS;
	}

	/** null where none is known. */
	get median(): number | null {
		const sorted = [...this.#last].sort((a, b) => a - b);
		return sorted[sorted.length >> 1] ?? null;
	}
}

/**
 * @param medianMs null: not known, and nothing is late
 * @returns at most `numIdle`, the oldest first
 */
export function toHedge<T extends Outstanding>(
	outstanding: Iterable<T>,
	numIdle: number,
	medianMs: number | null,
	now: number,
): T[] {
	if (medianMs === null) return [];
	const before = now - Math.max(MIN_AGE_MS, LATENESS * medianMs);
	return [...outstanding]
		.filter(({ isHedged, since }) => !isHedged && since <= before)
		.sort((a, b) => a.since - b.since)
		.slice(0, numIdle);
}
