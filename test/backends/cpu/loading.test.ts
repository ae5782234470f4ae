/** Weights and memory of the CPU backend: mixed types, quantization, odd shapes, progress, and refusals that name the numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type {
	TensorDtype,
	WeightSource,
} from "../../../src/backends/backend.ts";
import { layOut, WASM_MEMORY_BYTES } from "../../../src/backends/cpu/layout.ts";
import { type Program, weightsOf } from "../../../src/backends/program.ts";
import { referenceBackend } from "../../../src/backends/reference/backend.ts";
import { NanoVllmError } from "../../../src/errors.ts";
import { LLM, type LoadOptions } from "../../../src/llm.ts";
import { platform } from "../../../src/platform/node.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openSafetensors } from "../../../src/weights/safetensors.ts";
import { fileMap, type ModelFiles } from "../../../src/weights/source.ts";
import { StepWriter } from "../../support/backend-steps.ts";
import { emptyGguf } from "../../support/gguf-files.ts";
import {
	type TensorToWrite,
	writeSafetensors,
} from "../../support/safetensors-writer.ts";
import { type QuantizedFormat, quantizedSource } from "./plain-quantization.ts";
import {
	compileCpu,
	configOnly,
	dummiesOf,
	goldenCheckpoint,
	greedy,
	LIMITS,
	programOf,
	tinyConfig,
} from "./tiny-model.ts";

/** A golden checkpoint written anew: its tensors as `over` gives them, in the types `dtypeOf` names. */
async function rewritten(
	name: string,
	over: (source: WeightSource<TensorDtype>) => WeightSource<TensorDtype>,
	dtypeOf: (tensor: string) => TensorDtype | null = () => null,
): Promise<ModelFiles> {
	const files = await platform.localFiles(goldenCheckpoint(name).folder);
	const source = over(await openSafetensors(files));
	const tensors: Record<string, TensorToWrite> = {};
	for (const [tensor, { dtype, shape }] of source.tensors) {
		const bytes = await source.read(tensor, 0, shape[0]);
		const data = toFloat32(bytes, dtype).slice();
		tensors[tensor] = { dtype: dtypeOf(tensor) ?? dtype, shape, data };
	}
	await source.close();
	const config = (await files.readText("config.json")) ?? "";
	return fileMap(
		name,
		new Map([
			["config.json", new TextEncoder().encode(config)],
			["model.safetensors", writeSafetensors(tensors)],
		]),
	);
}

/** Largest difference of the golden prompts' logprobs between the cpu's and the reference's. */
async function largestDifference(
	name: string,
	onCpu: ModelFiles | string,
	onReference: ModelFiles | string,
	options: LoadOptions = {},
): Promise<number> {
	const prompts = goldenCheckpoint(name).cases.map((c) => c.promptTokenIds);
	const run = async (files: ModelFiles | string, load: LoadOptions) => {
		await using llm = await LLM.load(files, {
			skipTokenizerInit: true,
			...load,
		});
		return (await greedy(llm, prompts, 1)).flatMap((it) => it.promptLogprobs);
	};
	const cpu = { device: "cpu", threads: 2, kvCacheDtype: "f32" } as const;
	const got = await run(onCpu, { ...cpu, ...options });
	const want = await run(onReference, { device: "reference" });
	assert.equal(got.length, want.length);
	let worst = 0;
	for (const [i, value] of got.entries())
		worst = Math.max(worst, Math.abs((value ?? 0) - (want[i] ?? 0)));
	return worst;
}

