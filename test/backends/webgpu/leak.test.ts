/** Requests leave nothing behind: no GPU buffer, no memory of the host. Ten thousand of them: bench/gpu/leak.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leakOf } from "../../support/leak.ts";

const NUM_REQUESTS = 320;
/** Heap that comes and goes; a leak of one array of a step would be more. */
const HEAP_SLACK = 2 ** 20;

test(`${NUM_REQUESTS} short requests leave buffers and memory as they were`, async (t) => {
	const { before, after, seconds } = await leakOf(NUM_REQUESTS);
	t.diagnostic(`${seconds.toFixed(1)} s, ${JSON.stringify({ before, after })}`);
	assert.ok(before.numBuffers > 10, "buffers are counted");
	assert.equal(after.numBuffers, before.numBuffers);
	assert.equal(after.bufferBytes, before.bufferBytes);
	const grown = after.heapBytes - before.heapBytes;
	assert.ok(grown < HEAP_SLACK, `the heap grew by ${grown} bytes`);
});
