/** The sampler against the reference's sampleRow and rowLogprobs, row by row: the same tokens, the same entries. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { randomSource } from "../../support/random.ts";
import { openTestGpu } from "../../support/webgpu.ts";
import { check, openSampler, plainRow, randomRow } from "./sampler-room.ts";

const gpu = await openTestGpu();
after(() => gpu.close());

for (const [vocab, numRows] of [
	[2, 128],
	[9, 128],
	[33, 128],
	[257, 96],
	[1000, 64],
])
	test(`random rows of ${vocab} tokens, two steps of ${numRows} in slices of 48`, async () => {
		const room = await openSampler(gpu, vocab, 48);
		const random = randomSource(20 + vocab);
		const numScoring = numRows / 8;
		let numBefore = 0;
		let before: Int32Array | undefined;
		let numExcused = 0;
		for (let step = 0; step < 2; step++) {
			const rows = Array.from({ length: numRows }, (_, r) => {
				const row = randomRow(vocab, random, numBefore);
				if (r < numRows - numScoring) return row;
				return { ...row, scored: random.below(vocab), carriedFrom: null };
			});
			const output = await room.submit(rows);
			numExcused += check(rows, output, { before });
			// What was not sampled is carried as token 0.
			before = output.tokenIds;
			numBefore = before.length;
			assert.ok(new Set(before).size > Math.min(vocab, 5) - 1, "tokens differ");
		}
		assert.ok(numExcused <= 1, `${numExcused} boundaries of top-p`);
		room.sampler.destroy();
	});
void plainRow;
