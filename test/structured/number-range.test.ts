/** Numbers between bounds: for many pairs of bounds, the numbers at and around them, in several spellings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { platform } from "../../src/platform/node.ts";
import { numberRange } from "../../src/structured/number-range.ts";

type XGrammar = typeof import("@mlc-ai/web-xgrammar");

const BOUNDS = [
	-Infinity,
	-120,
	-10.25,
	-1,
	-0.5,
	0,
	0.05,
	0.9,
	1,
	2,
	9.99,
	10,
	1000,
	Infinity,
];
const TEXTS = [
	...BOUNDS.filter(Number.isFinite).flatMap((bound) =>
		[-1, -0.5, -0.01, 0, 0.01, 0.5, 1].flatMap((step) => {
			const text = String(Number((bound + step).toFixed(4)));
			return [text, text.includes(".") ? `${text}0` : `${text}.0`];
		}),
	),
	...["0.049", "0.0500", "0.0501", "123456789.5", "-99999", "19.5", "999.999"],
];
const BROKEN = ["", "-", "01", "1.", ".5", "--1", "1.5.", "00", "1e5", "+1"];

test("what is in a range and what is not", async () => {
	const xgrammar = (await platform.xgrammar()) as XGrammar;
	const info = await xgrammar.TokenizerInfo.createTokenizerInfo([]);
	const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(info);
	let numRanges = 0;
	for (const low of BOUNDS)
		for (const high of BOUNDS)
			for (const excludes of [false, true]) {
				if (low > high || (low === -Infinity && high === Infinity)) continue;
				const range = {
					low,
					high,
					excludesLow: excludes,
					excludesHigh: excludes,
				};
				const ebnf = numberRange(range);
				if (ebnf === null) continue;
				numRanges++;
				const grammar = await compiler.compileGrammar(`root ::= ${ebnf}`);
				for (const text of [...TEXTS, ...BROKEN]) {
					const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(
						grammar,
						undefined,
						true,
					);
					const got = matcher._acceptString(text) && matcher.isTerminated();
					matcher.dispose();
					const value = Number(text);
					const inside = excludes
						? value > low && value < high
						: value >= low && value <= high;
					const wanted = inside && !BROKEN.includes(text);
					if (Object.is(value, -0) && inside) continue; // either is right
					assert.equal(
						got,
						wanted,
						`${text} in ${JSON.stringify(range)} (${low}, ${high}): ${ebnf}`,
					);
				}
				grammar.dispose();
			}
	assert.ok(numRanges > 120, `${numRanges} ranges`);
});

test("bounds within one whole number, too large or too small for plain digits, are left to others", () => {
	const between = (low: number, high: number) =>
		numberRange({ low, high, excludesLow: false, excludesHigh: false });
	assert.equal(between(0.1, 0.9), null);
	assert.equal(between(0, 1e300), null);
	assert.equal(between(1e-9, 5), null);
	assert.equal(between(0, 0.5), '"0" (("." ([0-4] [0-9]* | "5" "0"*))?)');
	assert.equal(between(3, 3), '"3" ("." "0"+)?');
	assert.equal(
		numberRange({ low: 3, high: 3, excludesLow: true, excludesHigh: false }),
		null,
	);
});
