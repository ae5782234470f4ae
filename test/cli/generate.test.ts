/** generate as a process: where prompts come from, and what comes out. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
	CHECKPOINT,
	DUMMY,
	ENDLESS,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "./command-line.ts";

const folder = temporaryFolder();
const model = writeModel(folder);
const base = ["generate", "-m", model, ...DUMMY, "--ignore-eos"];

function lines(text: string): Record<string, unknown>[] {
	return text
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));
}

interface Result {
	prompt: string | null;
	promptTokenIds: number[];
	outputs: { text: string; tokenIds: number[]; logprobs: unknown }[];
}
const results = (text: string) => lines(text) as unknown as Result[];

test("prompts as arguments: headers that can be parsed, a throughput line on stderr", async () => {
	const { code, stdout, stderr } = await run([
		...base,
		"one\ntwo",
		"three",
		"--max-tokens",
		"5",
	]);
	assert.equal(code, 0, stderr);
	assert.match(
		stdout,
		/^\[1\/2\] "one\\ntwo"\n[\s\S]*\n\n\[2\/2\] "three"\n[\s\S]*\n\n$/,
	);
	assert.match(
		stderr,
		/Qwen3, \S+ parameters · on \w+ · 2 prompts in one batch/,
	);
	assert.match(
		stderr,
		/2 requests · \d+ prompt \+ 10 output tokens · [\d.]+ s · \S+ output tok\/s · \S+ total tok\/s\n$/,
	);
	assert.ok(!stderr.includes("\u001b"), "no colours in a pipe");
});

test("one prompt in a pipe prints its text and nothing else; the same streamed", async () => {
	const args = [...base, "one", "--max-tokens", "8", "--temperature", "0"];
	const [whole, streamed, json] = await Promise.all([
		run(args),
		run([...args, "--stream"]),
		run([...args, "--json"]),
	]);
	const [{ outputs }] = results(json.stdout);
	assert.equal(whole.stdout, `${outputs[0].text}\n`);
	assert.equal(streamed.stdout, whole.stdout);
});

test("lines of a file and of stdin are prompts; --chat asks them through the template", async () => {
	const file = join(folder, "prompts.txt");
	writeFileSync(file, "first\n\nsecond\r\n");
	const tail = ["--json", "--max-tokens", "3"];
	const [fromFile, fromStdin] = await Promise.all([
		run([...base, "--file", file, ...tail]),
		run([...base, "--chat", ...tail], "first\nsecond"),
	]);
	assert.deepEqual(
		results(fromFile.stdout).map((r) => r.prompt),
		["first", "second"],
	);
	assert.deepEqual(
		results(fromStdin.stdout).map((r) => r.prompt),
		["first", "second"].map(
			(text) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`,
		),
	);
});

test("JSON Lines mix texts, messages and token ids, in order; a wrong line is named", async () => {
	const file = join(folder, "prompts.jsonl");
	const tasks = [
		{ messages: [{ role: "user", content: "hello" }] },
		{ prompt: "once" },
		{ promptTokenIds: [5, 6, 7] },
	];
	const text = tasks.map((task) => JSON.stringify(task)).join("\n");
	writeFileSync(file, `${text}\n{"text":"x"}\n`);
	const args = ["--max-tokens", "4", "--n", "2", "--logprobs", "1", "--json"];
	const [good, bad] = await Promise.all([
		run([...base, ...args], text),
		run([...base, "--file", file]),
	]);
	const all = results(good.stdout);
	assert.deepEqual(
		all.map((r) => r.prompt),
		[
			"<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
			"once",
			null,
		],
	);
	assert.deepEqual(all[2].promptTokenIds, [5, 6, 7]);
	for (const { outputs } of all) {
		assert.deepEqual(
			outputs.map((o) => o.tokenIds.length),
			[4, 4],
		);
		assert.ok(outputs.every((o) => Array.isArray(o.logprobs)));
	}
	assert.equal(bad.code, 1);
	assert.match(
		bad.stderr,
		/error \[invalid_prompt\]: .*prompts\.jsonl, line 4: wanted an object/,
	);
});

test("without a tokenizer, token ids in and out; seeds decide", async () => {
	const ids = [
		"generate",
		"-m",
		CHECKPOINT,
		"--device",
		"reference",
		"--skip-tokenizer-init",
		"--max-tokens",
		"6",
	];
	const input = '{"promptTokenIds":[1,2,3]}';
	const [a, b, c] = await Promise.all([
		run([...ids, "--sampling-seed", "1"], input),
		run([...ids, "--sampling-seed", "1"], input),
		run([...ids, "--sampling-seed", "2"], input),
	]);
	assert.match(a.stdout, /^(\d+ ){6}\n$/);
	assert.equal(a.stdout, b.stdout);
	assert.notEqual(a.stdout, c.stdout);
});

test("Ctrl-C ends with 130 and no error; a closed pipe ends quietly", async () => {
	const model = writeModel(temporaryFolder(), { maxModelLen: ENDLESS });
	const flags = [...DUMMY, "--skip-tokenizer-init"];
	const lasting = ["--ignore-eos", "--max-tokens", `${ENDLESS}`, "--stream"];
	const endless = ["generate", "-m", model, ...flags, ...lasting];
	const input = '{"promptTokenIds":[1]}';
	const interrupted = start(endless);
	interrupted.process.stdin?.end(input);
	await interrupted.until(/\d+ \d+/);
	interrupted.process.kill("SIGINT");
	const { code, stderr } = await interrupted.ended;
	assert.deepEqual([code, /error/.test(stderr)], [130, false]);

	const cut = start(endless);
	cut.process.stdin?.end(input);
	await cut.until(/\d+ \d+/);
	cut.process.stdout?.destroy();
	const quiet = await cut.ended;
	assert.deepEqual([quiet.code, /error/.test(quiet.stderr)], [0, false]);
});

test("structured outputs: one flag for each kind, what they say is what comes out", async () => {
	const schema = join(folder, "point.schema.json");
	writeFileSync(schema, '{"type":"string","pattern":"[12]{2}"}');
	const grammar = join(folder, "g.ebnf");
	writeFileSync(grammar, 'root ::= "x" | "yz"\n');
	const cases: [args: string[], text: RegExp][] = [
		[["--choice", "yes,no", "--choice", '["a, b"]'], /^(yes|no|a, b)\n$/],
		[["--regex", "[a-c]{2}"], /^[a-c]{2}\n$/],
		[["--json-schema", schema], /^"[12]{2}"\n$/],
		[["--grammar", grammar], /^(x|yz)\n$/],
	];
	const demo = ["generate", "-m", "demo-model", "--device", "cpu", "A"];
	const outputs = await Promise.all(
		cases.map(([args]) => run([...demo, ...args])),
	);
	outputs.forEach(({ code, stdout, stderr }, i) => {
		assert.equal(code, 0, stderr);
		assert.match(stdout, cases[i][1]);
	});
	const wrong: [args: string[], message: RegExp][] = [
		[
			["--json-schema", join(folder, "absent.json")],
			/--json-schema .* could not be read \(ENOENT\)/,
		],
		[
			["--regex", "a", "--choice", "b"],
			/exactly one of .* got regex and choice/,
		],
		[["--choice", '["a'], /JSON list/],
	];
	for (const [args, message] of wrong) {
		const { code, stderr } = await run([...demo, ...args]);
		assert.equal(code, 1);
		assert.match(stderr, message);
	}
});
