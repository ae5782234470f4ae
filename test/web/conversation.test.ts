/** What a conversation becomes when one asks, edits and asks again; what the model reads of it; and the small texts around it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnnouncer } from "../../web/src/chat/announce.ts";
import {
	type AnswerTurn,
	ask,
	askAgain,
	type Conversation,
	cutAt,
	messagesOf,
	newConversation,
	parseConversation,
	replaceTurn,
	textOf,
} from "../../web/src/chat/conversation.ts";
import { parseField, SAMPLING_FIELDS } from "../../web/src/chat/sampling.ts";
import { splitThought } from "../../web/src/chat/thought.ts";
import { baseOf } from "../../web/src/server-api.ts";

const finished = { kind: "finished", reason: "stop" } as const;

function answered(conversation: Conversation, text: string): Conversation {
	const turn = conversation.turns.at(-1) as AnswerTurn;
	return replaceTurn(conversation, { ...turn, text, end: finished });
}

const asked = ask(newConversation(1), "  What is\na KV cache? ", "m", 2);

test("the first question names the conversation, a later one does not", () => {
	assert.equal(asked.title, "What is a KV cache?");
	assert.equal(asked.updatedAt, 2);
	const more = ask(answered(asked, "Memory."), "Why?", "m", 3);
	assert.equal(more.title, "What is a KV cache?");
	const long = ask(newConversation(1), "x".repeat(100), "m", 2);
	assert.equal(long.title.length, 60);
});

test("the model reads instructions, questions and answers in order", () => {
	const more = ask(answered(asked, "Memory."), "Why?", "m", 3);
	assert.deepEqual(messagesOf({ ...more, system: "Be brief." }), [
		{ role: "system", content: "Be brief." },
		{ role: "user", content: "  What is\na KV cache? " },
		{ role: "assistant", content: "Memory." },
		{ role: "user", content: "Why?" },
	]);
	assert.equal(textOf(more), "  What is\na KV cache? \nMemory.\nWhy?");
});

test("a question whose answer came to nothing is not read again", () => {
	const more = ask(answered(asked, ""), "Why?", "m", 3);
	assert.deepEqual(messagesOf(more), [{ role: "user", content: "Why?" }]);
});

test("an edited question takes the place of itself and all after it", () => {
	const more = ask(answered(asked, "Memory."), "Why?", "m", 3);
	const [first] = more.turns;
	const edited = ask(cutAt(more, first.id), "What is a page?", "m", 4);
	assert.deepEqual(
		edited.turns.map(({ kind, text }) => [kind, text]),
		[
			["user", "What is a page?"],
			["answer", ""],
		],
	);
	assert.equal(edited.id, more.id);
});

test("asked again, the answer alone is another", () => {
	const done = answered(asked, "Memory.");
	const again = askAgain(done, done.turns[1].id, "other", 5);
	assert.equal(again.turns.length, 2);
	assert.equal(again.turns[0], done.turns[0]);
	assert.notEqual(again.turns[1].id, done.turns[1].id);
	assert.equal((again.turns[1] as AnswerTurn).modelName, "other");
});

test("a stored conversation is read back, anything else is not", () => {
	assert.deepEqual(parseConversation(JSON.parse(JSON.stringify(asked))), asked);
	for (const value of [null, 7, {}, { id: "a", title: "b" }, []])
		assert.equal(parseConversation(value), null);
});

test("a thought is split off, open or not, also where the prompt began it", () => {
	assert.deepEqual(splitThought("Yes."), {
		thought: null,
		answer: "Yes.",
		isThoughtOver: true,
	});
	assert.deepEqual(splitThought("<think>\nhm\n</think>\n\nYes."), {
		thought: "hm",
		answer: "Yes.",
		isThoughtOver: true,
	});
	assert.deepEqual(splitThought("<think>hm"), {
		thought: "hm",
		answer: "",
		isThoughtOver: false,
	});
	assert.equal(splitThought("hm\n</think>\nYes.").thought, "hm");
	assert.equal(splitThought("<think></think>Yes.").thought, null);
});

test("a growing answer is announced in paragraphs, each once, and its rest at the end", () => {
	const announce = createAnnouncer();
	assert.equal(announce("One", false), "");
	assert.equal(announce("One.\n\nTw", false), "One.");
	assert.equal(announce("One.\n\nTwo", false), "");
	assert.equal(announce("One.\n\nTwo.", true), "Two.");
	assert.equal(announce("One.\n\nTwo.", true), "");
});

test("a sampling field takes numbers within its bounds, and nothing for the default", () => {
	const field = (name: string) => {
		const found = SAMPLING_FIELDS.find((it) => it.name === name);
		assert.ok(found, name);
		return found;
	};
	assert.equal(parseField(field("temperature"), "0.7"), 0.7);
	assert.equal(parseField(field("temperature"), ""), undefined);
	assert.equal(parseField(field("temperature"), "2.5"), null);
	assert.equal(parseField(field("topK"), "1.5"), null);
	assert.equal(parseField(field("maxTokens"), "0"), null);
	assert.equal(parseField(field("seed"), "x"), null);
});

test("a server's address is taken with /v1 and without", () => {
	for (const address of ["http://a:1", "http://a:1/", " http://a:1/v1/ "])
		assert.equal(baseOf(address), "http://a:1");
});
