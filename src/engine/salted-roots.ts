/**
 * Names of empty prefixes for requests that share cached blocks only with those of the same salt (vLLM's cache_salt): a salt with an
 * adapter has a root of its own in the prefix cache. Integers and strings; knows no blocks.
 *
 * The salts asked for last are remembered, so many and no more. One that is forgotten gets another root when it comes again: that costs
 * a miss, never a wrong hit, for no root is given twice, and blocks behind one that nobody is given any more leave the cache by age.
 */
import { assert } from "../errors.ts";
import type { Adapter } from "./adapters.ts";

/** Roots of adapters are small negative integers, content ids are positive: from here up there is room for 2^51 salts between them. */
const FIRST_ROOT = -(2 ** 52);
const LAST_ROOT = -(2 ** 51);

export class SaltedRoots {
	readonly #maxKept: number;
	/** By adapter and salt, asked for longest ago first. */
	readonly #roots = new Map<string, number>();
	#numGiven = 0;

	/** @param maxKept the number of blocks: more salts have none in the cache */
	constructor(maxKept: number) {
		this.#maxKept = maxKept;
	}

	/** The root of a salt with an adapter; null: the model as it is. */
	rootOf(adapter: Adapter | null, salt: string): number {
		const key = `${adapter?.id ?? 0} ${salt}`;
		const root = this.#roots.get(key) ?? FIRST_ROOT + this.#numGiven++;
		this.#roots.delete(key);
		this.#roots.set(key, root);
		if (this.#roots.size > this.#maxKept)
			for (const oldest of this.#roots.keys()) {
				this.#roots.delete(oldest);
				break;
			}
		return root;
	}

	/** The laws: no more salts are kept than may be; each has a root of its own, below all adapters' and not to be given again. */
	checkIntegrity(): void {
		assert(this.#roots.size <= this.#maxKept, "salts are forgotten in time");
		const roots = new Set(this.#roots.values());
		assert(roots.size === this.#roots.size, "a root is one salt's");
		for (const root of roots)
			assert(
				root >= FIRST_ROOT && root < FIRST_ROOT + this.#numGiven,
				"a salt's root was given",
			);
		assert(FIRST_ROOT + this.#numGiven < LAST_ROOT, "roots meet no adapter's");
	}
}
