/** The stop matcher against searches of the whole text, over texts cut into every kind of pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createStopMatcher } from "../../src/engine/stop-strings.ts";

/** Pushes all pieces; what was shown after each, and what ended it. */
function run(
	pieces: readonly string[],
	stops: readonly string[],
	include = false,
) {
	const matcher = createStopMatcher(stops, include);
	const shown: string[] = [];
	for (const piece of pieces) {
		const { text, stop } = matcher.push(piece);
		shown.push(text);
		if (stop !== null) return { shown, text: shown.join(""), stop };
	}
	return { shown, text: shown.join("") + matcher.flush(), stop: null };
}

/** The stop string that ends first in the text, the longest of those that end there. */
function oracle(text: string, stops: readonly string[], from = 0) {
	for (let end = from + 1; end <= text.length; end++) {
		const found = stops
			.filter((stop) => text.slice(0, end).endsWith(stop))
			.sort((a, b) => b.length - a.length)[0];
		if (found !== undefined) return { end, stop: found };
	}
	return null;
}

/** The longest end of the text that some stop string begins with. */
function couldBecome(text: string, stops: readonly string[]): string {
	for (let start = 0; start < text.length; start++) {
		const end = text.slice(start);
		if (stops.some((s) => s.length > end.length && s.startsWith(end)))
			return end;
	}
	return "";
}

test("examples", () => {
	for (const [pieces, stops, text, stop] of [
		[["hello world"], [], "hello world", null],
		[["hello ", "wor", "ld!"], ["wor"], "hello ", "wor"],
		[["hello wo", "rld"], ["world"], "hello ", "world"],
		[["a", "a", "a", "b"], ["aab"], "a", "aab"],
		[["abab", "ac"], ["abac"], "ab", "abac"],
		[["xEN", "D"], ["END", "ND"], "x", "END"],
		[["abc"], ["c", "b"], "a", "b"],
		[["one\n", "\ntwo"], ["\n\n"], "one", "\n\n"],
		[["😀", "😁"], ["😁"], "😀", "😁"],
		[["wor"], ["world"], "wor", null],
	] as [string[], string[], string, string | null][]) {
		const { text: got, stop: ended } = run(pieces, stops);
		assert.deepEqual([got, ended], [text, stop], `${pieces} with ${stops}`);
	}
});

test("include shows the stop string and nothing behind it", () => {
	assert.deepEqual(run(["one t", "wo three"], ["two"], true), {
		shown: ["one ", "two"],
		text: "one two",
		stop: "two",
	});
});

test("flush gives what was held, once", () => {
	const matcher = createStopMatcher(["abc"], false);
	assert.equal(matcher.push("xab").text, "x");
	assert.equal(matcher.flush(), "ab");
	assert.equal(matcher.flush(), "");
	assert.deepEqual(matcher.push("c"), { text: "c", stop: null });
});

test("a stop string that may not stop yet is text, and its end can begin one that does", () => {
	const matcher = createStopMatcher(["aba"], false);
	assert.deepEqual(matcher.push("xaba", false), { text: "xab", stop: null });
	assert.deepEqual(matcher.push("ba", true), { text: "", stop: "aba" });
	const straddled = createStopMatcher(["END"], false);
	assert.deepEqual(straddled.push("xEN", false), { text: "x", stop: null });
	assert.deepEqual(straddled.push("D", true), { text: "", stop: "END" });
});

const letters = (max: number, min = 0) =>
	fc
		.array(fc.constantFrom("a", "b"), { minLength: min, maxLength: max })
		.map((list) => list.join(""));

test("random texts, cuts and stops: as the oracle, holding back no character too many or too few", () => {
	let numStopped = 0;
	fc.assert(
		fc.property(
			fc.array(letters(5), { maxLength: 12 }),
			fc.array(letters(7, 1), { maxLength: 4 }),
			fc.boolean(),
			fc.nat({ max: 6 }),
			(pieces, stops, include, numFree) => {
				const matcher = createStopMatcher(stops, include);
				const free = pieces.slice(0, numFree).join("").length;
				const end = oracle(pieces.join(""), stops, free);
				let whole = "";
				let shown = "";
				for (const [i, piece] of pieces.entries()) {
					whole += piece;
					const { text, stop } = matcher.push(piece, i >= numFree);
					shown += text;
					if (stop === null) {
						assert.ok(end === null || end.end > whole.length, "none is missed");
						assert.equal(shown + couldBecome(whole, stops), whole);
						continue;
					}
					numStopped++;
					assert.equal(stop, end?.stop);
					assert.equal(
						shown,
						whole.slice(0, (end?.end ?? 0) - (include ? 0 : stop.length)),
					);
					return;
				}
				assert.equal(end, null);
				assert.equal(shown + matcher.flush(), whole);
			},
		),
		{ numRuns: 5000, seed: 4 },
	);
	assert.ok(numStopped > 1000, `texts stop (${numStopped})`);
});

test("a long text costs time in proportion", () => {
	const stops = [`${"a".repeat(2000)}b`, "c"];
	const matcher = createStopMatcher(stops, false);
	const start = performance.now();
	for (let i = 0; i < 100_000; i++) matcher.push("a");
	// Searching the held text anew at every push would take a hundred times this.
	assert.ok(performance.now() - start < 3000);
	assert.equal(matcher.flush().length, 2000);
});
