/** A seeded random source (sfc32). The same seed gives the same corpus on every machine. Knows nothing of text. */

export interface Random {
	/** Uniform in [0, 1). */
	next(): number;
	/** Uniform integer in low..high, both included. */
	int(low: number, high: number): number;
	chance(probability: number): boolean;
	pick<T>(items: readonly T[]): T;
	/** `count` different items in random order. */
	sample<T>(items: readonly T[], count: number): T[];
	/** Picks by weight; weights need not add up to one. */
	weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T;
}

export function createRandom(seed: number): Random {
	let a = 0x9e3779b9;
	let b = 0x243f6a88;
	let c = seed | 0;
	let counter = 1;

	function next(): number {
		const sum = (a + b + counter) | 0;
		counter = (counter + 1) | 0;
		a = b ^ (b >>> 9);
		b = (c + (c << 3)) | 0;
		c = ((c << 21) | (c >>> 11)) + sum;
		c |= 0;
		return (sum >>> 0) / 4294967296;
	}
	for (let i = 0; i < 16; i++) next();

	const int = (low: number, high: number) =>
		low + Math.floor(next() * (high - low + 1));
	const pick = <T>(items: readonly T[]): T =>
		items[Math.floor(next() * items.length)];

	function sample<T>(items: readonly T[], count: number): T[] {
		const pool = [...items];
		for (let i = 0; i < count; i++) {
			const j = int(i, pool.length - 1);
			[pool[i], pool[j]] = [pool[j], pool[i]];
		}
		return pool.slice(0, count);
	}

	function weighted<T>(items: readonly (readonly [number, T])[]): T {
		let total = 0;
		for (const [weight] of items) total += weight;
		let at = next() * total;
		for (const [weight, item] of items) {
			at -= weight;
			if (at < 0) return item;
		}
		return items[items.length - 1][1];
	}

	return {
		next,
		int,
		chance: (probability) => next() < probability,
		pick,
		sample,
		weighted,
	};
}

/** A 32-bit hash of text (FNV-1a): decides what is held out without a list. */
export function hashText(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) {
		hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	}
	return hash >>> 0;
}
