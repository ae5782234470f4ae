/** Which request comes next, and how many are in the engine's hands. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { credit } from "../../src/batch/credit.ts";
import { LookAhead } from "../../src/batch/look-ahead.ts";
import type { BatchRequest } from "../../src/batch/request-line.ts";
import { SeenIds } from "../../src/batch/seen-ids.ts";
import { randomSource } from "../support/random.ts";

const request = (line: number, key: string): BatchRequest => ({
	line,
	customId: `${line}`,
	url: "/v1/completions",
	body: "{}",
	key,
	numSequences: 1,
	numBytes: 100,
});

const limits = { maxRequests: 64, maxBytes: 1e6, maxPassed: 32 };

test("requests that begin alike come one after another, the longest shared beginning first", () => {
	const random = randomSource(1);
	const system = (i: number) => `${"You are number ".repeat(10)}${i}. `;
	const keys = random.shuffled(
		Array.from({ length: 60 }, (_, i) => `${system(i % 6)}question ${i}`),
	);
	const ahead = new LookAhead({ ...limits, maxPassed: 1000 });
	for (const [i, key] of keys.entries()) ahead.add(request(i, key));
	const order = keys.map(() => ahead.take()?.key.slice(0, 152));
	const changes = order.filter((head, i) => i > 0 && head !== order[i - 1]);
	assert.equal(changes.length, 5, "six groups, each in one piece");
	assert.equal(ahead.take(), undefined);
});

test("without shared beginnings the order is the file's", () => {
	const ahead = new LookAhead(limits);
	for (let i = 0; i < 50; i++) ahead.add(request(i, `${(i * 7) % 50} alone`));
	for (let i = 0; i < 50; i++) assert.equal(ahead.take()?.line, i);
});

test("nobody starves where neighbours keep coming", () => {
	const ahead = new LookAhead(limits);
	const common = "the same beginning for all of them ".repeat(4);
	ahead.add(request(0, common));
	ahead.add(request(1, "alone"));
	let taken: number[] = [];
	for (let line = 2; line < 500; line++) {
		ahead.add(request(line, `${common}${line}`));
		taken.push(ahead.take()?.line ?? -1);
	}
	assert.ok(taken.indexOf(1) <= limits.maxPassed, `${taken.indexOf(1)}`);

	const random = randomSource(2);
	const since = new Map<number, number>();
	taken = [];
	for (let line = 0; line < 5000; line++) {
		while (ahead.isFull) {
			const { line } = ahead.take() ?? assert.fail();
			const waited = taken.push(line) - (since.get(line) ?? taken.length);
			assert.ok(waited <= limits.maxPassed + limits.maxRequests, `${waited}`);
		}
		const key = `${"x".repeat(80)}${random.below(4)}${random.uniform()}`;
		since.set(line + 1000, taken.length);
		ahead.add(request(line + 1000, random.below(9) ? key : `${line}`));
	}
});

test("what is read ahead is bounded by bytes too", () => {
	const ahead = new LookAhead({ ...limits, maxBytes: 250 });
	for (let i = 0; i < 3; i++) {
		assert.equal(ahead.isFull, false);
		ahead.add(request(i, ""));
	}
	assert.equal(ahead.isFull, true);
	ahead.take();
	assert.equal(ahead.isFull, false);
});

test("credit: a full batch and some that wait; short of blocks, no more than they hold and the few", () => {
	const maxNumSeqs = 64;
	const spare = 16;
	const at = (numRequestsRunning: number, kvCacheUsage: number) =>
		credit({ maxNumSeqs, numRequestsRunning, numBlocks: 1000, kvCacheUsage });
	assert.equal(at(0, 0), maxNumSeqs + spare);
	assert.equal(at(64, 0.5), maxNumSeqs + spare);
	assert.equal(at(20, 0.5), 20 + 20 + spare, "25 blocks each, room for 20");
	assert.equal(at(20, 1), 20 + spare);
	assert.equal(at(0, 1), spare);
	for (let running = 0; running <= maxNumSeqs; running++)
		for (const usage of [0, 0.3, 0.9, 1]) {
			const sum = at(running, usage);
			assert.ok(sum > running && sum <= maxNumSeqs + spare);
		}
});

test("ids: a hundred thousand alike ones are told apart, and known again", () => {
	const seen = new SeenIds();
	for (let i = 0; i < 100_000; i++) assert.ok(seen.add(`request-${i}`), `${i}`);
	for (let i = 0; i < 100_000; i += 7)
		assert.equal(seen.add(`request-${i}`), false);
	for (const id of ["", "\0", "a", "aa", "\0\0"]) assert.ok(seen.add(id));
});
