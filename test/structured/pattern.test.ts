/** Patterns as XGrammar is given them: it matches what JavaScript matches, and in a JSON string what JSON may hold. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { platform } from "../../src/platform/node.ts";
import { translatePattern } from "../../src/structured/pattern.ts";

type XGrammar = typeof import("@mlc-ai/web-xgrammar");

let accepts: (pattern: string, texts: readonly string[]) => Promise<boolean[]>;
before(async () => {
	const xgrammar = (await platform.xgrammar()) as XGrammar;
	const info = await xgrammar.TokenizerInfo.createTokenizerInfo([]);
	const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(info);
	accepts = async (pattern, texts) => {
		const grammar = await compiler.compileStructuralTag({
			type: "regex",
			pattern,
		});
		const results: boolean[] = [];
		for (const text of texts) {
			const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(
				grammar,
				undefined,
				true,
			);
			results.push(matcher._acceptString(text) && matcher.isTerminated());
			matcher.dispose();
		}
		grammar.dispose();
		return results;
	};
});

const TEXTS = [
	...[
		"",
		"a",
		"b",
		"ab",
		"aab",
		"abc",
		"A1_",
		"7",
		"42",
		"-",
		"a-c",
		".",
		"a.b",
	],
	...["é", "à", "ä", "ß", "日", "😀", "a日", " ", "\t", "\n", "a\nb", "\r"],
	...[
		'"',
		"\\",
		'a"b',
		"a\\b",
		"[",
		"]",
		"^",
		"$",
		"{2}",
		"x{2}",
		"((",
		"a|b",
		"/",
	],
];

const PATTERNS = [
	"a|ab",
	"^(?:a|b)*c?$",
	"[a-c]+",
	"[^a-c]+",
	"[\\d.]+",
	"[^\\w]",
	"\\w{1,3}",
	"\\W",
	"\\S+",
	"\\D{2}",
	".",
	".{2,}",
	"a.b",
	"[à-ä]",
	"[a日😀]+",
	"é|ß",
	"\\u00e9",
	"\\u{1f600}",
	"\\x61",
	"\\$|\\^|\\/",
	"[\\]\\[^-]+",
	"[a\\-c]+",
	"[-a]*",
	"\\{2\\}",
	"(?<letter>a)(b)?",
	"\\t|\\n",
	'"|\\\\',
	"[\\t\\n ]",
	"[ -~]+",
	"a{2}b",
	"(a{1,2}){1,2}b?",
];

test("it matches what JavaScript matches", async () => {
	for (const pattern of PATTERNS) {
		const regex = new RegExp(`^(?:${pattern})$`, "u");
		const got = await accepts(translatePattern(pattern, "regex", false), TEXTS);
		const wrong = TEXTS.filter((text, i) => got[i] !== regex.test(text));
		assert.deepEqual(wrong, [], pattern);
	}
});

test("in a JSON string it matches the same texts, written as JSON", async () => {
	const contents = TEXTS.map((text) => JSON.stringify(text).slice(1, -1));
	const raw = ['"', 'a"b', "\t", "\n", "a\nb", "\\", "\u0000", 'a"'];
	for (const pattern of PATTERNS) {
		const regex = new RegExp(`^(?:${pattern})$`, "u");
		const translated = translatePattern(pattern, "json", true);
		const got = await accepts(translated, contents);
		const wide = TEXTS.filter((text, i) => got[i] && !regex.test(text));
		assert.deepEqual(wide, [], `${pattern} is not wider`);
		const missed = TEXTS.filter(
			(text, i) => !got[i] && regex.test(text) && contents[i] === text,
		);
		assert.deepEqual(missed, [], `${pattern} misses nothing without escapes`);
		const broken = await accepts(translated, raw);
		assert.deepEqual(
			raw.filter((_, i) => broken[i]),
			[],
			`${pattern} is JSON`,
		);
	}
	const escapes = translatePattern('a"\\\\\\n"+', "json", true);
	assert.deepEqual(await accepts(escapes, ['a\\"\\\\\\n\\"\\"', "a"]), [
		true,
		false,
	]);
});

test("what cannot be said is refused with its place", () => {
	const cases: [pattern: string, inJson: boolean, message: RegExp][] = [
		["a^b", false, /character 2 of "a\^b" is an anchor/],
		["(a$|b)", false, /character 3/],
		["[^é]", false, /character 1 .* exclude ASCII ones only/],
		["[\\u0000-\\uffff]", false, /character 1/],
		["[a-z", false, /opens a class that never ends/],
		["[z-a]", false, /character 2 .* begins a range that is none/],
		["[a-\\d]", false, /begins a range that is none/],
		["[]", false, /must leave something/],
		["x{2", false, /character 2 .* begins no count/],
		["a\\", false, /begins an escape, and/],
		["a\\ud800", false, /character 2 .* no character/],
		["[\\S]", false, /character 2/],
		['["]', true, /character 1/],
	];
	for (const [pattern, inJson, message] of cases)
		assert.throws(() => translatePattern(pattern, "regex", inJson), {
			code: "invalid_sampling_params",
			message,
		});
});
