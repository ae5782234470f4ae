/**
 * A job of three workers on a network of their own, while one is killed, one is cut off and comes back, and the broker is killed and
 * started again: complete, each id once, what an undisturbed run on one machine answers.
 * NANO_VLLM_CUT_SECONDS: how long the one is cut off (default 4), NANO_VLLM_CUT_REQUESTS: of how many requests.
 * NANO_VLLM_LOOPBACK=1: without network namespaces.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BatchRecord } from "../../src/batch/records.ts";
import {
	DUMMY,
	type Running,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "../cli/command-line.ts";
import { makeNetwork, type Place } from "./network.ts";
import { skip } from "./server.ts";

const CUT_SECONDS = Number(process.env.NANO_VLLM_CUT_SECONDS ?? 4);
/** More than is answered while one is cut off. */
const NUM_REQUESTS = Number(
	process.env.NANO_VLLM_CUT_REQUESTS ?? 320 + 120 * CUT_SECONDS,
);

const folder = temporaryFolder();
const model = writeModel(folder);
const input = join(folder, "in.jsonl");
writeFileSync(
	input,
	Array.from({ length: NUM_REQUESTS }, (_, i) => {
		const body = {
			prompt: `once ${i}`,
			max_tokens: 8 + (i % 17),
			temperature: 0,
		};
		const url = "/v1/completions";
		return `${JSON.stringify({ custom_id: `r${i}`, method: "POST", url, body })}\n`;
	}).join(""),
);

/** custom_id → its text and why it ended. */
function answersOf(path: string): Map<string | null, unknown> {
	const answers = new Map<string | null, unknown>();
	for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
		const { custom_id, response, error }: BatchRecord = JSON.parse(line);
		assert.ok(!answers.has(custom_id), `${custom_id} is there once`);
		const body = response?.body as { choices: unknown } | undefined;
		answers.set(custom_id, { choices: body?.choices, error });
	}
	return answers;
}

const startWorker = ({ url, prefix }: Place): Running =>
	start(
		["worker", "--nats", url, "-m", model, "--max-num-seqs", "4", ...DUMMY],
		{},
		prefix,
	);

const batch = (output: string, ...flags: string[]) => [
	"run-batch",
	...["-i", input, "-o", output, "-m", model],
	...flags,
];

test(`one of three workers killed, one cut off for ${CUT_SECONDS} s, the broker restarted: nothing lost, nothing twice`, {
	skip,
}, async (t) => {
	const { collectorUrl, kind, places, server } = await makeNetwork(3);
	t.diagnostic(`on ${kind}`);
	const calm = join(folder, "calm.jsonl");
	const undisturbed = await run(batch(calm, ...DUMMY));
	assert.equal(undisturbed.code, 0, undisturbed.stderr);

	const output = join(folder, "stormy.jsonl");
	const workers = places.map(startWorker);
	const [killed, cut, calmOne] = workers;
	const job = start(
		batch(output, "--load-format", "dummy", "--ack-wait", "2").concat(
			...["--nats", collectorUrl, "--job", "storm"],
		),
	);
	const isEnded = job.ended.then(() => true);
	const numAnswered = () =>
		existsSync(output)
			? readFileSync(output, "utf8").split("\n").length - 1
			: 0;
	const until = async (share: number) => {
		while (numAnswered() < share * NUM_REQUESTS)
			if (await Promise.race([isEnded, sleep(50)]))
				assert.fail(`ended early: ${(await job.ended).stderr}`);
	};
	await until(0.05);
	killed.process.kill("SIGKILL");
	await until(0.1);
	places[1].cut();
	const cutAt = performance.now();
	await until(0.15);
	await server.kill();
	await sleep(1000);
	await server.start();
	await sleep(CUT_SECONDS * 1000 - (performance.now() - cutAt));
	places[1].heal();
	t.diagnostic(
		`${numAnswered()} of ${NUM_REQUESTS} answered when it came back`,
	);
	const { code, stderr } = await job.ended;
	assert.equal(code, 0, stderr);
	assert.match(stderr, /NATS: connected again/);
	const [expected, answers] = [answersOf(calm), answersOf(output)];
	assert.equal(answers.size, NUM_REQUESTS);
	for (const [id, answer] of expected)
		assert.deepEqual(answers.get(id), answer);
	for (const { process } of [cut, calmOne]) process.kill("SIGTERM");
	const ends = await Promise.all([cut.ended, calmOne.ended]);
	for (const end of ends) {
		assert.equal(end.code, 0, end.stderr);
		assert.match(end.stderr, /[1-9][\d,]* requests? answered/);
	}
	t.diagnostic(ends.map((end) => end.stderr.split("\n").at(-2)).join(" · "));
});