/** Of activations rounded to 8 bits. */
const ROUNDING_BOUND = 0.7;
for (const quantization of ["q8_0", "q4_0"] as const)
	test(`${quantization} through LLM.load: the reference's results over weights quantized by ggml's formulas`, async (t) => {
		const name = "bf16-group3";
		const { folder } = goldenCheckpoint(name);
		const formatOf = (tensor: string): QuantizedFormat =>
			tensor.includes("embed_tokens") ? "q8_0" : quantization;
		const asUsed = await rewritten(name, (source) =>
			quantizedSource(source, formatOf),
		);
		const options = { quantization };
		const near = await largestDifference(name, folder, asUsed, options);
		const far = await largestDifference(name, folder, folder, options);
		t.diagnostic(
			`largest difference ${near.toExponential(1)}; from the weights as stored ${far.toExponential(1)}`,
		);
		assert.ok(near <= ROUNDING_BOUND, `${near}`);
		assert.ok(far > 2 * near, "what quantization itself changes is more");
	});

test("parts of one weight in different types lose nothing", async () => {
	const name = "deep-group2";
	const types: [RegExp, TensorDtype][] = [
		[/q_proj|up_proj|down_proj/, "f16"],
		[/k_proj|o_proj/, "bf16"],
		[/embed_tokens/, "bf16"],
	];
	const mixed = await rewritten(
		name,
		(source) => source,
		(tensor) => types.find(([pattern]) => pattern.test(tensor))?.[1] ?? "f32",
	);
	const difference = await largestDifference(name, mixed, mixed);
	assert.ok(difference < 1e-4, `${difference}`);
});

for (const dtype of ["f16", "bf16"] as const)
	test(`dtype ${dtype} rounds weights of other types as the checkpoint of that type would be`, async () => {
		const name = "tied-group2";
		const { folder } = goldenCheckpoint(name);
		const narrow = await rewritten(
			name,
			(source) => source,
			(tensor) => (tensor.endsWith("norm.weight") ? "f32" : dtype),
		);
		const difference = await largestDifference(name, folder, narrow, { dtype });
		assert.ok(difference < 1e-4, `${difference}`);
	});

test("dtype f16 refuses weights it cannot hold", async () => {
	const name = "tied-group2";
	const model = await rewritten(name, (source) => ({
		...source,
		async read(tensor, start, end) {
			const bytes = await source.read(tensor, start, end);
			if (!tensor.includes("1.mlp.down_proj")) return bytes;
			const values = toFloat32(bytes, "f32").slice();
			values[values.length - 1] = -65_520;
			return new Uint8Array(values.buffer);
		},
	}));
	const load = (dtype: "f16" | "f32") =>
		LLM.load(model, { device: "cpu", dtype, skipTokenizerInit: true });
	await assert.rejects(load("f16"), (error) => {
		assert.ok(error instanceof NanoVllmError, String(error));
		assert.equal(error.code, "unsupported_dtype");
		assert.match(error.message, /layers\.1\.down_proj .*65,504/);
		return true;
	});
	await (await load("f32")).close();
});

test("more rows than the staging area holds at once, of fewer columns than a block", async () => {
	const config = tinyConfig({
		vocab_size: 150_001,
		hidden_size: 8,
		intermediate_size: 3,
		num_hidden_layers: 1,
		num_attention_heads: 1,
		num_key_value_heads: 1,
	});
	const program = programOf(config);
	const source = dummiesOf(program);
	const asUsed = quantizedSource(source, () => "q8_0");
	const options = { limits: LIMITS, kvCacheDtype: "auto" as const };
	const wanted = await referenceBackend.compile(program, asUsed, options);
	const executable = await compileCpu(program, { quantization: "q8_0" });
	try {
		const { vocabSize: vocab } = program;
		const steps = new StepWriter({ ...LIMITS, vocab, numBlocks: 8, seed: 2 });
		const { input } = steps.next(1);
		input.tokenIds[0] = vocab - 1;
		input.sampling.logprobEntries[0] = 2 ** 31 - 1;
		const [got, want] = [executable, wanted].map((it) =>
			it.submit(structuredClone(input)),
		);
		const [a, b] = [await got, await want].map(({ logprobs }) => {
			const row = new Float32Array(vocab);
			logprobs?.tokenIds.forEach((id, i) => {
				row[id] = logprobs.logprobs[i];
			});
			return row;
		});
		let worst = 0;
		for (let id = 0; id < vocab; id++)
			worst = Math.max(worst, Math.abs(a[id] - b[id]));
		assert.ok(b[0] < 0 && worst < 0.05, `${worst}`);
	} finally {
		await executable.close();
	}
});

