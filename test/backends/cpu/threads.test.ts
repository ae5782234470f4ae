/** The compute threads: their number changes nothing, their death is told, and they keep no process alive. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import { NanoVllmError } from "../../../src/errors.ts";
import { LLM } from "../../../src/llm.ts";
import { platform } from "../../../src/platform/node.ts";
import type { Platform } from "../../../src/platform/platform.ts";
import { StepWriter } from "../../support/backend-steps.ts";
import { FAMILIES } from "../../support/feature-cases.ts";
import { featureProgram } from "../../support/feature-program.ts";
import {
	compileCpu,
	configOnly,
	goldenCheckpoint,
	greedy,
	LIMITS,
	programOf,
	tinyConfig,
} from "./tiny-model.ts";

/** Large enough that a step of 256 tokens takes a good part of a second. */
const SLOW_CONFIG = tinyConfig({
	vocab_size: 999,
	hidden_size: 512,
	intermediate_size: 2048,
	num_hidden_layers: 6,
	head_dim: 64,
	max_position_embeddings: 512,
});

const failed = (error: unknown) =>
	error instanceof NanoVllmError && error.code === "backend_failed";

/** The threads `work` starts. */
async function threadsOf<T>(work: () => Promise<T>) {
	const threads: Worker[] = [];
	const add = (worker: Worker) => threads.push(worker);
	process.on("worker", add);
	try {
		return { threads, result: await work() };
	} finally {
		process.off("worker", add);
	}
}

test("1 to 4 threads, and none where memory cannot be shared, give the same bits", async () => {
	const { folder, cases } = goldenCheckpoint("deep-group2");
	const prompts = cases.map(({ promptTokenIds }) => promptTokenIds);
	const run = async (threads: number) => {
		const { threads: started, result } = await threadsOf(() =>
			LLM.load(folder, { device: "cpu", threads, skipTokenizerInit: true }),
		);
		await using llm = result;
		return { numStarted: started.length, output: await greedy(llm, prompts) };
	};
	const one = await run(1);
	assert.equal(one.numStarted, 1);
	for (const threads of [2, 3, 4]) {
		const { numStarted, output } = await run(threads);
		assert.equal(numStarted, threads);
		assert.deepEqual(output, one.output, `${threads} threads`);
	}
	const scope = globalThis as { crossOriginIsolated?: boolean };
	scope.crossOriginIsolated = false;
	try {
		const { numStarted, output } = await run(4);
		assert.equal(numStarted, 0, "a page that is not isolated starts no thread");
		assert.deepEqual(output, one.output, "on the calling thread");
	} finally {
		delete scope.crossOriginIsolated;
	}
});

test("1, 2 and 3 threads give the features of all families the same bits", async () => {
	const limits = { maxModelLen: 256, maxNumSeqs: 8, maxNumBatchedTokens: 130 };
	for (const feature of FAMILIES) {
		const program = featureProgram(feature);
		const { vocab, blockSize } = feature;
		const all = { ...LIMITS, ...limits, blockSize, kvCacheBytes: 2 ** 24 };
		const numBlocks = all.maxNumSeqs * Math.ceil(all.maxModelLen / blockSize);
		const steps = new StepWriter({ ...all, vocab, numBlocks, seed: 7 });
		const inputs = [130, 5, 1].map((n) => steps.next(n).input);
		const run = async (threads: number, quantization: "q8_0" | null) => {
			const cpu = { threads, quantization };
			const executable = await compileCpu(program, cpu, { limits: all });
			const outputs = [];
			for (const input of inputs)
				outputs.push(await executable.submit(structuredClone(input)));
			await executable.close();
			return outputs;
		};
		for (const quantization of [null, "q8_0"] as const) {
			const one = await run(1, quantization);
			for (const threads of [2, 3])
				assert.deepEqual(await run(threads, quantization), one, feature.name);
		}
	}
});

