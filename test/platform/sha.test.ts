/** The digests of browsers against Node's, whole and in pieces, around the lengths where padding changes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { createDigest } from "../../src/platform/sha.ts";
import { randomSource } from "../support/random.ts";

const LENGTHS = [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 70_001];

for (const algorithm of ["sha1", "sha256"] as const)
	test(`${algorithm} of ${LENGTHS.length} lengths`, () => {
		const random = randomSource(7);
		for (const length of LENGTHS) {
			const data = Uint8Array.from({ length }, () => random.below(256));
			const digest = createDigest(algorithm);
			for (let at = 0; at < length; ) {
				const end = Math.min(length, at + 1 + random.below(100));
				digest.update(data.subarray(at, end));
				at = end;
			}
			const wanted = createHash(algorithm).update(data).digest("hex");
			assert.equal(digest.hex(), wanted, `${length} bytes`);
		}
	});
