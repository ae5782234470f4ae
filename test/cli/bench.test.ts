/** bench as a process: the fields scripts read, and figures that add up. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { KernelRow as Row } from "../../src/backends/kernel-bench.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { DUMMY, run, temporaryFolder, writeModel } from "./command-line.ts";

const folder = temporaryFolder();
mkdirSync(join(folder, "config-only"));
const model = writeModel(join(folder, "config-only"), { tokenizer: false });
const json = (name: string) => join(folder, name);
const read = (name: string) => JSON.parse(readFileSync(json(name), "utf8"));
const near = (a: number, b: number) =>
	assert.ok(Math.abs(a / b - 1) < 1e-6, `${a} = ${b}`);

test("throughput: exactly the tokens asked for, from a config.json alone", async () => {
	const workload = json("workload.json");
	writeFileSync(
		workload,
		JSON.stringify({
			requests: [
				[20, 7],
				[3, 1],
				[40, 12],
			],
		}),
	);
	const args = ["bench", "throughput", model, ...DUMMY, "--workload", workload];
	const { code, stdout, stderr } = await run([
		...args,
		"--json",
		json("a.json"),
	]);
	assert.equal(code, 0, stderr);
	assert.match(stdout, /^requests +3\nprompt tokens +63\noutput tokens +20\n/);
	const figures = read("a.json");
	assert.deepEqual(Object.keys(figures).sort(), [
		"device",
		"model",
		"outputTokens",
		"outputTokensPerSecond",
		"peakRssBytes",
		"promptTokens",
		"requests",
		"seconds",
		"totalTokensPerSecond",
	]);
	assert.equal(figures.model, "config-only");
	assert.deepEqual(
		[figures.requests, figures.promptTokens, figures.outputTokens],
		[3, 63, 20],
	);
	near(figures.outputTokensPerSecond, 20 / figures.seconds);
	near(figures.totalTokensPerSecond, 83 / figures.seconds);
	assert.ok(figures.peakRssBytes > 2 ** 20);
});

test("throughput: the seed decides the lengths, which keep to their ranges", async () => {
	const args = [
		"bench",
		"throughput",
		"--model",
		model,
		...DUMMY,
		"--num-prompts",
		"5",
		"--input-len",
		"4:9",
		"--output-len",
		"3",
		"--num-warmup",
		"0",
	];
	const seeds = ["7", "7", "8"];
	await Promise.all(
		seeds.map((seed, i) =>
			run([...args, "--seed", seed, "--json", json(`s${i}.json`)]),
		),
	);
	const [a, b, c] = seeds.map((_, i) => read(`s${i}.json`));
	assert.equal(a.outputTokens, 15);
	assert.ok(a.promptTokens >= 20 && a.promptTokens <= 45);
	assert.equal(a.promptTokens, b.promptTokens);
	assert.notEqual(a.promptTokens, c.promptTokens);
});

test("latency: prefill and decode apart, and they add up", async () => {
	const args = [
		"bench",
		"latency",
		model,
		...DUMMY,
		"--batch-size",
		"3",
		"--input-len",
		"30",
		"--output-len",
		"9",
		"--num-iters",
		"1",
	];
	const { code, stdout, stderr } = await run([
		...args,
		"--json",
		json("l.json"),
	]);
	assert.equal(code, 0, stderr);
	assert.match(stdout, /3 × 30 \+ 9/);
	const figures = read("l.json");
	assert.deepEqual(
		[figures.batchSize, figures.inputLen, figures.outputLen],
		[3, 30, 9],
	);
	near(
		figures.prefillTokensPerSecond,
		(1000 * 90) / figures.timeToFirstTokenMs,
	);
	near(figures.decodeTokensPerSecond, 3000 / figures.timePerOutputTokenMs);
	near(
		figures.endToEndMs,
		figures.timeToFirstTokenMs + 8 * figures.timePerOutputTokenMs,
	);
});

test("kernels: what the device can do, then the kernels asked for as shares of it", async () => {
	const { code, stdout, stderr } = await run([
		...["bench", "kernels", "--device", "cpu", "--threads", "2"],
		...["--only", "linear,sampler", "--formats", "q8_0,f32"],
		...["--shapes", "o,qkv", "--tokens", "1,5", "--sample-ms", "1"],
		...["--json", json("k.json")],
	]);
	assert.equal(code, 0, stderr);
	assert.match(stderr, /cpu, 2 threads/);
	assert.match(stdout, /^memory reads +[\d.,]+ GB\/s\n/);
	assert.match(stdout, /\nqkv +q8_0 +5 /);
	const { device, about, host, ceilings, rows } = read("k.json");
	assert.equal(device, "cpu");
	assert.match(about, /2 threads/);
	assert.match(host, /Node v/);
	const { bytesPerSecond, peaks } = ceilings;
	assert.ok(bytesPerSecond > 0 && peaks.length > 0);
	assert.deepEqual(
		rows.slice(0, 8).map((row: Row) => [row.kernel, row.format, row.tokens]),
		["q8_0", "f32"].flatMap((format) =>
			["qkv", "o"].flatMap((name) => [
				[name, format, 1],
				[name, format, 5],
			]),
		),
	);
	for (const row of rows as Row[]) {
		assert.ok(row.us > 0);
		near(row.shareOfRead, row.bytesPerSecond / bytesPerSecond);
		if (row.kernel.startsWith("sampler")) {
			assert.deepEqual([row.flopsPerSecond, row.shareOfPeak], [null, null]);
			continue;
		}
		const weights = row.kernel === "o" ? 2048 * 1024 : 1024 * 4096;
		near(row.flopsPerSecond ?? 0, (2e6 * weights * row.tokens) / row.us);
		const peak = (row.flopsPerSecond ?? 0) / (row.shareOfPeak ?? 0);
		assert.ok(
			peaks.some((p: { flopsPerSecond: number }) => {
				return Math.abs(p.flopsPerSecond / peak - 1) < 1e-6;
			}),
		);
	}
});

test("kernels of device webgpu: each format it keeps, as shares of what it reads and multiplies", async () => {
	const { code, stdout, stderr } = await run([
		...["bench", "kernels", "--device", "webgpu", "--only", "linear"],
		...["--formats", "bf16,f16,q8_0,q4_0,f32", "--shapes", "o"],
		...["--tokens", "1,9", "--sample-ms", "1", "--json", json("g.json")],
	]);
	assert.equal(code, 0, stderr);
	assert.match(stderr, /webgpu, .*bf16 is kept as f16/);
	assert.match(stdout, /^memory reads +[\d.,]+ GB\/s\nf32 multiply-add /);
	const { device, ceilings, rows } = read("g.json");
	assert.equal(device, "webgpu");
	assert.deepEqual(
		rows.map((row: Row) => [row.kernel, row.format, row.tokens]),
		["f16", "q8_0", "q4_0", "f32"].flatMap((format) => [
			["o", format, 1],
			["o", format, 9],
		]),
	);
	for (const row of rows as Row[]) {
		assert.ok(row.us > 0);
		near(row.shareOfRead, row.bytesPerSecond / ceilings.bytesPerSecond);
		near(row.flopsPerSecond ?? 0, (2e6 * 2048 * 1024 * row.tokens) / row.us);
	}
});

test("kernels: names that are none, and choices that leave nothing, are told", async () => {
	const failures: [string[], RegExp][] = [
		[["--formats", "q9_0"], /q9_0 is none of bf16, f16, f32, q8_0, q4_0/],
		[["--only", "sampler,gemm"], /gemm is none of linear, attention, sampler/],
		[["--shapes", "mlp"], /mlp is none of qkv, o, gate_up, down, lm_head/],
		[
			["--tokens", "1,0"],
			/'1,0' is invalid\. Wanted a whole number of at least 1/,
		],
		[["--device", "tpu"], /Allowed choices are cpu, webgpu/],
		[
			["--only", "linear", "--shapes", "lm_head", "--formats", "q4_0"],
			/leave nothing to measure/,
		],
	];
	await Promise.all(
		failures.map(async ([args, message]) => {
			const { code, stderr } = await run(["bench", "kernels", ...args]);
			assert.equal(code, 1);
			assert.match(stderr, /^error \[invalid_option\]: /);
			assert.match(stderr, message);
		}),
	);
});

test("the published shapes are configs the library reads, with the published number of parameters", () => {
	const billions = {
		"qwen3-0.6b": 0.596,
		"qwen3-1.7b": 1.721,
		"qwen3-4b": 4.022,
		"qwen3-8b": 8.191,
	};
	for (const [name, expected] of Object.entries(billions)) {
		const file = join(
			import.meta.dirname,
			"../../bench/configs",
			name,
			"config.json",
		);
		const c = parseModelConfig(JSON.parse(readFileSync(file, "utf8")));
		const attention = 2 * (c.numHeads + c.numKvHeads) * c.headDim;
		const layer = c.hiddenSize * (attention + 3 * c.intermediateSize);
		const embeddings =
			(c.tieWordEmbeddings ? 1 : 2) * c.vocabSize * c.hiddenSize;
		const count = (embeddings + c.numLayers * layer) / 1e9;
		assert.ok(Math.abs(count - expected) < 0.001, `${name}: ${count}`);
	}
});
