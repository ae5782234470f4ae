/**
 * The paged KV cache as book-keeping: which block is whose, and which prefix a full block holds. Knows no device.
 * Paging after Kwon et al. 2023 (PagedAttention); prefix cache over full blocks after vLLM's automatic prefix caching.
 *
 * A block is referenced by sequences or lies in the free list. Free blocks keep their content until they are needed again,
 * least recently used first, so a later prompt can take them back. Every operation is O(1) per block.
 */
import { assert } from "../errors.ts";
import { type BlockHash, hashBlock } from "./block-hash.ts";
import type { BlockState } from "./events.ts";
import type { Sequence } from "./sequence.ts";

/** What happened to blocks, for who looks on. */
export interface BlockChanges {
	/** Whose state is another. */
	readonly blocks: Set<number>;
	/** Whose cached prefix was dropped to make room. */
	evicted: number[];
}

export class BlockManager {
	readonly numBlocks: number;
	readonly blockSize: number;
	readonly #caching: boolean;
	readonly #hash: BlockHash;

	readonly #refCount: Int32Array;
	/** Doubly linked free list; element numBlocks is its head and tail. Blocks are taken at the front. */
	readonly #next: Int32Array;
	readonly #previous: Int32Array;
	#numFree: number;

	/**
	 * A content id names one prefix: the block's tokens, all before them, and the adapter and salt they went through (Sequence.rootContentId).
	 * 0: the block holds no registered content.
	 */
	readonly #contentId: Float64Array;
	readonly #parentContentId: Float64Array;
	readonly #hashOf: Float64Array;
	readonly #tokens: Int32Array;
	readonly #blockOfHash = new Map<number, number>();
	#lastContentId = 0;
	/** null: nobody looks on. */
	#changes: BlockChanges | null = null;