/** The program with gate and up in one tensor, as some checkpoints have them. */
function fused(program: Program): Program {
	const ops = program.ops.map((op) => {
		if (op.op !== "normGatedLinear") return op;
		const [rows] = op.weight.shape;
		const parts = [{ tensor: `${op.weight.name}.weight`, rows }];
		return { ...op, weight: { ...op.weight, parts } };
	});
	return { ...program, ops };
}

test("matrices that are read in several chunks, the middle of gate and up in one of them", async () => {
	const config = tinyConfig({
		hidden_size: 520,
		intermediate_size: 2111,
		num_hidden_layers: 1,
	});
	for (const program of [programOf(config), fused(programOf(config))]) {
		const source = () => dummiesOf(program, 4, "f32");
		const options = { limits: LIMITS, kvCacheDtype: "auto" as const };
		const wanted = await referenceBackend.compile(program, source(), options);
		const executable = await compileCpu(program, {}, {}, source());
		const { vocabSize: vocab } = program;
		const steps = new StepWriter({ ...LIMITS, vocab, numBlocks: 16, seed: 3 });
		const { input } = steps.next(6);
		input.sampling.logprobEntries.fill(1);
		const [got, want] = await Promise.all(
			[executable, wanted].map((it) => it.submit(structuredClone(input))),
		);
		await executable.close();
		assert.ok(want.logprobs && want.logprobs.tokenIds.length > 0);
		assert.deepEqual(got.tokenIds, want.tokenIds);
		for (const [i, value] of want.logprobs.logprobs.entries())
			assert.ok(Math.abs((got.logprobs?.logprobs[i] ?? 0) - value) < 1e-4);
	}
});

test("progress counts up to the total, in every format", async () => {
	const program = programOf(tinyConfig());
	for (const quantization of [null, "q8_0", "q4_0"] as const) {
		const seen: [number, number][] = [];
		const onProgress = (loaded: number, total: number) =>
			seen.push([loaded, total]);
		const cpu = { quantization, threads: 1 };
		await (await compileCpu(program, cpu, { onProgress })).close();
		assert.ok(seen.length >= weightsOf(program).length);
		for (const [i, [loaded, total]] of seen.entries()) {
			assert.equal(total, seen[0][1]);
			assert.ok(loaded > (seen[i - 1]?.[0] ?? 0));
		}
		const [loaded, total] = seen[seen.length - 1];
		assert.equal(loaded, total, `${quantization ?? "as stored"}`);
	}
});

test("a load that is aborted stops between two weights", async () => {
	const program = programOf(tinyConfig());
	const controller = new AbortController();
	const onProgress = () => controller.abort(new Error("enough"));
	const { signal } = controller;
	const loading = compileCpu(program, {}, { signal, onProgress });
	await assert.rejects(loading, /enough/);
});

const noMemory = (pattern: RegExp) => (error: unknown) => {
	assert.ok(error instanceof NanoVllmError, String(error));
	assert.equal(error.code, "out_of_memory");
	assert.match(error.message, pattern);
	return true;
};

test("weights beyond a WebAssembly memory are refused by their size, before anything is allocated", async () => {
	const huge = new URL("../../../bench/configs/qwen3-8b", import.meta.url);
	const load = (options: LoadOptions) =>
		LLM.load(huge.pathname, {
			device: "cpu",
			loadFormat: "dummy",
			skipTokenizerInit: true,
			...options,
		});
	const before = process.memoryUsage().rss;
	const start = performance.now();
	// 8.19 G parameters in 2 bytes; in 34/32 bytes.
	await assert.rejects(
		load({}),
		noMemory(/weights take 156\d\d MiB .*4096 MiB/),
	);
	const quantization = "q8_0";
	const message = /weights take 8[23]\d\d MiB .*4096 MiB/;
	await assert.rejects(load({ quantization }), noMemory(message));
	assert.ok(performance.now() - start < 2000, "refused at once");
	const grown = process.memoryUsage().rss - before;
	assert.ok(grown < 200 * 2 ** 20, `the process grew by ${grown} bytes`);
});

