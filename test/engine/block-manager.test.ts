/** The block manager against a model made of arrays and linear searches, and the laws it claims. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BlockHash, hashBlock } from "../../src/engine/block-hash.ts";
import { BlockManager } from "../../src/engine/block-manager.ts";
import type { Sequence } from "../../src/engine/sequence.ts";
import { blocksOf, makeSequence } from "../support/sequences.ts";

const caching = { enablePrefixCaching: true };
const upTo = (n: number, from = 0) =>
	Array.from({ length: n - from }, (_, i) => from + i);

/** Attaches, grows and registers the first `numTokens` tokens, as the scheduler does for a step. */
function compute(
	blocks: BlockManager,
	seq: Sequence,
	numTokens = seq.numTokens,
): boolean {
	if (seq.numBlocks === 0) blocks.attachCached(seq);
	if (!blocks.grow(seq, numTokens)) return false;
	seq.numComputedTokens = Math.max(seq.numComputedTokens, numTokens);
	blocks.register(seq);
	return true;
}

test("a prompt seen before gets its full blocks back, and always has a token left to compute", () => {
	for (const [length, cached] of [
		[4, 0],
		[5, 4],
		[8, 4],
		[9, 8],
		[11, 8],
	]) {
		const blocks = new BlockManager(20, 4, caching);
		const first = makeSequence(upTo(length));
		compute(blocks, first);
		const second = makeSequence(upTo(length));
		blocks.attachCached(second);
		assert.equal(second.numComputedTokens, cached, `${length} tokens`);
		assert.deepEqual(
			blocksOf(second),
			blocksOf(first).slice(0, cached / 4),
			"the same blocks, not copies",
		);
		blocks.checkIntegrity([first, second]);
	}
});

test("a block is found only behind the same prefix", () => {
	const blocks = new BlockManager(20, 2, caching);
	const first = makeSequence([1, 2, 3, 4, 5, 6]);
	compute(blocks, first);
	const other = makeSequence([9, 9, 3, 4, 5, 6, 7]);
	blocks.attachCached(other);
	assert.equal(other.numBlocks, 0);
	const half = makeSequence([1, 2, 3, 9, 5, 6, 7]);
	blocks.attachCached(half);
	assert.deepEqual(blocksOf(half), blocksOf(first).slice(0, 1));
});

test("without prefix caching nothing is found", () => {
	const blocks = new BlockManager(20, 2, { enablePrefixCaching: false });
	compute(blocks, makeSequence(upTo(6)));
	const second = makeSequence(upTo(6));
	blocks.attachCached(second);
	assert.equal(second.numBlocks, 0);
});

test("partly filled and not yet computed blocks are not found", () => {
	const blocks = new BlockManager(20, 4, caching);
	const first = makeSequence(upTo(12));
	compute(blocks, first, 7);
	const second = makeSequence(upTo(12));
	blocks.attachCached(second);
	assert.equal(second.numComputedTokens, 4);
});

test("a block with a token still being sampled is not registered before the token is known", () => {
	const blocks = new BlockManager(20, 2, caching);
	const seq = makeSequence([1, 2, 3]);
	compute(blocks, seq);
	seq.pendingRow = { seq, row: 0, position: 3 };
	assert.ok(blocks.grow(seq, 4));
	seq.numComputedTokens = 4;
	blocks.register(seq);
	assert.equal(seq.numRegisteredBlocks, 1);
	seq.pendingRow = null;
	seq.appendToken(4);
	blocks.register(seq);
	assert.equal(seq.numRegisteredBlocks, 2);
	const again = makeSequence([1, 2, 3, 4, 5]);
	blocks.attachCached(again);
	assert.equal(again.numComputedTokens, 4);
});

test("grow gives all or nothing", () => {
	const blocks = new BlockManager(3, 4, caching);
	const seq = makeSequence(upTo(30));
	assert.equal(blocks.grow(seq, 13), false);
	assert.equal(seq.numBlocks, 0);
	assert.equal(blocks.numFreeBlocks, 3);
	assert.equal(blocks.grow(seq, 12), true);
	assert.equal(blocks.grow(seq, 1), true, "what is there is enough");
	assert.equal(seq.numBlocks, 3);
	assert.equal(blocks.grow(seq, 13), false);
});