	constructor(
		numBlocks: number,
		blockSize: number,
		options: { enablePrefixCaching: boolean; hash?: BlockHash },
	) {
		this.numBlocks = numBlocks;
		this.blockSize = blockSize;
		this.#caching = options.enablePrefixCaching;
		this.#hash = options.hash ?? hashBlock;
		this.#refCount = new Int32Array(numBlocks);
		this.#contentId = new Float64Array(numBlocks);
		this.#parentContentId = new Float64Array(numBlocks);
		this.#hashOf = new Float64Array(numBlocks);
		this.#tokens = new Int32Array(this.#caching ? numBlocks * blockSize : 0);
		this.#next = Int32Array.from(
			{ length: numBlocks + 1 },
			(_, i) => (i + 1) % (numBlocks + 1),
		);
		this.#previous = Int32Array.from(
			{ length: numBlocks + 1 },
			(_, i) => (i + numBlocks) % (numBlocks + 1),
		);
		this.#numFree = numBlocks;
	}

	get numFreeBlocks(): number {
		return this.#numFree;
	}

	/** Writes down in `changes` what happens from now on; null: no more. */
	watch(changes: BlockChanges | null): void {
		this.#changes = changes;
	}

	stateOf(block: number): BlockState {
		const contentId = this.#contentId[block];
		return {
			block,
			numReferences: this.#refCount[block],
			contentId,
			parentContentId: contentId === 0 ? 0 : this.#parentContentId[block],
			isCached: this.#isCached(block),
		};
	}

	/** The tokens of a block with content. */
	tokensOf(block: number): number[] {
		const start = block * this.blockSize;
		return Array.from(this.#tokens.subarray(start, start + this.blockSize));
	}

	/**
	 * Gives a sequence without blocks the cached blocks its tokens begin with, and counts their tokens as computed.
	 * At least one token is left to compute: its logits are what the caller wants.
	 */
	attachCached(seq: Sequence): void {
		assert(seq.numBlocks === 0, "cached blocks come first");
		if (!this.#caching) return;
		const most = Math.floor((seq.numTotalTokens - 1) / this.blockSize);
		while (seq.numBlocks < most) {
			const start = seq.numBlocks * this.blockSize;
			if (start + this.blockSize > seq.numTokens) break;
			const block = this.#find(seq.lastContentId, seq.tokenIds, start);
			if (block === undefined) break;
			this.#reference(block);
			seq.appendBlock(block);
			seq.lastContentId = this.#contentId[block];
		}
		seq.numRegisteredBlocks = seq.numBlocks;
		seq.numComputedTokens = seq.numBlocks * this.blockSize;
	}

	/** Gives `to`, a sequence without blocks, the full blocks of the prompt both begin with (n > 1: it is computed once). */
	share(from: Sequence, to: Sequence): void {
		assert(to.numBlocks === 0, "shared blocks come first");
		const shared = Math.min(
			from.numComputedTokens,
			to.numPromptTokens,
			to.numTokens - 1,
		);
		for (let i = 0; i < Math.floor(shared / this.blockSize); i++) {
			this.#reference(from.blockTable[i]);
			to.appendBlock(from.blockTable[i]);
			if (i < from.numRegisteredBlocks) {
				to.numRegisteredBlocks = i + 1;
				to.lastContentId = this.#contentId[from.blockTable[i]];
			}
		}
		to.numComputedTokens = to.numBlocks * this.blockSize;
	}

	/** Extends the block table to `numTokens` tokens. @returns false, with nothing changed, where too few blocks are free */
	grow(seq: Sequence, numTokens: number): boolean {
		const missing = Math.ceil(numTokens / this.blockSize) - seq.numBlocks;
		if (missing > this.#numFree) return false;
		for (let i = 0; i < missing; i++) seq.appendBlock(this.#take());
		return true;
	}

	/** Puts the sequence's full, computed blocks of known tokens into the prefix cache. */
	register(seq: Sequence): void {
		if (!this.#caching) return;
		const computed = Math.min(seq.numComputedTokens, seq.numTokens);
		const full = Math.floor(computed / this.blockSize);
		while (seq.numRegisteredBlocks < full) {
			const block = seq.blockTable[seq.numRegisteredBlocks];
			const start = seq.numRegisteredBlocks * this.blockSize;
			this.#setContent(block, seq.lastContentId, seq.tokenIds, start);
			seq.lastContentId = this.#contentId[block];
			seq.numRegisteredBlocks++;
		}
	}

	/** Takes the sequence's blocks back, last block first, so that the cache forgets the ends of prefixes before their beginnings. */
	release(seq: Sequence): void {
		for (let i = seq.numBlocks - 1; i >= 0; i--) {
			const block = seq.blockTable[i];
			assert(this.#refCount[block] > 0, "only referenced blocks are released");
			if (--this.#refCount[block] === 0) this.#free(block);
			this.#changes?.blocks.add(block);
		}
		seq.numBlocks = 0;
		seq.numRegisteredBlocks = 0;
		seq.lastContentId = seq.rootContentId;
		seq.numComputedTokens = 0;
	}

	/** Forgets every cached prefix that no sequence uses. */
	resetPrefixCache(): void {
		for (const block of [...this.#blockOfHash.values()])
			if (this.#refCount[block] === 0) this.#clearContent(block);
	}

	#find(
		parentContentId: number,
		tokenIds: Int32Array,
		start: number,
	): number | undefined {
		const { blockSize } = this;
		const hash = this.#hash(parentContentId, tokenIds, start, blockSize);
		const block = this.#blockOfHash.get(hash);
		if (block === undefined) return undefined;
		if (this.#parentContentId[block] !== parentContentId) return undefined;
		for (let i = 0; i < blockSize; i++)
			if (this.#tokens[block * blockSize + i] !== tokenIds[start + i])
				return undefined;
		return block;
	}

	#setContent(
		block: number,
		parentContentId: number,
		tokenIds: Int32Array,
		start: number,
	): void {
		const { blockSize } = this;
		this.#changes?.blocks.add(block);
		this.#parentContentId[block] = parentContentId;
		this.#tokens.set(
			tokenIds.subarray(start, start + blockSize),
			block * blockSize,
		);
		const twin = this.#find(parentContentId, tokenIds, start);
		if (twin !== undefined) {
			this.#contentId[block] = this.#contentId[twin];
			return;
		}
		this.#contentId[block] = ++this.#lastContentId;
		const hash = this.#hash(parentContentId, tokenIds, start, blockSize);
		if (this.#blockOfHash.has(hash)) return;
		this.#hashOf[block] = hash;
		this.#blockOfHash.set(hash, block);
	}

	#clearContent(block: number): void {
		if (this.#contentId[block] === 0) return;
		this.#changes?.blocks.add(block);
		if (this.#isCached(block)) this.#blockOfHash.delete(this.#hashOf[block]);
		this.#contentId[block] = 0;
	}

	/** Whether the prefix cache names it. */
	#isCached(block: number): boolean {
		return this.#blockOfHash.get(this.#hashOf[block]) === block;
	}

	#reference(block: number): void {
		this.#changes?.blocks.add(block);
		if (this.#refCount[block]++ > 0) return;
		this.#unlink(block);
	}

	#take(): number {
		const block = this.#next[this.numBlocks];
		assert(block !== this.numBlocks, "a block is taken only where one is free");
		this.#unlink(block);
		if (this.#contentId[block] !== 0) this.#changes?.evicted.push(block);
		this.#clearContent(block);
		this.#changes?.blocks.add(block);
		this.#refCount[block] = 1;
		return block;
	}

	/** Blocks a later prompt could hit go to the back of the free list, blocks without content to the front. */
	#free(block: number): void {
		const cached = this.#isCached(block);
		if (!cached) this.#contentId[block] = 0;
		const before = cached ? this.#previous[this.numBlocks] : this.numBlocks;
		const after = this.#next[before];
		this.#next[before] = block;
		this.#previous[block] = before;
		this.#next[block] = after;
		this.#previous[after] = block;
		this.#numFree++;
	}

	#unlink(block: number): void {
		this.#next[this.#previous[block]] = this.#next[block];
		this.#previous[this.#next[block]] = this.#previous[block];
		this.#numFree--;
	}

	/**
	 * The law: every block is free xor referenced; reference counts are what the block tables say; free + used = all;
	 * the prefix cache names only blocks that hold what it says. O(blocks). @throws where it is broken
	 */
	checkIntegrity(sequences: Iterable<Sequence>): void {
		const references = new Int32Array(this.numBlocks);
		for (const seq of sequences)
			for (let i = 0; i < seq.numBlocks; i++) references[seq.blockTable[i]]++;
		const free = new Uint8Array(this.numBlocks);
		let numFree = 0;
		for (
			let block = this.#next[this.numBlocks];
			block !== this.numBlocks;
			block = this.#next[block]
		) {
			assert(free[block] === 0, `block ${block} is in the free list once`);
			assert(
				this.#previous[this.#next[block]] === block,
				`block ${block} is linked both ways`,
			);
			free[block] = 1;
			numFree++;
		}
		assert(numFree === this.#numFree, "free blocks are counted");
		for (let block = 0; block < this.numBlocks; block++) {
			const count = this.#refCount[block];
			assert(count === references[block], `block ${block}: references add up`);
			assert(
				(count === 0) === (free[block] === 1),
				`block ${block}: free xor used`,
			);
		}
		for (const [hash, block] of this.#blockOfHash) {
			assert(this.#contentId[block] > 0, `cached block ${block} has content`);
			const start = block * this.blockSize;
			const parent = this.#parentContentId[block];
			assert(
				hash === this.#hash(parent, this.#tokens, start, this.blockSize),
				`cached block ${block} holds the tokens it is found by`,
			);
		}
	}
}
