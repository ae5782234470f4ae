/** Chat templates: transformers' prompts, refusals, and nothing of the host. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
	type ChatMessage,
	createChatTemplate,
	findChatTemplate,
	specialTokensOf,
} from "../../src/tokenizer/chat-template.ts";

const GOLDEN = JSON.parse(
	readFileSync(new URL("../golden/chat/cases.json", import.meta.url), "utf8"),
);
const HI: ChatMessage[] = [{ role: "user", content: "hi" }];

function render(source: string, messages = HI, options = {}): string {
	return createChatTemplate(source, { bos_token: "<s>" }).render(
		messages,
		options,
	);
}

describe("golden chat templates", () => {
	for (const golden of GOLDEN.cases)
		test(golden.name, () => {
			const template = createChatTemplate(
				golden.template,
				golden.specialTokens,
			);
			const { add_generation_prompt, ...options } = golden.options;
			const run = () =>
				template.render(golden.messages, {
					...options,
					addGenerationPrompt: add_generation_prompt,
				});
			if (golden.error === undefined) assert.equal(run(), golden.expected);
			else
				assert.throws(run, (error: NodeJS.ErrnoException) => {
					assert.equal(error.code, "invalid_chat_template");
					assert.ok(error.message.endsWith(golden.error), error.message);
					return true;
				});
		});
});

test("what a template sees", () => {
	assert.equal(
		render(
			"{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}",
		),
		"True True False".toLowerCase(),
	);
	assert.equal(render("{{ a }}{{ b | default('-') }}", HI, { a: 1 }), "1-");
	assert.equal(render("{{ bos_token }}{{ eos_token }}"), "<s>");
	assert.equal(render("{% generation %}x{% endgeneration %}"), "x");
	const year = String(new Date().getFullYear());
	assert.equal(render("{{ strftime_now('%Y') }}"), year);
	assert.equal(
		render("{{ messages[0].content }}", HI, { messages: [], tools: [] }),
		"hi",
		"options cannot replace the messages",
	);
});

test("parts are joined for a template that wants a string", () => {
	const text = (text: string) => ({ type: "text", text }) as const;
	const messages = [{ role: "user", content: [text("a"), text("b")] }];
	assert.equal(render("{{ messages[0].content }}", messages), "a\nb");
	assert.equal(
		render(
			"{% for p in messages[0].content %}({{ p.text }}){% endfor %}",
			messages,
		),
		"(a)(b)",
	);
});

describe("a template reaches nothing of the host", () => {
	const harmless = [
		"{{ ''.constructor }}",
		"{{ messages.__proto__ }}{{ messages['constructor'] }}",
		"{{ messages[0].__proto__ }}{{ messages[0]['constructor'] }}{{ messages[0].toString }}",
		"{{ (1).toString }}{{ [].map }}{{ {}.hasOwnProperty }}",
		"{{ range.constructor }}{{ namespace().__proto__ }}{{ python_strip.constructor }}",
		"{% for i in range(1) %}{{ i.constructor }}{{ loop.constructor }}{% endfor %}",
		"{{ globalThis }}{{ process }}{{ window }}{{ require }}{{ self }}{{ this }}",
	];
	for (const source of harmless)
		test(source, () => assert.equal(render(source), ""));
	const refused = [
		"{{ raise_exception.constructor('return process')() }}",
		"{{ {'a': 1}.constructor.constructor('return 1')() }}",
		"{{ 'a' | attr('constructor') }}",
		"{{ messages | map('constructor') | list }}",
		"{{ ''.__class__.__mro__[1].__subclasses__() }}",
		"{{ python_strip.constructor('return 1')() }}",
	];
	for (const source of refused)
		test(source, () =>
			assert.throws(() => render(source), { code: "invalid_chat_template" }),
		);
	test("messages with keys of Object.prototype are data", () => {
		const tricky = JSON.parse(
			'[{"role":"user","content":"x","__proto__":{"polluted":1},"constructor":"c"}]',
		);
		assert.equal(render("{{ messages[0].constructor }}", tricky), "c");
		assert.equal(({} as { polluted?: number }).polluted, undefined);
	});
});

describe("bad messages", () => {
	const bad: [string, unknown][] = [
		["no list", "hi"],
		["null", null],
		["a message that is a string", ["hi"]],
		["null message", [null]],
		["no role", [{ content: "hi" }]],
		["role a number", [{ role: 1, content: "hi" }]],
		["no content", [{ role: "user" }]],
		["content null", [{ role: "user", content: null }]],
		["content a number", [{ role: "user", content: 3 }]],
		["content an object", [{ role: "user", content: { text: "x" } }]],
		["part a string", [{ role: "user", content: ["x"] }]],
		["part an image", [{ role: "user", content: [{ type: "image_url" }] }]],
		["part without text", [{ role: "user", content: [{ type: "text" }] }]],
	];
	for (const [name, messages] of bad)
		test(name, () =>
			assert.throws(() => render("x", messages as ChatMessage[]), {
				name: "NanoVllmError",
				code: "invalid_prompt",
			}),
		);
	test("content may be absent beside tool calls", () =>
		assert.equal(render("x", [{ role: "assistant", tool_calls: [] }]), "x"));
});

describe("bad templates", () => {
	for (const source of [
		"{% if %}",
		"{{ ",
		"{% for x in %}{% endfor %}",
		"{% if true %}",
		"{{ 1 +",
		"{% nonsense %}",
	])
		test(source, () =>
			assert.throws(() => render(source), { code: "invalid_chat_template" }),
		);
	test("fails while it runs", () =>
		assert.throws(() => render("{{ nothing() }}"), {
			code: "invalid_chat_template",
		}));
});

test("findChatTemplate", () => {
	const named = (...names: string[]) => ({
		chat_template: names.map((name) => ({ name, template: `T-${name}` })),
	});
	assert.equal(findChatTemplate({ chat_template: "a" }, null), "a");
	assert.equal(findChatTemplate({ chat_template: "a" }, "b"), "b");
	assert.equal(
		findChatTemplate(named("tool_use", "default"), null),
		"T-default",
	);
	assert.equal(findChatTemplate(named("rag"), null), undefined);
	assert.equal(findChatTemplate({}, null), undefined);
	assert.equal(findChatTemplate(null, null), undefined);
	assert.equal(findChatTemplate({ chat_template: null }, null), undefined);
	assert.throws(() => findChatTemplate({ chat_template: 7 }, null), {
		code: "invalid_chat_template",
	});
});

test("specialTokensOf", () => {
	const config = {
		bos_token: { content: "<s>", special: true },
		eos_token: "</s>",
		pad_token: null,
		other: "x",
	};
	assert.deepEqual(specialTokensOf(config), {
		bos_token: "<s>",
		eos_token: "</s>",
	});
	assert.deepEqual(specialTokensOf(undefined), {});
});