test("the prefix released longest ago is forgotten first, and its end before its beginning", () => {
	const blocks = new BlockManager(6, 2, caching);
	const [a, b] = [makeSequence([1, 1, 1, 1, 1, 1]), makeSequence(upTo(6, 0))];
	compute(blocks, a);
	compute(blocks, b);
	const expected = [...blocksOf(b).reverse(), ...blocksOf(a).reverse()];
	blocks.release(b);
	blocks.release(a);
	const taken: number[] = [];
	const thief = makeSequence(new Array(12).fill(7));
	for (let n = 1; n <= 6; n++) {
		assert.ok(blocks.grow(thief, 2 * n));
		taken.push(thief.blockTable[n - 1]);
		blocks.checkIntegrity([thief]);
		const probe = makeSequence([1, 1, 1, 1, 1, 1, 1]);
		blocks.attachCached(probe);
		assert.equal(probe.numBlocks, Math.min(3, 6 - n), "a's prefix shrinks");
		blocks.release(probe);
	}
	assert.deepEqual(taken, expected);
});

test("a prefix used again is young again", () => {
	const blocks = new BlockManager(4, 2, caching);
	const [a, b] = [makeSequence([1, 1, 9]), makeSequence([2, 2, 9])];
	for (const seq of [a, b]) compute(blocks, seq, 2);
	const [blockOfA, blockOfB] = [a.blockTable[0], b.blockTable[0]];
	blocks.release(a);
	blocks.release(b);
	const again = makeSequence([1, 1, 9]);
	blocks.attachCached(again);
	assert.deepEqual(blocksOf(again), [blockOfA]);
	blocks.release(again);
	const thief = makeSequence(new Array(8).fill(7));
	assert.ok(blocks.grow(thief, 8));
	assert.deepEqual(blocksOf(thief).slice(2), [blockOfB, blockOfA]);
});

test("blocks without content are taken before cached ones", () => {
	const blocks = new BlockManager(4, 2, caching);
	const a = makeSequence([1, 1, 9]);
	compute(blocks, a);
	const [cached, tail] = blocksOf(a);
	blocks.release(a);
	const thief = makeSequence(upTo(8));
	assert.ok(blocks.grow(thief, 8));
	assert.equal(thief.blockTable[0], tail);
	assert.equal(thief.blockTable[3], cached);
});

test("resetPrefixCache forgets what nobody uses, and only that", () => {
	const blocks = new BlockManager(10, 2, caching);
	const [gone, used] = [makeSequence([1, 1, 9]), makeSequence([2, 2, 9])];
	for (const seq of [gone, used]) compute(blocks, seq);
	blocks.release(gone);
	blocks.resetPrefixCache();
	blocks.checkIntegrity([used]);
	const [a, b] = [makeSequence([1, 1, 9]), makeSequence([2, 2, 9])];
	blocks.attachCached(a);
	blocks.attachCached(b);
	assert.equal(a.numBlocks, 0);
	assert.deepEqual(blocksOf(b), blocksOf(used).slice(0, 1));
	blocks.release(b);
	blocks.release(used);
	blocks.resetPrefixCache();
	blocks.attachCached(b);
	assert.equal(b.numBlocks, 0);
	assert.equal(blocks.numFreeBlocks, 10);
});

test("share gives the full blocks of the prompt, one token short of all, cached or not", () => {
	for (const enablePrefixCaching of [true, false]) {
		const blocks = new BlockManager(20, 4, { enablePrefixCaching });
		for (const [length, shared] of [
			[3, 0],
			[4, 0],
			[5, 1],
			[8, 1],
			[9, 2],
		]) {
			const from = makeSequence(upTo(length));
			compute(blocks, from);
			const to = makeSequence(upTo(length));
			blocks.share(from, to);
			assert.deepEqual(blocksOf(to), blocksOf(from).slice(0, shared));
			assert.equal(to.numComputedTokens, 4 * shared);
			blocks.checkIntegrity([from, to]);
			blocks.release(from);
			blocks.checkIntegrity([to]);
			compute(blocks, to);
			blocks.release(to);
		}
	}
});

