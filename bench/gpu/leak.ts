/**
 * Whether many requests leave something behind: live GPU buffers and memory of the host before and after.
 *   node bench/gpu/leak.ts [--requests 10000]
 * A tiny model with dummy weights. Ends with 1 where buffers or their bytes changed, or the heap grew by more than 4 MiB.
 */
import { parseArgs } from "node:util";
import { type Footprint, leakOf } from "../../test/support/leak.ts";

const HEAP_SLACK = 4 * 2 ** 20;

const { values } = parseArgs({
	options: { requests: { type: "string", default: "10000" } },
});
const { numRequests, seconds, before, after } = await leakOf(
	Number(values.requests),
	(numDone) => process.stderr.write(`\r${numDone} requests`),
);
process.stderr.write("\n");
console.log(`${numRequests} requests in ${seconds.toFixed(1)} s`);
for (const name of Object.keys(before) as (keyof Footprint)[])
	console.log(
		`${name.padEnd(12)} ${String(before[name]).padStart(12)} → ${String(after[name]).padStart(12)}`,
	);
const same =
	before.numBuffers === after.numBuffers &&
	before.bufferBytes === after.bufferBytes;
process.exitCode =
	same && after.heapBytes - before.heapBytes <= HEAP_SLACK ? 0 : 1;
