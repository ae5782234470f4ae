/** chat as a process driven through a pipe, and its memory of the conversation by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../src/cli/conversation.ts";
import {
	DUMMY,
	ENDLESS,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "./command-line.ts";

const model = writeModel(temporaryFolder());
const base = ["chat", model, ...DUMMY, "--temperature", "0"];

/** Tokens in context, from the lines of /stats. */
const contexts = (stderr: string) =>
	[...stderr.matchAll(/^(\d+) of 512 tokens in context/gm)].map((m) =>
		Number(m[1]),
	);

test("turns add up, /reset forgets them, the answer to the same question is the same again", async () => {
	const input =
		"hello there\n/stats\nand now\n/stats\n/reset\nhello there\n/stats\n";
	const { code, stdout, stderr } = await run(
		[...base, "--max-tokens", "12", "--ignore-eos"],
		input,
	);
	assert.equal(code, 0, stderr);
	const [first, second, third] = contexts(stderr);
	assert.ok(second > first + 12, stderr);
	assert.equal(third, first);
	assert.match(stderr, /the conversation is forgotten/);
	assert.match(
		stderr,
		/last answer: 12 tokens, first after \S+ ms, then \S+ tok\/s/,
	);
	const once = await run(
		[...base, "--max-tokens", "12", "--ignore-eos"],
		"hello there",
	);
	assert.ok(stdout.startsWith(once.stdout) && stdout.endsWith(once.stdout));
});

test("/system and --system are part of the prompt; /exit leaves at once", async () => {
	const args = [...base, "--max-tokens", "3", "--ignore-eos"];
	const [plain, system, later] = await Promise.all([
		run(args, "hello\n/stats\n/exit\nnever answered\n/stats\n"),
		run([...args, "--system", "You are a robot."], "hello\n/stats\n"),
		run(args, "/system You are a robot.\nhello\n/stats\n"),
	]);
	assert.equal(contexts(plain.stderr).length, 1);
	assert.ok(contexts(system.stderr)[0] > contexts(plain.stderr)[0]);
	assert.deepEqual(contexts(later.stderr), contexts(system.stderr));
});

test("a conversation that outgrows the context drops its oldest turns and says so", async () => {
	const input = "one two three four five six seven\n".repeat(8);
	const { code, stderr } = await run(
		[...base, "--max-tokens", "60", "--ignore-eos"],
		`${input}/stats\n${"word ".repeat(600)}\nhi\n`,
	);
	assert.equal(code, 0, stderr);
	assert.match(
		stderr,
		/outgrew the context of 512 tokens: dropped the oldest turn/,
	);
	assert.ok(contexts(stderr)[0] <= 512);
	assert.match(stderr, /error \[prompt_too_long\]/);
});

test("Ctrl-C stops an answer and not the program", async () => {
	const folder = temporaryFolder();
	const model = writeModel(folder, { maxModelLen: ENDLESS });
	const dummy = [...DUMMY, "--ignore-eos"];
	const chat = start(["chat", model, ...dummy]);
	chat.process.stdin?.write("tell me everything\n");
	await chat.until(/\S/);
	chat.process.kill("SIGINT");
	chat.process.stdin?.end("/stats\n/help\n");
	const { code, stderr } = await chat.ended;
	assert.equal(code, 0, stderr);
	assert.match(
		stderr,
		/stopped\.\n\d+ of 30,000 tokens in context · last answer: \d+ token/,
	);
	assert.match(stderr, /\/reset forgets the conversation/);
});

test("a conversation keeps its system message and its newest question", () => {
	const conversation = new Conversation("be kind", (text) => text.length);
	for (const turn of ["a", "b"]) {
		conversation.ask(turn);
		conversation.answer(turn.toUpperCase());
	}
	conversation.ask("c");
	const contents = () => conversation.messages.map((m) => m.content);
	assert.deepEqual(contents(), ["be kind", "a", "A", "b", "B", "c"]);
	assert.equal(conversation.numTokens, 7 + 5 + 6 * 5);
	assert.equal(conversation.dropOldest(), true);
	assert.deepEqual(contents(), ["be kind", "b", "B", "c"]);
	assert.equal(conversation.dropOldest(), true);
	assert.equal(conversation.dropOldest(), false);
	conversation.withdraw();
	assert.deepEqual(contents(), ["be kind"]);
	conversation.setSystem(null);
	assert.deepEqual(contents(), []);
});