test("checkIntegrity bites", () => {
	const setUp = () => {
		const blocks = new BlockManager(8, 2, caching);
		const [a, b] = [makeSequence([1, 1, 9]), makeSequence([1, 1, 5, 5])];
		compute(blocks, a);
		compute(blocks, b);
		assert.equal(a.blockTable[0], b.blockTable[0]);
		blocks.checkIntegrity([a, b]);
		return { blocks, a, b };
	};
	const broken = (
		name: string,
		corrupt: (a: Sequence, b: Sequence) => void,
		law: RegExp,
	) => {
		const { blocks, a, b } = setUp();
		corrupt(a, b);
		assert.throws(() => blocks.checkIntegrity([a, b]), law, name);
	};
	broken("a block too few", (a) => a.numBlocks--, /references add up/);
	broken("a block twice", (a) => a.appendBlock(a.blockTable[0]), /add up/);
	broken("a free block", (_, b) => b.appendBlock(7), /add up/);
	broken(
		"another's block",
		(a, b) => {
			a.blockTable[1] = b.blockTable[1];
		},
		/references add up/,
	);
	const { blocks, a, b } = setUp();
	assert.throws(() => blocks.checkIntegrity([a]), /references add up/);
	blocks.release(b);
	assert.throws(() => blocks.checkIntegrity([a, b, a]), /references add up/);
	b.appendBlock(a.blockTable[1]);
	blocks.release(b);
	assert.throws(() => blocks.checkIntegrity([a]), /add up/);
	b.appendBlock(a.blockTable[1]);
	assert.throws(() => blocks.release(b), /only referenced blocks/);
});

