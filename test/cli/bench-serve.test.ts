/** bench serve as a process against a server in this one: figures that add up, loops open and closed, errors that are counted. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { distributionOf, generateLoad } from "../../src/cli/load-generator.ts";
import { serve } from "../server/serving.ts";
import { randomSource } from "../support/random.ts";
import { loadText } from "../support/text-model.ts";
import { run, temporaryFolder } from "./command-line.ts";

const json = join(temporaryFolder(), "figures.json");

test("closed and open loop: exactly the tokens asked for, times in order", async () => {
	await using llm = await loadText();
	const { url } = await serve(llm, { apiKey: ["k"] });
	const base = [
		"bench",
		"serve",
		"--base-url",
		url,
		"--num-prompts",
		"12",
		"--input-len",
		"3:9",
		"--output-len",
		"5",
		"--max-token-id",
		"900",
		"--json",
		json,
	];
	for (const loop of [
		["--max-concurrency", "4"],
		["--request-rate", "100"],
	]) {
		const { code, stdout, stderr } = await run([...base, ...loop], "", {
			NANO_VLLM_API_KEY: "k",
		});
		assert.equal(code, 0, stderr);
		assert.match(stdout, /requests +12\nfailed +0\n/);
		const figures = JSON.parse(readFileSync(json, "utf8"));
		assert.deepEqual(
			[figures.requests, figures.failedRequests, figures.outputTokens],
			[12, 0, 60],
		);
		assert.ok(
			Math.abs(figures.outputTokensPerSecond * figures.seconds - 60) < 1e-6,
		);
		for (const name of [
			"timeToFirstTokenMs",
			"timePerOutputTokenMs",
			"interTokenLatencyMs",
			"endToEndMs",
		]) {
			const { p50, p90, p99, max } = figures[name];
			assert.ok(p50 <= p90 && p90 <= p99 && p99 <= max, name);
		}
		assert.ok(figures.timeToFirstTokenMs.p50 < figures.endToEndMs.p50);
	}
	const refused = await run([...base, "--model", "other"], "", {
		NANO_VLLM_API_KEY: "k",
	});
	assert.match(
		refused.stdout,
		/failed +12\nfirst error +404: .*model_not_found/,
	);
});

test("no server, no key, wrong flags: one line that says so", async () => {
	const base = ["bench", "serve", "--base-url"];
	for (const [args, wanted] of [
		[["http://127.0.0.1:9"], /Is a server running there/],
		[["nonsense"], /--base-url must be like/],
		[
			["http://127.0.0.1:9", "--request-rate", "0"],
			/--request-rate must be above 0/,
		],
	] as const) {
		const { code, stderr } = await run([...base, ...args]);
		assert.equal(code, 1);
		assert.match(stderr, wanted);
	}
});

test("the open loop keeps its rate whatever answers take; the closed one its number", async () => {
	const { uniform } = randomSource(4);
	const shape = { random: uniform, signal: new AbortController().signal };
	const never = new Promise<void>((resolve) => setTimeout(resolve, 300));
	let started = 0;
	const begin = performance.now();
	const open = generateLoad(
		50,
		{ ...shape, requestRate: 500, maxConcurrency: Infinity },
		() => {
			started++;
			return never;
		},
	);
	await open;
	assert.equal(started, 50);
	assert.ok(performance.now() - begin < 2000);
	let running = 0;
	let most = 0;
	await generateLoad(
		20,
		{ ...shape, requestRate: Infinity, maxConcurrency: 3 },
		async () => {
			most = Math.max(most, ++running);
			await new Promise((resolve) => setTimeout(resolve, 2));
			running--;
		},
	);
	assert.equal(most, 3);
});

test("percentiles by the nearest rank", () => {
	assert.equal(distributionOf([]), null);
	const values = Array.from({ length: 100 }, (_, i) => 100 - i);
	assert.deepEqual(distributionOf(values), {
		mean: 50.5,
		p50: 50,
		p90: 90,
		p99: 99,
		max: 100,
	});
	assert.equal(distributionOf([7])?.p50, 7);
});
