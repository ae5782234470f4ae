/** Schemas as XGrammar is given them: what it reads is what they say, or they are refused with the place. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { platform } from "../../src/platform/node.ts";
import { narrowSchema } from "../../src/structured/json-schema.ts";
import {
	schemaGrammar,
	type XGrammar,
} from "../../src/structured/schema-grammar.ts";

let accepts: (schema: object, texts: readonly string[]) => Promise<boolean[]>;
before(async () => {
	const xgrammar = (await platform.xgrammar()) as XGrammar;
	const info = await xgrammar.TokenizerInfo.createTokenizerInfo([]);
	const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(info);
	accepts = async (schema, texts) => {
		const narrowed = narrowSchema(schema);
		const spec = { kind: "json", ...narrowed, anyWhitespace: false } as const;
		const ebnf = await schemaGrammar(xgrammar, spec);
		const grammar = await compiler.compileGrammar(ebnf);
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

const NODE = {
	$defs: {
		"a/b ~c": {
			type: "object",
			properties: { next: { $ref: "#/$defs/a~1b%20~0c" } },
		},
	},
	$ref: "#/$defs/a~1b%20~0c",
};

const READ: readonly [schema: object, yes: string[], no: string[]][] = [
	[{}, ["1", '{"a": [null]}', '"x"'], [""]],
	[{ type: "object" }, ["{}", '{"a": 1}'], ["[]"]],
	[{ type: "array" }, ["[]", '[1, "a"]'], ["{}"]],
	[{ type: "array", minItems: 2 }, ['[1, "a"]'], ["[]", "[1]"]],
	[
		{ type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
		['{"a": 1}'],
		["{}", '{"a": 1, "c": 2}', '{"a": "1"}'],
	],
	[
		{ properties: { a: { type: "string" } }, required: ["z"] },
		['{"z": 1}', '{"a": "x", "z": []}'],
		['{"a": "x"}'],
	],
	[
		{ type: "object", properties: { a: false, b: true } },
		["{}", '{"b": 1}'],
		['{"a": 1}'],
	],
	[
		{ type: "object", additionalProperties: { type: "integer" } },
		["{}", '{"q": 3, "r": 4}'],
		['{"q": "x"}'],
	],
	[
		{ prefixItems: [{ type: "null" }, { type: "integer" }] },
		["[null, 1]"],
		["[null]", "[null, 1, 2]"],
	],
	[
		{ prefixItems: [{ type: "null" }, { type: "integer" }], maxItems: 1 },
		["[null]"],
		["[null, 1]", "[]"],
	],
	[
		{ prefixItems: [{ type: "null" }], minItems: 2 },
		['[null, "x"]'],
		["[null]"],
	],
	[{ type: ["string", "null"], minLength: 1 }, ['"a"', "null"], ['""', "1"]],
	[
		{ minLength: 2, maxLength: 3 },
		['"ab"', '"é😀ß"'],
		['"a"', '"abcd"', '"a\tb"', "1"],
	],
	[{ pattern: "^a|bc$" }, ['"a"', '"bc"'], ['"ac"', '"b"']],
	[{ format: "email" }, ['"a.b@c.de"'], ['"a"', '"@c"']],
	[
		{ format: "date-time" },
		['"2024-01-02T03:04:05Z"'],
		['"2024-01-02T03:60:05Z"'],
	],
	[{ enum: ["a", 1, null], type: ["string", "null"] }, ['"a"', "null"], ["1"]],
	[{ const: { a: [1.5] } }, ['{"a":[1.5]}'], ['{"a":[1]}']],
	[
		{ anyOf: [false, { type: "null" }, { minimum: 3, type: "integer" }] },
		["null", "3"],
		["2"],
	],
	[{ allOf: [{ type: "boolean" }], description: "x" }, ["true"], ["null"]],
	[NODE, ["{}", '{"next": {"next": {}}}'], ["1", '{"next": 1}']],
	[
		{ type: "number", minimum: 0, maximum: 1 },
		["0", "0.5", "1", "1.0"],
		["1.01", "-0.5", "2", "0x5"],
	],
	[
		{
			items: { exclusiveMinimum: 0 },
			prefixItems: [{ type: "number", maximum: -1.5 }],
		},
		["[-1.5, 0.1]", "[-20, 3, 1000.5]"],
		["[-1.4]", "[-2, 0]", "[-2, 0.00]"],
	],
	[{ type: "number" }, ["0", "0.5", "-12.25e-3"], ["01", ".5", "1."]],
];

test("what a schema allows and forbids", async () => {
	for (const [schema, yes, no] of READ) {
		const got = await accepts(schema, [...yes, ...no]);
		const wanted = [...yes.map(() => true), ...no.map(() => false)];
		assert.deepEqual(got, wanted, JSON.stringify(schema));
	}
});

test("bounds of integers, all of them, beside the numbers near them", async () => {
	const texts = Array.from({ length: 261 }, (_, i) => String(i - 130));
	const bounds = [undefined, -101, -10.5, -1, 0, 1, 7, 9.5, 99, 100];
	for (const minimum of bounds)
		for (const exclusiveMaximum of bounds) {
			const low = minimum ?? -Infinity;
			const high = exclusiveMaximum ?? Infinity;
			if (Math.ceil(low) >= high) continue;
			const schema = { type: "integer", minimum, exclusiveMaximum };
			const got = await accepts(JSON.parse(JSON.stringify(schema)), texts);
			const wrong = texts.filter((text, i) => {
				const value = Number(text);
				return got[i] !== (value >= low && value < high);
			});
			assert.deepEqual(wrong, [], JSON.stringify(schema));
		}
});

const deep = (levels: number): object =>
	levels === 0 ? {} : { type: "array", items: deep(levels - 1) };

const REFUSED: readonly [schema: unknown, message: RegExp][] = [
	["", /not JSON/],
	["{", /at \/: not JSON/],
	[[], /wanted an object/],
	[{ type: "strng" }, /"type" must be one of string, .* got "strng"/],
	[{ type: [] }, /"type"/],
	[{ properties: { a: 1 } }, /at \/properties\/a: wanted a schema, got 1/],
	[
		{ properties: { a: false }, required: ["a"] },
		/at \/properties\/a: false allows no value/,
	],
	[{ properties: [] }, /"properties"/],
	[{ required: "a" }, /"required"/],
	[{ properties: { 'a"': {} } }, /name may hold no quotes/],
	[{ items: { patternProperties: {} } }, /at \/items: "patternProperties"/],
	[{ type: "array", uniqueItems: true }, /uniqueItems/],
	[{ items: [{}] }, /prefixItems/],
	[{ minItems: 3, maxItems: 2 }, /"minItems" 3 is more/],
	[{ minItems: -1 }, /whole number/],
	[{ prefixItems: [{}], items: false, minItems: 2 }, /more items than/],
	[{ type: "object", pattern: "a", minLength: 1, properties: {} }, /^$/],
	[{ type: "string", pattern: "a", minLength: 1 }, /one at a time/],
	[{ pattern: "a^b" }, /at : character 2|at \/?: character 2/],
	[{ pattern: 3 }, /"pattern" must be a text/],
	[{ format: "phone" }, /"phone" is not one of date/],
	[{ minLength: 1.5 }, /lengths/],
	[{ minLength: 1, minimum: 1 }, /string and number and names no "type"/],
	[{ type: "integer", multipleOf: 5 }, /multipleOf/],
	[{ type: "integer", minimum: "1" }, /bounds must be numbers/],
	[{ type: "integer", minimum: 2, maximum: 1 }, /no safe integer/],
	[{ type: "number", minimum: 0.1, maximum: 0.9 }, /digit by digit/],
	[{ const: "nano-vllm:number:0:" }, /may not hold/],
	[{ enum: [] }, /"enum" must be a list/],
	[{ enum: ["a"], type: "integer" }, /no value/],
	[{ anyOf: [{}], minLength: 1 }, /"minLength" beside "anyOf"/],
	[{ anyOf: [{}], type: "object" }, /"type" beside "anyOf"/],
	[{ anyOf: [false] }, /no "anyOf" allows/],
	[{ allOf: [{}, {}] }, /write them as one/i],
	[{ $ref: "http://x/y" }, /must point into this schema/],
	[{ $ref: "#/nowhere" }, /points to nothing/],
	[
		{
			$defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } },
			$ref: "#/$defs/a",
		},
		/leads to itself/,
	],
	[deep(70), /64 levels/],
];

test("what cannot be honoured is refused with the place and the reason", () => {
	for (const [schema, message] of REFUSED) {
		if (message.source === "^$") {
			// What belongs to other types says nothing about this one.
			narrowSchema(schema);
			continue;
		}
		assert.throws(
			() => narrowSchema(schema),
			{ code: "invalid_sampling_params", message },
			JSON.stringify(schema),
		);
	}
});
