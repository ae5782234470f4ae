/** Calls of tools and reasoning out of a model's text: the formats, what is none, and the law that pieces cut anywhere say the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
	type AnswerParser,
	createPlainParser,
	type ParsedAnswer,
	parseAnswer,
} from "../../src/server/answer-pieces.ts";
import {
	createReasoningParser,
	endsInThought,
} from "../../src/server/reasoning.ts";
import {
	createHermesParser,
	createJsonCallsParser,
	createNamedCallParser,
} from "../../src/server/tool-call-parsers.ts";

const call = (name: string, args: string) => ({ name, arguments: args });
const says = (content: string): ParsedAnswer => ({
	reasoning: null,
	content,
	calls: [],
});
const calls = (...all: ParsedAnswer["calls"]): ParsedAnswer => ({
	reasoning: null,
	content: null,
	calls: all,
});

const HERMES: readonly (readonly [string, ParsedAnswer])[] = [
	["plain words", says("plain words")],
	["a < b <tool", says("a < b <tool")],
	["ends in space \n", says("ends in space \n")],
	[
		'<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
		calls(call("f", '{"a": 1}')),
	],
	[
		'Let me see.\n<tool_call>{"name":"f","arguments":{}}</tool_call>\n<tool_call>{"arguments":{"x":[1,{"y":"}"}]},"name":"g"}</tool_call>\n',
		{
			...calls(call("f", "{}"), call("g", '{"x":[1,{"y":"}"}]}')),
			content: "Let me see.",
		},
	],
	['<tool_call>{"name":"f"}</tool_call>', calls(call("f", "{}"))],
	[
		'<tool_call>{"name":"f","arguments":"{\\"a\\": \\"\\u00e9\\"}"}</tool_call>',
		calls(call("f", '{"a": "é"}')),
	],
	[
		'<tool_call>{"name":"f","arguments":{"text":"</tool_call> \\" }"}}</tool_call>',
		calls(call("f", '{"text":"</tool_call> \\" }"}')),
	],
	[
		"<tool_call>no object</tool_call> and on",
		says("<tool_call>no object</tool_call> and on"),
	],
	['<tool_call>{"a": 1}</tool_call>', says('<tool_call>{"a": 1}</tool_call>')],
	['<tool_call>{"na', says('<tool_call>{"na')],
	['<tool_call>{"name":"f","arguments":{"a', calls(call("f", '{"a'))],
	[
		'<tool_call>{"name": 5}</tool_call>',
		says('<tool_call>{"name": 5}</tool_call>'),
	],
	['<tool_call>[{"name": "f"}]', says('<tool_call>[{"name": "f"}]')],
];

const LLAMA: readonly (readonly [string, ParsedAnswer])[] = [
	["words {", says("words {")],
	['{"name": "f", "parameters": {"a": 1}}', calls(call("f", '{"a": 1}'))],
	[
		' <|python_tag|>{"type": "function", "name": "f", "parameters": {"a": null}}; {"name": "g", "arguments": {}}',
		calls(call("f", '{"a": null}'), call("g", "{}")),
	],
	['{"answer": 42}', says('{"answer": 42}')],
	["{ not json", says("{ not json")],
	["<|python_", says("<|python_")],
	[
		'{"name": "f", "parameters": {"a": 1}} The end.',
		calls(call("f", '{"a": 1}')),
	],
	[
		'{"parameters": {"late": true}, "name": "f"}',
		calls(call("f", '{"late": true}')),
	],
	['{"parameters": {"late"', says('{"parameters": {"late"')],
];

const REQUIRED: typeof LLAMA = [
	['[{"name":"f","parameters":{"a":1}}]', calls(call("f", '{"a":1}'))],
	[
		'[ {"name":"f","parameters":{}} , {"name":"g","parameters":{"b":[]}} ]',
		calls(call("f", "{}"), call("g", '{"b":[]}')),
	],
	["[1]", says("[1]")],
];

/** All pieces joined per kind: how a text was cut must not show. */
function inPieces(
	parser: AnswerParser,
	text: string,
	cuts: readonly number[],
): ParsedAnswer {
	const bounds = [...new Set([0, ...cuts, text.length])].sort((a, b) => a - b);
	const pieces = bounds
		.slice(1)
		.flatMap((end, i) => parser.push(text.slice(bounds[i], end)));
	const replay: AnswerParser = {
		push: () => pieces,
		finish: () => parser.finish(),
	};
	return parseAnswer(replay, "");
}

