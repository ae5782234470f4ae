/** A step's tokens in tiles of one adapter slot each, and the slots the step uses: integers alone. */
import type { StepInput } from "../backend.ts";
import type { AdapterTile } from "./kernels/lora-shrink.ts";

/** Steps of at most so many tokens have tiles of one, of four. Bounds of regimes of plan.ts. */
const MOST_SINGLE_TOKENS = 8;
const MOST_TOKENS_BY_FOUR = 512;

export const adapterTile = (numTokens: number): AdapterTile => {
	if (numTokens <= MOST_SINGLE_TOKENS) return 1;
	return numTokens <= MOST_TOKENS_BY_FOUR ? 4 : 16;
};

type Adapted = Pick<StepInput, "numTokens" | "adapterTokens" | "adapterStart">;

export interface AdapterItems {
	/** How many slots the step uses, then which. */
	readonly used: Uint32Array<ArrayBuffer>;
	/** Tiles: place of the slot in `used`, first place in the list, tokens, rank of the adapter. The last ones are of the tokens without one: rank 0. */
	readonly items: Uint32Array<ArrayBuffer>;
	/** The step's tokens, those of a slot together. */
	readonly list: Uint32Array<ArrayBuffer>;
	/** By token: place of its slot in `used`, rank; 0 where it has none. */
	readonly owners: Uint32Array<ArrayBuffer>;
	readonly numUsed: number;
	readonly numItems: number;
	/** Nothing is written for a step without adapters. */
	write(input: Adapted, ranks: Int32Array): void;
}

export function createAdapterItems(
	numSlots: number,
	maxTokens: number,
): AdapterItems {
	const used = new Uint32Array(4 * Math.ceil((1 + numSlots) / 4));
	const items = new Uint32Array(4 * (maxTokens + numSlots + 1));
	const list = new Uint32Array(maxTokens);
	const owners = new Uint32Array(2 * maxTokens);
	let numUsed = 0;
	let numItems = 0;
	const addTiles = (start: number, end: number, tile: number, rank: number) => {
		for (let i = start; i < end; i += tile)
			items.set([numUsed, i, Math.min(tile, end - i), rank], 4 * numItems++);
	};
	const addSlot = (tokens: Int32Array, start: number, rank: number) => {
		for (let i = 0; i < tokens.length; i++) {
			list[start + i] = tokens[i];
			owners[2 * tokens[i]] = numUsed;
			owners[2 * tokens[i] + 1] = rank;
		}
	};
	return {
		used,
		items,
		list,
		owners,
		get numUsed() {
			return numUsed;
		},
		get numItems() {
			return numItems;
		},
		write({ numTokens, adapterTokens, adapterStart }, ranks) {
			numUsed = numItems = 0;
			used[0] = 0;
			const numAdapted = adapterStart[numSlots];
			if (numAdapted === 0) return;
			owners.fill(0, 0, 2 * numTokens);
			const tile = adapterTile(numTokens);
			for (let slot = 0; slot < numSlots; slot++) {
				const [start, end] = [adapterStart[slot], adapterStart[slot + 1]];
				if (start === end) continue;
				const rank = Math.max(1, ranks[slot]);
				addSlot(adapterTokens.subarray(start, end), start, rank);
				addTiles(start, end, tile, rank);
				used[1 + numUsed++] = slot;
			}
			used[0] = numUsed;
			let end = numAdapted;
			for (let t = 0; t < numTokens; t++)
				if (owners[2 * t + 1] === 0) list[end++] = t;
			addTiles(numAdapted, end, tile, 0);
		},
	};
}
