/**
 * run-batch as a process: killed at random moments, with files it cannot write, with another's files.
 * NANO_VLLM_KILLS: how many times it is killed (default 8). NANO_VLLM_KILL_REQUESTS: of how many requests (default 80 for each kill).
 * NANO_VLLM_KILL_MODEL: of which model, on the cpu device (default: a tiny one with random weights, on the reference device).
 */
import assert from "node:assert/strict";
import {
	chmodSync,
	existsSync,
	mkdirSync,
	readFileSync,
	truncateSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BatchRecord, BatchResponse } from "../../src/batch/records.ts";
import { GrowingFile } from "../../src/cli/batch-files.ts";
import { progressLine } from "../../src/cli/batch-meter.ts";
import { lockFile } from "../../src/cli/lock-file.ts";
import { randomSource } from "../support/random.ts";
import {
	DUMMY,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "./command-line.ts";

const NUM_KILLS = Number(process.env.NANO_VLLM_KILLS ?? 8);
const NUM_REQUESTS = Number(
	process.env.NANO_VLLM_KILL_REQUESTS ?? 80 * (NUM_KILLS + 1),
);

const folder = temporaryFolder();
const model = writeModel(folder);
/** Of those who are killed; the last --model counts. */
const KILLED_MODEL =
	process.env.NANO_VLLM_KILL_MODEL === undefined
		? []
		: [
				...["-m", process.env.NANO_VLLM_KILL_MODEL],
				...["--load-format", "auto", "--device", "cpu"],
			];

/** A line of an errors file. */
interface ErrorRecord extends BatchRecord {
	readonly line: number;
	readonly response:
		| (BatchResponse & { readonly body: { error: { code: string } } })
		| null;
}

const requestOf = (i: number) => ({
	custom_id: `r${i}`,
	method: "POST",
	...(i % 2 === 0
		? {
				url: "/v1/completions",
				body: { prompt: `once ${i}`, max_tokens: 4 + (i % 13), temperature: 0 },
			}
		: {
				url: "/v1/chat/completions",
				body: {
					messages: [
						{ role: "system", content: "You are kind. ".repeat(8) },
						{ role: "user", content: `${i}` },
					],
					max_tokens: 3 + (i % 7),
					temperature: 0,
				},
			}),
});

function writeInput(name: string, numRequests: number, more = ""): string {
	const path = join(folder, name);
	const lines = Array.from({ length: numRequests }, (_, i) =>
		JSON.stringify(requestOf(i)),
	);
	writeFileSync(path, `${lines.join("\n")}\n${more}`);
	return path;
}

const commandOf = (input: string, output: string, ...flags: string[]) => [
	"run-batch",
	"-i",
	input,
	"-o",
	output,
	"-m",
	model,
	...DUMMY,
	...flags,
];

const recordsOf = (path: string): BatchRecord[] =>
	readFileSync(path, "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));

/** What does not depend on when and beside whom it was answered. */
function answersOf(path: string): Map<string | null, unknown> {
	const answers = new Map<string | null, unknown>();
	for (const { custom_id, response, error } of recordsOf(path)) {
		assert.ok(!answers.has(custom_id), `${custom_id} is there once`);
		const { choices, error: refusal } = (response?.body ?? {}) as Record<
			string,
			unknown
		>;
		const status = response?.status_code;
		answers.set(custom_id, { status, choices, refusal, error });
	}
	return answers;
}

test(`killed ${NUM_KILLS} times at random moments: complete, each id once, what an undisturbed run answers`, async (t) => {
	const tooLong = {
		...requestOf(0),
		custom_id: "long",
		body: { prompt: "x ".repeat(3000) },
	};
	const wrong = { ...requestOf(0), custom_id: "wrong", url: "/v1/files" };
	const more = `${JSON.stringify(tooLong)}\n{"cut\n${JSON.stringify(wrong)}\n${JSON.stringify(requestOf(3))}\n`;
	const input = writeInput("killed.jsonl", NUM_REQUESTS, more);
	const calm = join(folder, "calm.jsonl");
	const began = performance.now();
	const undisturbed = await run(commandOf(input, calm, ...KILLED_MODEL));
	assert.equal(undisturbed.code, 0, undisturbed.stderr);
	/** Of a process after its first write, at most: so that the kills are spread over most of the work. */
	const lifeMs = (1.5 * (performance.now() - began)) / (NUM_KILLS + 1);

	const output = join(folder, "stormy.jsonl");
	const few = KILLED_MODEL.length > 0 ? [] : ["--max-num-seqs", "4"];
	const random = randomSource(NUM_KILLS);
	const sizes: number[] = [];
	const sizeOf = () => (existsSync(output) ? readFileSync(output).length : 0);
	for (let kill = 0; kill < NUM_KILLS; kill++) {
		const running = start(commandOf(input, output, ...few, ...KILLED_MODEL));
		const before = sizeOf();
		const isEnded = running.ended.then(() => true);
		// At any moment from before the first write of this run to some after it.
		const mayBeEarly = random.uniform() < 0.25;
		while (!mayBeEarly && sizeOf() <= before)
			if (await Promise.race([isEnded, sleep(5)])) break;
		await Promise.race([isEnded, sleep(lifeMs * random.uniform())]);
		running.process.kill("SIGKILL");
		await running.ended;
		sizes.push(sizeOf());
	}
	t.diagnostic(`bytes after each kill: ${sizes.join(", ")}`);
	// And once more as a crash of the machine would leave it.
	if (sizeOf() > 10) truncateSync(output, sizeOf() - 7);
	const last = await run(commandOf(input, output, ...KILLED_MODEL));
	assert.equal(last.code, 0, last.stderr);
	assert.match(last.stderr, /lines? done · [\d,]+ before/);
	const [expected, answers] = [answersOf(calm), answersOf(output)];
	assert.equal(answers.size, NUM_REQUESTS + 2);
	for (const [id, answer] of expected)
		assert.deepEqual(answers.get(id), answer);
	const told = (path: string) =>
		(recordsOf(`${path}.errors.jsonl`) as ErrorRecord[])
			.map(({ line, error, response }) => [
				line,
				error?.code ?? response?.body.error.code,
			])
			.sort();
	assert.deepEqual(told(output), [
		[NUM_REQUESTS + 1, "context_length_exceeded"],
		[NUM_REQUESTS + 2, "invalid_json"],
		[NUM_REQUESTS + 3, "invalid_url"],
		[NUM_REQUESTS + 4, "duplicate_custom_id"],
	]);
	assert.deepEqual(told(calm), told(output));
	const bytes = readFileSync(output);
	const again = await run(commandOf(input, output, ...KILLED_MODEL));
	assert.equal(again.code, 0, again.stderr);
	assert.deepEqual(readFileSync(output), bytes, "nothing was left to do");
});

test("Ctrl-C ends with 130, whole lines and no lock; the rest is done later, as by another name of the model", async () => {
	const input = writeInput("interrupted.jsonl", 400);
	const output = join(folder, "interrupted-out.jsonl");
	const flags = ["--max-num-seqs", "2", "--served-model-name", "gpt"];
	const running = start(commandOf(input, output, ...flags));
	const isEnded = running.ended.then(() => true);
	while (!existsSync(output) || readFileSync(output).length === 0)
		if (await Promise.race([isEnded, sleep(5)])) break;
	running.process.kill("SIGINT");
	const { code, stderr } = await running.ended;
	assert.deepEqual([code, /error/.test(stderr)], [130, false], stderr);
	assert.ok(!existsSync(`${output}.lock`));
	const numBefore = recordsOf(output).length;
	assert.ok(numBefore > 0 && numBefore < 400, `${numBefore}`);
	const rest = await run(
		commandOf(input, output, "--served-model-name", "gpt"),
	);
	assert.match(
		rest.stderr,
		new RegExp(`${400 - numBefore} lines? done · ${numBefore} before`),
	);
	assert.equal(answersOf(output).size, 400);
	const body = recordsOf(output)[0].response?.body as { model: string };
	assert.equal(body.model, "gpt");
});

test("another input, model or seed is refused, and the output left as it is; an errors file that was lost is made again", async () => {
	const input = writeInput(
		"one.jsonl",
		3,
		'{"custom_id":"bad","method":"PUT"}\n',
	);
	const other = writeInput("two.jsonl", 4);
	const output = join(folder, "owned.jsonl");
	assert.equal((await run(commandOf(input, output))).code, 0);
	const bytes = readFileSync(output);
	const errors = readFileSync(`${output}.errors.jsonl`);
	writeFileSync(`${output}.errors.jsonl`, "");
	const refused = await Promise.all([
		run(commandOf(other, output)),
		run(commandOf(input, output, "-m", "demo-model")),
	]);
	refused.push(await run(commandOf(input, output, "--seed", "5")));
	for (const { code, stderr } of refused) {
		assert.equal(code, 1);
		assert.match(
			stderr,
			/error \[invalid_option\]: .*owned\.jsonl(, line 1, was not written for| is being written)/,
		);
	}
	assert.deepEqual(readFileSync(output), bytes);
	assert.equal((await run(commandOf(input, output))).code, 0);
	assert.deepEqual(readFileSync(`${output}.errors.jsonl`), errors);
});

test("files that cannot be read or written end with one line and code 1, before the model is loaded", async () => {
	const input = writeInput("few.jsonl", 2);
	const sealed = join(folder, "sealed");
	mkdirSync(sealed);
	chmodSync(sealed, 0o500);
	const cases: [args: string[], message: RegExp][] = [
		[
			commandOf(input, join(folder, "absent", "out.jsonl")),
			/\[output_failed\].*ENOENT.*it goes on from there/,
		],
		[commandOf(input, folder), /\[output_failed\].*EISDIR/],
		[
			commandOf(join(folder, "absent.jsonl"), join(folder, "o")),
			/\[invalid_option\].*absent\.jsonl could not be read \(ENOENT\)/,
		],
		[
			commandOf("/dev/null", join(folder, "o")),
			/\[invalid_option\].*not a regular file/,
		],
		[commandOf(input, input), /must be three files/],
		[
			["run-batch", "-i", input],
			/\[invalid_option\]: required option '-o, --output-file/,
		],
	];
	// A read-only folder stops nobody who may do everything.
	if (process.getuid?.() !== 0)
		cases.push([
			commandOf(input, join(sealed, "out.jsonl")),
			/\[output_failed\].*EACCES/,
		]);
	const all = await Promise.all(cases.map(([args]) => run(args)));
	for (const [i, { code, stderr }] of all.entries()) {
		assert.equal(code, 1, stderr);
		assert.match(stderr, cases[i][1]);
		assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
	}
	chmodSync(sealed, 0o700);
});

test("a full disk is said so, and what did not fit is not left behind", async (t) => {
	if (!existsSync("/dev/full")) return t.skip("no /dev/full here");
	const file = await GrowingFile.open("/dev/full");
	await assert.rejects(file.append("text\n"), {
		code: "output_failed",
		message: /ENOSPC: the disk is full\)\. Mend that and start again/,
	});
	await file.close();

	const input = writeInput("full.jsonl", 4, "{\n");
	const output = join(folder, "full-out.jsonl");
	const full = await run(
		commandOf(input, output, "--errors-file", "/dev/full"),
	);
	assert.equal(full.code, 1);
	assert.match(full.stderr, /error \[output_failed\]: \/dev\/full .*ENOSPC/);
	const mended = await run(commandOf(input, output));
	assert.equal(mended.code, 0, mended.stderr);
	assert.equal(answersOf(output).size, 4);
	assert.equal(recordsOf(`${output}.errors.jsonl`).length, 1);
});

test("one process writes: a second is refused, a dead one's lock is taken over", async () => {
	const path = join(folder, "locked.jsonl");
	const lock = `${path}.lock`;
	const release = await lockFile(path);
	const holder = readFileSync(lock, "utf8");
	release();
	assert.ok(!existsSync(lock));
	const dead = start(["--version"]);
	await dead.ended;
	const parent = holder.replace(/^\d+/, `${process.ppid}`);
	const rows: [text: string, ageS: number, isHeld: boolean][] = [
		[parent, 500, true],
		["7 elsewhere\n", 5, true],
		["7 elsewhere\n", 100, false],
		[holder.replace(/^\d+/, `${dead.process.pid}`), 0, false],
		[holder, 0, false],
	];
	for (const [text, ageS, isHeld] of rows) {
		writeFileSync(lock, text);
		const then = Date.now() / 1000 - ageS;
		utimesSync(lock, then, then);
		if (isHeld)
			await assert.rejects(lockFile(path), {
				code: "invalid_option",
				message: new RegExp(`by process ${text.trim()}\\. Let it end`),
			});
		else (await lockFile(path))();
	}
});

test("progress: how far, how fast, how long it will take", () => {
	const progress = {
		numLines: 1500,
		numEarlier: 500,
		numDone: 1000,
		numFailed: 3,
		numInFlight: 64,
		maxInFlight: 80,
	};
	const tokens = { numPromptTokens: 9, numGenerationTokens: 20_000 };
	assert.equal(
		progressLine(progress, 5000, tokens, 60_000),
		"1,500 of 5,000 lines · 3 failed · 64 in flight · 333 output tok/s · 4 min left",
	);
	const none = { ...progress, numDone: 0, numFailed: 0 };
	assert.match(progressLine(none, 5000, tokens, 10), /· - left$/);
	assert.match(progressLine(progress, 5000, tokens, 6e6), /· 5 h 50 min left$/);
});