function suite(
	name: string,
	create: () => AnswerParser,
	cases: readonly (readonly [string, ParsedAnswer])[],
): void {
	test(`${name}: ${cases.length} texts, whole and letter by letter`, () => {
		for (const [text, wanted] of cases) {
			assert.deepEqual(parseAnswer(create(), text), wanted, text);
			const all = Array.from(text, (_, i) => i);
			assert.deepEqual(inPieces(create(), text, all), wanted, text);
		}
	});
	test(`${name}: any text says the same however it is cut`, () => {
		const words = cases.flatMap(([text]) => text.match(/\w+|\W/g) ?? []);
		const texts = fc.array(fc.constantFrom(...words), { maxLength: 40 });
		const property = fc.property(
			fc.oneof(
				fc.constantFrom(...cases.map(([t]) => t)),
				texts.map((t) => t.join("")),
			),
			fc.array(fc.nat(200)),
			(text, cuts) => {
				const inside = cuts.filter((cut) => cut < text.length);
				assert.deepEqual(
					inPieces(create(), text, inside),
					parseAnswer(create(), text),
				);
			},
		);
		fc.assert(property, { numRuns: 500, seed: 5 });
	});
}

suite("hermes", createHermesParser, HERMES);
suite("llama3_json", () => createJsonCallsParser(false), LLAMA);
suite("required", () => createJsonCallsParser(true), REQUIRED);
suite(
	"qwen3 reasoning before hermes",
	() => createReasoningParser(createHermesParser(), false),
	[
		["no thought", says("no thought")],
		[
			"<think>\nhm\n</think>\n\nyes",
			{ reasoning: "\nhm\n", content: "\n\nyes", calls: [] },
		],
		[
			'\n<think>a</think>\n<tool_call>{"name":"f","arguments":{}}</tool_call>',
			{ reasoning: "a", content: null, calls: [call("f", "{}")] },
		],
		[
			"<think>never ends </thi",
			{ reasoning: "never ends </thi", content: null, calls: [] },
		],
		["<thin", says("<thin")],
		["words <think>late</think>", says("words <think>late</think>")],
		["<think></think>x", says("x")],
	],
);

test("one call at most where a request forbids parallel ones", () => {
	const two =
		'<tool_call>{"name":"f","arguments":{}}</tool_call><tool_call>{"name":"g","arguments":{}}</tool_call>';
	assert.deepEqual(
		parseAnswer(createHermesParser(1), two),
		calls(call("f", "{}")),
	);
});

test("a named function's arguments are the whole text", () => {
	const parser = createNamedCallParser("f");
	assert.deepEqual(
		inPieces(parser, '{"a": 1}', [2, 5]),
		calls(call("f", '{"a": 1}')),
	);
});

test("a prompt that ends in an open thought begins in it", () => {
	assert.ok(endsInThought("…assistant\n<think>\n"));
	assert.ok(!endsInThought("…assistant\n<think>\n\n</think>\n\n"));
	assert.ok(!endsInThought("hello"));
	assert.ok(!endsInThought("user\nwhat is <think>?\nassistant\n"));
	assert.ok(endsInThought("assistant\n<think> well", "<think> well"));
	assert.ok(!endsInThought("user <think>\nassistant\nI", "I"));
	const parser = createReasoningParser(createPlainParser(), true);
	assert.deepEqual(parseAnswer(parser, "still</think>done"), {
		reasoning: "still",
		content: "done",
		calls: [],
	});
});