test("a cache larger than what is left, or smaller than a block, is refused with both numbers", async () => {
	const config = tinyConfig({ max_position_embeddings: 2 ** 20 });
	const load = (kvCacheMemoryBytes: number) =>
		LLM.load(configOnly(config), {
			device: "cpu",
			loadFormat: "dummy",
			skipTokenizerInit: true,
			kvCacheMemoryBytes,
		});
	await assert.rejects(
		load(2 ** 33),
		noMemory(/8589934592.*has room for \d{10}/),
	);
	// 2 layers, K and V, 2 heads of 8 elements stored as 16, 2 bytes, 16 tokens.
	await assert.rejects(
		load(100),
		noMemory(/is 100, one block of 16 tokens takes 4096/),
	);
});

test("the room a refusal names is there", () => {
	const program = programOf(tinyConfig());
	const limits = { ...LIMITS, maxModelLen: 2 ** 22, maxNumSeqs: 8 };
	const layOutWith = (kvCacheBytes: number) =>
		layOut(program, {
			limits: { ...limits, kvCacheBytes },
			numThreads: 3,
			cacheType: "f16",
			formatOf: () => "bf16",
		});
	let room = 0;
	assert.throws(
		() => layOutWith(2 ** 32),
		({ message }: Error) => {
			room = Number(/has room for (\d+)/.exec(message)?.[1]);
			return room > 2 ** 31;
		},
	);
	const layout = layOutWith(room);
	assert.ok(layout.memoryBytes <= WASM_MEMORY_BYTES, `${layout.memoryBytes}`);
	assert.ok(layout.kvCacheBytes > room - 2 ** 16, "and it is used");
	assert.throws(() => layOutWith(room + 1), /has room for/);
});

test("without a size the cache takes no more than all sequences could fill", async () => {
	const program = programOf(tinyConfig());
	const limits = { ...LIMITS, kvCacheBytes: null };
	const executable = await compileCpu(program, { threads: 1 }, { limits });
	const { maxNumSeqs, maxModelLen, blockSize } = limits;
	assert.equal(executable.numBlocks, (maxNumSeqs * maxModelLen) / blockSize);
	await executable.close();
});

test("a GGUF that grows beyond the memory is told which quantization fits, and what it takes", async () => {
	const config = {
		...tinyConfig(),
		...{ vocab_size: 512, hidden_size: 2560, intermediate_size: 9728 },
		...{ num_attention_heads: 32, num_key_value_heads: 8, head_dim: 128 },
	};
	const load = async (numLayers: number) => {
		const sized = { ...config, num_hidden_layers: numLayers };
		await using model = await emptyGguf(sized, "q4_k");
		return await LLM.load(model.path, {
			device: "cpu",
			skipTokenizerInit: true,
			threads: 1,
		});
	};
	// 97 M parameters a layer: 3.5 G in two bytes, in 34/32 and 18/32.
	await assert.rejects(
		load(36),
		noMemory(
			/weights take 69\d\d MiB .*the file has in q4_k are kept in f16.* It fits with quantization "q8_0" \(weights of 36\d\d MiB\) or quantization "q4_0" \(weights of 19\d\d MiB\)\.$/,
		),
	);
	await assert.rejects(
		load(60),
		noMemory(/It fits with quantization "q4_0" \(weights of 32\d\d MiB\)\.$/),
	);
	await assert.rejects(
		load(90),
		noMemory(/"q4_0" \(weights of 4\d\d\d MiB\) does not make it fit either\./),
	);
});
