import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOfMemory } from "../../../src/backends/webgpu/kv-cache.ts";

const GIB = 2 ** 30;
const BLOCK = 2 ** 18;

/** A device with so many bytes left beside the weights: tries what is asked for, then 0.85 of it and so on. */
function deviceWith(freeBytes: number): (most: number) => Promise<number> {
	return async (most) => {
		for (let n = most; n >= 1; n = Math.floor(n * 0.85))
			if (n * BLOCK <= freeBytes) return n;
		return 0;
	};
}

const share = (useful: number, weightBytes: number, memoryBytes: number) =>
	shareOfMemory(
		{ useful, bytesPerBlock: BLOCK, weightBytes, memoryUtilization: 0.9 },
		deviceWith(memoryBytes - weightBytes),
	);

test("a small cache beside large weights is given whole", async () => {
	assert.equal(await share(40, 11 * GIB, 80 * GIB), 40);
});

test("a cache that would fill the device leaves it a tenth, within a step of the search", async () => {
	const numBlocks = await share(10 ** 7, 10 * GIB, 80 * GIB);
	const taken = numBlocks * BLOCK + 10 * GIB;
	assert.ok(taken <= 0.9 * 80 * GIB, `${taken} bytes`);
	assert.ok(taken >= 0.9 * 0.85 * 80 * GIB, `${taken} bytes`);
});

test("weights that leave no room leave no block", async () => {
	assert.ok((await share(40, 79.9 * GIB, 80 * GIB)) < 1);
	assert.ok((await share(40, 80 * GIB, 80 * GIB)) < 1);
});
