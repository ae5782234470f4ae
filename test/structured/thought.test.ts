/** A thought before what is asked for, token by token. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TokenConstraint } from "../../src/engine/constraint.ts";
import { afterThought, checkThought } from "../../src/structured/thought.ts";

const OPEN = 40;
const CLOSE = 41;
const thought = { openTokenId: OPEN, closeTokenId: CLOSE };

/** Allows token 3 first, then what follows the last one; its second mask is late. */
function answer() {
	const seen = { accepted: [] as number[], disposed: 0 };
	const constraint = {
		mask: maskOf(3),
		pending: null as Promise<void> | null,
		accept(tokenId: number) {
			seen.accepted.push(tokenId);
			constraint.mask = maskOf(tokenId + 1);
			constraint.pending = Promise.resolve();
		},
		dispose() {
			seen.disposed++;
		},
	};
	return { seen, start: (): TokenConstraint => constraint };
}

function maskOf(...tokens: number[]): Uint32Array {
	const mask = new Uint32Array(2);
	for (const token of tokens) mask[token >>> 5] |= 1 << (token & 31);
	return mask;
}

test("an answer begins with a thought or with what is asked for", () => {
	const { seen, start } = answer();
	const constraint = afterThought(thought, start);
	assert.deepEqual(constraint.mask, maskOf(3, OPEN));
	constraint.accept(3);
	assert.deepEqual(constraint.mask, maskOf(4));
	assert.ok(constraint.pending instanceof Promise);
	constraint.accept(OPEN);
	assert.deepEqual(seen.accepted, [3, OPEN], "no thought in the middle");
});

test("while the model thinks it may say anything; behind the thought it is held", () => {
	for (const isOpen of [false, true]) {
		const { seen, start } = answer();
		const constraint = afterThought({ ...thought, isOpen }, start);
		for (const token of isOpen ? [7, OPEN] : [OPEN, 7, OPEN]) {
			constraint.accept(token);
			assert.deepEqual([constraint.mask, constraint.pending], [null, null]);
		}
		constraint.accept(CLOSE);
		assert.deepEqual(constraint.mask, maskOf(3));
		assert.deepEqual(seen.accepted, [], "the thought is no part of it");
		constraint.accept(3);
		assert.deepEqual([seen.accepted, constraint.mask], [[3], maskOf(4)]);
		constraint.dispose();
		assert.equal(seen.disposed, 1);
	}
});

test("tokens that are none are refused", () => {
	checkThought(thought, 64);
	for (const closeTokenId of [-1, 64, 1.5, "x" as unknown as number])
		assert.throws(() => checkThought({ ...thought, closeTokenId }, 64), {
			code: "invalid_option",
			message: /thought\.closeTokenId must be a token id from 0 to 63/,
		});
});
