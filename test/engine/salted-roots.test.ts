/** Roots of salts: one a salt and adapter, never the same for two, forgotten by age. By example and by random use. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SaltedRoots } from "../../src/engine/salted-roots.ts";
import { makeAdapter } from "../support/sequences.ts";

const [A, B] = [1, 2].map(makeAdapter);

test("a salt has a root with each adapter and with none, and keeps it while it is used", () => {
	const roots = new SaltedRoots(4);
	const ask = () =>
		[null, A, B].map((adapter) => roots.rootOf(adapter, "tenant"));
	const given = ask();
	assert.equal(new Set(given).size, 3);
	assert.ok(given.every((root) => root < -B.id));
	for (let i = 0; i < 10; i++) {
		roots.rootOf(null, `another ${i}`);
		assert.deepEqual(ask(), given);
		roots.checkIntegrity();
	}
	for (let i = 0; i < 4; i++) roots.rootOf(A, `another ${i}`);
	assert.notEqual(roots.rootOf(null, "tenant"), given[0], "forgotten by now");
});

test("no root is ever two salts', whatever is forgotten", () => {
	const uses = fc.array(
		fc.record({
			adapter: fc.constantFrom(null, A, B),
			salt: fc.constantFrom("a", "b", "c", "1 a", " a", "0 a"),
		}),
	);
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 6 }), uses, (maxKept, list) => {
			const roots = new SaltedRoots(maxKept);
			const owners = new Map<number, string>();
			for (const { adapter, salt } of list) {
				const owner = JSON.stringify([adapter?.id, salt]);
				const root = roots.rootOf(adapter, salt);
				assert.equal(owners.get(root) ?? owner, owner);
				owners.set(root, owner);
				assert.equal(roots.rootOf(adapter, salt), root);
				roots.checkIntegrity();
			}
		}),
	);
});
