/** Markdown that grows: the same blocks as of the whole text, each parsed only while it can still change. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { marked } from "marked";
import { createMarkdownStream } from "../../web/src/chat/markdown-stream.ts";

const piece = fc.constantFrom(
	"# Title\n\n",
	"A paragraph\nof two lines.\n\n",
	"- one\n- two\n",
	"- loose\n\n- list\n\n",
	"1. first\n2. second\n\n",
	"> quoted\n\n",
	"```ts\nconst a = 1;\n\nlet b;\n```\n\n",
	"```\nnever closed\n\n",
	"| a | b |\n|---|---|\n| 1 | 2 |\n\n",
	"*em* and `code`\n",
	"\n\n",
	"---\n\n",
	"<b>html</b>\n\n",
	"  indented\n",
	"word ",
);
const text = fc.array(piece, { maxLength: 12 }).map((it) => it.join(""));
const html = (tokens: Parameters<typeof marked.parser>[0]) =>
	marked.parser(tokens);

test("grown in pieces, the blocks are those of the whole text", () => {
	fc.assert(
		fc.property(text, fc.integer({ min: 1, max: 9 }), (whole, step) => {
			const stream = createMarkdownStream();
			for (let end = 0; end < whole.length; end += step)
				stream.update(whole.slice(0, end));
			const blocks = stream.update(whole);
			assert.equal(blocks.map(({ raw }) => raw).join(""), whole);
			assert.equal(
				blocks.map(({ tokens }) => html([...tokens])).join(""),
				html(marked.lexer(whole)),
			);
		}),
		{ examples: [["- one\n- two\nword ", 1]] },
	);
});

test("blocks before the last are the same objects with every addition", () => {
	const stream = createMarkdownStream();
	const first = stream.update("One.\n\nTwo.\n\nThr");
	const second = stream.update("One.\n\nTwo.\n\nThree.\n\nFour");
	assert.equal(first.length, 3);
	assert.equal(second.length, 4);
	assert.ok(first[0] === second[0] && first[1] === second[1]);
	assert.equal(stream.update("One.\n\nTwo.\n\nThree.\n\nFour"), second);
});

test("a text that is another begins anew", () => {
	const stream = createMarkdownStream();
	stream.update("One.\n\nTwo.");
	assert.deepEqual(
		stream.update("Another.").map(({ raw }) => raw),
		["Another."],
	);
});

test("line ends of every kind are one", () => {
	const stream = createMarkdownStream();
	const blocks = stream.update("One.\r\n\r\nTwo.\rGo on.");
	assert.deepEqual(
		blocks.map(({ raw }) => raw),
		["One.\n\n", "Two.\nGo on."],
	);
});