test("a thread that is killed in mid-step fails what runs, and the model can be loaded again", {
	timeout: 60_000,
}, async () => {
	const load = () =>
		LLM.load(configOnly(SLOW_CONFIG), {
			device: "cpu",
			threads: 2,
			loadFormat: "dummy",
			skipTokenizerInit: true,
			maxNumSeqs: 8,
		});
	for (const victim of [0, 1]) {
		const { threads, result: llm } = await threadsOf(load);
		const prompt = { promptTokenIds: new Array(400).fill(7) };
		const running = llm.generate([prompt, prompt], { maxTokens: 50 });
		const outcome = assert.rejects(running, failed);
		await new Promise((resolve) => setTimeout(resolve, 40));
		await threads[victim].terminate();
		await outcome;
		await assert.rejects(
			llm.generate(prompt),
			failed,
			"nor does it start again",
		);
		await llm.close();
		for (const { threadId } of threads)
			assert.equal(threadId, -1, "no thread is left");
	}
	await using again = await load();
	const [{ outputs }] = await again.generate(
		{ promptTokenIds: [1, 2] },
		{ maxTokens: 3, ignoreEos: true },
	);
	assert.equal(outputs[0].tokenIds.length, 3);
});

test("a thread that throws in mid-step fails the step and every later one", {
	timeout: 60_000,
}, async () => {
	const program = programOf(tinyConfig());
	const { threads, result: executable } = await threadsOf(() =>
		compileCpu(program),
	);
	const { vocabSize: vocab } = program;
	const { numBlocks } = executable;
	const steps = new StepWriter({ ...LIMITS, vocab, numBlocks, seed: 1 });
	const { input } = steps.next(5);
	await executable.submit(structuredClone(input));
	const broken = structuredClone(input);
	// An embedding far outside of the memory: the kernel traps.
	broken.tokenIds.fill(2 ** 24);
	const [first, second] = [broken, input].map((it) => executable.submit(it));
	await assert.rejects(first, failed);
	await assert.rejects(second, failed);
	await assert.rejects(executable.submit(input), failed);
	await executable.close();
	for (const { threadId } of threads) assert.equal(threadId, -1);
});

test("close settles a step that is under way", {
	timeout: 60_000,
}, async () => {
	const program = programOf(SLOW_CONFIG);
	const limits = {
		...LIMITS,
		maxModelLen: 400,
		maxNumBatchedTokens: 400,
		kvCacheBytes: 2 ** 25,
	};
	const executable = await compileCpu(program, {}, { limits });
	const { vocabSize: vocab } = program;
	const { numBlocks } = executable;
	const steps = new StepWriter({ ...limits, vocab, numBlocks, seed: 1 });
	const step = executable.submit(steps.next(400).input);
	const outcome = assert.rejects(step, NanoVllmError);
	await executable.close();
	await outcome;
});

test("a thread that cannot start fails the load, and takes the others with it", {
	timeout: 60_000,
}, async () => {
	let numStarted = 0;
	const ended = new Set<number>();
	const crippled: Platform = {
		...platform,
		spawnWorker(module, data) {
			const index = numStarted++;
			// A worker without its module is what a wrong path or a full process gives.
			const nowhere = { ...module, url: new URL("./nowhere.ts", module.url) };
			const there = index === 2 ? nowhere : module;
			const worker = platform.spawnWorker(there, data);
			return {
				...worker,
				async terminate() {
					ended.add(index);
					await worker.terminate();
				},
			};
		},
	};
	const program = programOf(tinyConfig());
	const loading = compileCpu(program, { platform: crippled, threads: 4 });
	await assert.rejects(loading, failed);
	assert.deepEqual([numStarted, ended.size], [4, 4]);
});

const child = new URL("./child.ts", import.meta.url).pathname;
const inChild = async (...args: string[]) => {
	const { stdout } = await promisify(execFile)(
		process.execPath,
		[child, ...args],
		{ timeout: 15_000 },
	);
	return JSON.parse(stdout);
};

test("a process whose model is idle ends by itself; joined SIMD operations change no bit", async () => {
	const [plain, joined] = await Promise.all([
		inChild("idle", "plain"),
		inChild("idle", "joined"),
	]);
	assert.equal(plain.output.length, 2);
	assert.deepEqual(joined, plain);
	assert.deepEqual(await inChild("unused"), {});
});

test("a process whose thread was killed ends by itself too", async () => {
	assert.deepEqual(await inChild("killed"), { code: "backend_failed" });
});
