/**
 * The blocks of a KV cache as events tell of them: references, owners, which prefix each holds and what its tokens are. Tokens of a
 * cached prefix outlive the sequences that computed it. Knows block numbers and token ids alone.
 */
import type { BlockState } from "../engine/events.ts";

/** One block's part of a prefix, shared by all blocks that hold it. Never changed. */
export interface BlockContent {
	/** Names the prefix that ends here. */
	readonly id: number;
	/** The prefix before; 0 or less: none. */
	readonly parentId: number;
	/** null: they were never told. */
	readonly tokenIds: readonly number[] | null;
}

interface HeldContent {
	readonly content: BlockContent;
	/** By how many blocks. */
	numBlocks: number;
}

/** What of a map a keyframe keeps; owners follow from the sequences' tables. */
export interface SavedBlocks {
	readonly numReferences: Int32Array;
	readonly isCached: Uint8Array;
	readonly contents: readonly (BlockContent | null)[];
}

const NOBODY: readonly number[] = [];

export class BlockMap {
	readonly numBlocks: number;
	/** Per block. */
	readonly numReferences: Int32Array;
	/** Per block, 1: a later prompt can find it. */
	readonly isCached: Uint8Array;
	/** Per block; null: not a full, computed block. */
	readonly contents: (BlockContent | null)[];
	/** Per block: arrivals that hold it. */
	readonly owners: (readonly number[])[];
	#numFree: number;
	#numCached = 0;
	readonly #held = new Map<number, HeldContent>();

	constructor(numBlocks: number) {
		this.numBlocks = numBlocks;
		this.#numFree = numBlocks;
		this.numReferences = new Int32Array(numBlocks);
		this.isCached = new Uint8Array(numBlocks);
		this.contents = new Array(numBlocks).fill(null);
		this.owners = new Array(numBlocks).fill(NOBODY);
	}

	/** Blocks that nobody references, cached ones included. */
	get numFree(): number {
		return this.#numFree;
	}

	get numCached(): number {
		return this.#numCached;
	}

	/** What the blocks of a prefix hold, where some block still does. */
	content(id: number): BlockContent | null {
		return this.#held.get(id)?.content ?? null;
	}

	/** The contents of a prefix from its beginning to the block; from where it is still held, where its beginning is not. */
	chain(block: number): BlockContent[] {
		const chain: BlockContent[] = [];
		let content = this.contents[block];
		while (content !== null) {
			chain.push(content);
			content = this.content(content.parentId);
		}
		return chain.reverse();
	}

	own(arrival: number, blocks: readonly number[]): void {
		for (const block of blocks)
			this.owners[block] = [...this.owners[block], arrival];
	}

	disown(arrival: number, blocks: readonly number[]): void {
		for (const block of blocks) {
			const others = this.owners[block].filter((it) => it !== arrival);
			this.owners[block] = others.length === 0 ? NOBODY : others;
		}
	}

	/** @param tokensOf what the block holds, asked for where its prefix is new */
	set(state: BlockState, tokensOf: () => readonly number[] | null): void {
		const { block, numReferences, contentId, parentContentId } = state;
		const wasFree = this.numReferences[block] === 0;
		this.#numFree += Number(numReferences === 0) - Number(wasFree);
		this.numReferences[block] = numReferences;
		this.#setCached(block, state.isCached);
		const before = this.contents[block];
		if ((before?.id ?? 0) === contentId) return;
		this.#drop(before);
		if (contentId === 0) this.contents[block] = null;
		else
			this.contents[block] = this.#hold(contentId, () => ({
				id: contentId,
				parentId: parentContentId,
				tokenIds: state.tokenIds ?? tokensOf(),
			}));
	}

	save(): SavedBlocks {
		return {
			numReferences: this.numReferences.slice(),
			isCached: this.isCached.slice(),
			contents: [...this.contents],
		};
	}

	/** A new map of what was saved; it has no owners yet. */
	static restore({ numReferences, isCached, contents }: SavedBlocks): BlockMap {
		const map = new BlockMap(numReferences.length);
		map.numReferences.set(numReferences);
		map.isCached.set(isCached);
		for (let block = 0; block < map.numBlocks; block++) {
			if (numReferences[block] > 0) map.#numFree--;
			map.#numCached += isCached[block];
			const content = contents[block];
			if (content !== null)
				map.contents[block] = map.#hold(content.id, () => content);
		}
		return map;
	}

	#setCached(block: number, isCached: boolean): void {
		this.#numCached += Number(isCached) - this.isCached[block];
		this.isCached[block] = Number(isCached);
	}

	#hold(id: number, make: () => BlockContent): BlockContent {
		let held = this.#held.get(id);
		if (held === undefined) {
			held = { content: make(), numBlocks: 0 };
			this.#held.set(id, held);
		}
		held.numBlocks++;
		return held.content;
	}

	#drop(content: BlockContent | null): void {
		if (content === null) return;
		const held = this.#held.get(content.id);
		if (held !== undefined && --held.numBlocks === 0)
			this.#held.delete(content.id);
	}
}