/** The same decisions by linear search: who holds what, in which order the free blocks are taken. */
class NaiveBlocks {
	readonly free: number[];
	readonly held = new Map<Sequence, number[]>();
	readonly #refs: number[];
	readonly #content: {
		id: number;
		parent: number;
		tokens: string;
		hash: number | null;
	}[];
	readonly #size: number;
	readonly #hash: BlockHash;
	#ids = 0;

	constructor(numBlocks: number, size: number, hash: BlockHash) {
		this.free = upTo(numBlocks);
		this.#refs = new Array(numBlocks).fill(0);
		this.#content = this.free.map(() => NaiveBlocks.#nothing());
		this.#size = size;
		this.#hash = hash;
	}

	static #nothing() {
		return { id: 0, parent: 0, tokens: "", hash: null as number | null };
	}

	#key(seq: Sequence, i: number) {
		const size = this.#size;
		return seq.tokenIds.slice(i * size, (i + 1) * size).join();
	}

	#find(parent: number, seq: Sequence, i: number): number | undefined {
		const hash = this.#hash(parent, seq.tokenIds, i * this.#size, this.#size);
		const found = this.#content.findIndex((c) => c.hash === hash);
		if (found < 0) return undefined;
		const { parent: p, tokens } = this.#content[found];
		return p === parent && tokens === this.#key(seq, i) ? found : undefined;
	}

	#use(block: number) {
		if (this.#refs[block]++ === 0)
			this.free.splice(this.free.indexOf(block), 1);
	}

	attach(seq: Sequence): number {
		const mine: number[] = [];
		let parent = 0;
		for (let i = 0; (i + 1) * this.#size < seq.numTokens; i++) {
			const block = this.#find(parent, seq, i);
			if (block === undefined) break;
			this.#use(block);
			mine.push(block);
			parent = this.#content[block].id;
		}
		this.held.set(seq, mine);
		return mine.length * this.#size;
	}

	share(from: Sequence, to: Sequence) {
		const most = Math.min(from.numComputedTokens, to.numPromptTokens - 1);
		const mine = (this.held.get(from) ?? []).slice(
			0,
			Math.floor(most / this.#size),
		);
		for (const block of mine) this.#use(block);
		this.held.set(to, mine);
	}

	grow(seq: Sequence, numTokens: number): boolean {
		const mine = this.held.get(seq) ?? [];
		const missing = Math.ceil(numTokens / this.#size) - mine.length;
		if (missing > this.free.length) return false;
		for (let i = 0; i < missing; i++) {
			const block = this.free[0];
			this.#content[block] = NaiveBlocks.#nothing();
			this.#use(block);
			mine.push(block);
		}
		this.held.set(seq, mine);
		return true;
	}

	register(seq: Sequence) {
		let parent = 0;
		const mine = this.held.get(seq) ?? [];
		const full = Math.min(seq.numComputedTokens, seq.numTokens) / this.#size;
		for (let i = 0; i < Math.floor(full); i++) {
			const content = this.#content[mine[i]];
			if (content.id === 0) {
				const twin = this.#find(parent, seq, i);
				const hash = this.#hash(
					parent,
					seq.tokenIds,
					i * this.#size,
					this.#size,
				);
				const taken = this.#content.some((c) => c.hash === hash);
				content.id = twin === undefined ? ++this.#ids : this.#content[twin].id;
				content.parent = parent;
				content.tokens = this.#key(seq, i);
				content.hash = taken ? null : hash;
			}
			parent = content.id;
		}
	}

	release(seq: Sequence) {
		for (const block of (this.held.get(seq) ?? []).toReversed()) {
			if (--this.#refs[block] > 0) continue;
			if (this.#content[block].hash !== null) this.free.push(block);
			else {
				this.#content[block] = NaiveBlocks.#nothing();
				this.free.unshift(block);
			}
		}
		this.held.delete(seq);
	}

	reset() {
		for (const block of this.free)
			this.#content[block] = NaiveBlocks.#nothing();
	}
}

type Action =
	| { kind: "add"; prompt: number[] }
	| { kind: "compute"; which: number; numTokens: number }
	| { kind: "token"; which: number; token: number }
	| { kind: "release"; which: number }
	| { kind: "share"; which: number }
	| { kind: "reset" };

const pick = fc.nat({ max: 1000 });
const prompt = fc.array(fc.nat({ max: 1 }), { minLength: 1, maxLength: 14 });
const action: fc.Arbitrary<Action> = fc.oneof(
	{ weight: 5, arbitrary: fc.record({ kind: fc.constant("add"), prompt }) },
	{
		weight: 8,
		arbitrary: fc.record({
			kind: fc.constant("compute"),
			which: pick,
			numTokens: fc.integer({ min: 1, max: 8 }),
		}),
	},
	{
		weight: 5,
		arbitrary: fc.record({
			kind: fc.constant("token"),
			which: pick,
			token: fc.nat({ max: 1 }),
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({ kind: fc.constant("release"), which: pick }),
	},
	{
		weight: 2,
		arbitrary: fc.record({ kind: fc.constant("share"), which: pick }),
	},
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("reset") }) },
) as fc.Arbitrary<Action>;

/** Every slot holds the tokens up to its own, as keys and values do: what a sequence reads must be its own prefix. */
class Memory {
	readonly #slots: string[] = [];
	readonly #size: number;

	constructor(size: number) {
		this.#size = size;
	}

	#slot(seq: Sequence, p: number): number {
		return (
			seq.blockTable[Math.floor(p / this.#size)] * this.#size + (p % this.#size)
		);
	}

	write(seq: Sequence, from: number, to: number) {
		for (let p = from; p < to; p++)
			this.#slots[this.#slot(seq, p)] = seq.tokenIds.slice(0, p + 1).join();
	}

	check(seq: Sequence) {
		for (let p = 0; p < Math.min(seq.numComputedTokens, seq.numTokens); p++)
			assert.equal(
				this.#slots[this.#slot(seq, p)],
				seq.tokenIds.slice(0, p + 1).join(),
				`token ${p} of [${seq.tokenIds.slice(0, seq.numTokens)}]`,
			);
	}
}

function playAgainstModel(
	hash: BlockHash,
	numBlocks: number,
	size: number,
	actions: readonly Action[],
): { hits: number; refusals: number } {
	const blocks = new BlockManager(numBlocks, size, { ...caching, hash });
	const naive = new NaiveBlocks(numBlocks, size, hash);
	const memory = new Memory(size);
	let live: Sequence[] = [];
	let hits = 0;
	let refusals = 0;
	for (const action of actions) {
		const seq =
			"which" in action ? live[action.which % live.length] : undefined;
		switch (action.kind) {
			case "add": {
				const added = makeSequence(action.prompt);
				blocks.attachCached(added);
				assert.equal(added.numComputedTokens, naive.attach(added));
				hits += added.numBlocks;
				live.push(added);
				break;
			}
			case "compute": {
				if (seq === undefined) break;
				const from = seq.numComputedTokens;
				const to = Math.min(seq.numTokens, from + action.numTokens);
				const grown = blocks.grow(seq, to);
				assert.equal(grown, naive.grow(seq, to));
				if (!grown) refusals++;
				else {
					seq.numComputedTokens = to;
					blocks.register(seq);
					naive.register(seq);
					memory.write(seq, from, to);
				}
				break;
			}
			case "token":
				seq?.appendToken(action.token);
				break;
			case "release":
				if (seq === undefined) break;
				blocks.release(seq);
				naive.release(seq);
				live = live.filter((s) => s !== seq);
				break;
			case "share": {
				if (seq === undefined) break;
				if (seq.numComputedTokens < seq.numPromptTokens) break;
				const prompt = seq.tokenIds.slice(0, seq.numPromptTokens);
				const added = makeSequence([...prompt]);
				blocks.share(seq, added);
				naive.share(seq, added);
				live.push(added);
				break;
			}
			case "reset":
				blocks.resetPrefixCache();
				naive.reset();
				break;
			default:
				action satisfies never;
		}
		blocks.checkIntegrity(live);
		assert.equal(blocks.numFreeBlocks, naive.free.length);
		for (const each of live) {
			assert.deepEqual(blocksOf(each), naive.held.get(each) ?? []);
			memory.check(each);
		}
	}
	return { hits, refusals };
}

const constantHash: BlockHash = () => 5;
for (const [name, hash] of [
	["random actions", hashBlock],
	["random actions where every hash collides", constantHash],
	["random actions where half the hashes collide", (p, t, s) => p + t[s]],
] as [string, BlockHash][])
	test(`${name}: as the naive model, and nobody reads another's tokens`, () => {
		let hits = 0;
		let refusals = 0;
		fc.assert(
			fc.property(
				fc.integer({ min: 1, max: 24 }),
				fc.integer({ min: 1, max: 4 }),
				fc.array(action, { minLength: 10, maxLength: 80 }),
				(numBlocks, size, actions) => {
					const played = playAgainstModel(hash, numBlocks, size, actions);
					hits += played.hits;
					refusals += played.refusals;
				},
			),
			{ numRuns: 300, seed: 1 },
		);
		assert.ok(hits > 100, `prefixes are hit (${hits})`);
		assert.ok(refusals > 100, `pools run full (${refusals})`);
	});

test("hashes are safe integers and spread", () => {
	const seen = new Set<number>();
	const tokens = Int32Array.from([0, 0, 0, 0]);
	for (let parent = 0; parent < 50; parent++)
		for (let a = 0; a < 20; a++)
			for (let b = 0; b < 20; b++) {
				tokens[1] = a;
				tokens[2] = b * 65_536;
				const hash = hashBlock(parent * 2 ** 31, tokens, 0, 4);
				assert.ok(Number.isSafeInteger(hash) && hash >= 0);
				seen.add(hash);
			}
	assert.equal(seen.size, 50 * 20 * 20);
});
