/** The heap against a sorted array. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PriorityQueue } from "../../src/engine/priority-queue.ts";

test("pushes and pops in any order come out as from a sorted array", () => {
	fc.assert(
		fc.property(
			fc.array(fc.option(fc.nat({ max: 20 })), { maxLength: 200 }),
			(steps) => {
				const queue = new PriorityQueue<number>((a, b) => a - b);
				let sorted: number[] = [];
				for (const step of steps) {
					if (step === null) assert.equal(queue.pop(), sorted.shift());
					else {
						queue.push(step);
						sorted = [...sorted, step].sort((a, b) => a - b);
					}
					assert.equal(queue.size, sorted.length);
					assert.equal(queue.peek(), sorted[0]);
					assert.deepEqual(
						[...queue].sort((a, b) => a - b),
						sorted,
					);
				}
			},
		),
		{ numRuns: 300, seed: 6 },
	);
});
