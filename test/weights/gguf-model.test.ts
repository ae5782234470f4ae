/** Models through LLM.load from GGUF: the golden answers, and in every type what a safetensors checkpoint of the same numbers answers. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { GgufTensor } from "../../bench/peers/gguf-writer.ts";
import type { BlockDtype } from "../../src/backends/backend.ts";
import type { CpuOptions } from "../../src/backends/cpu/backend.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { LLM, type LoadOptions } from "../../src/llm.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { platform } from "../../src/platform/node.ts";
import { openGguf } from "../../src/weights/gguf.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import {
	compileCpu,
	goldenCheckpoint,
	greedy,
} from "../backends/cpu/tiny-model.ts";
import {
	checkpointTensors,
	gguf,
	qwen3Metadata,
	u32,
} from "../support/gguf-files.ts";
import {
	answers,
	CONFIG,
	largestDifference,
	REFERENCE,
	twins,
} from "../support/gguf-twins.ts";
import {
	GOLDEN_LOAD,
	type GoldenCase,
	worstScore,
} from "../support/golden-case.ts";

const readConfig = async (files: ModelFiles) =>
	JSON.parse((await files.readText("config.json")) ?? "");

/** A golden checkpoint as one GGUF file. */
async function goldenGguf(name: string): Promise<Uint8Array> {
	const files = await platform.localFiles(goldenCheckpoint(name).folder);
	const source = await openSafetensors(files);
	const tensors = await checkpointTensors(source);
	await source.close();
	return gguf(qwen3Metadata(await readConfig(files)), tensors);
}

for (const name of ["bias-group8", "f16-head128", "tied-group2"])
	test(`${name} as GGUF: the golden tokens and logprobs`, async () => {
		const files = fileMap("d", new Map([["m.gguf", await goldenGguf(name)]]));
		await using llm = await LLM.load(files, {
			device: "reference",
			...GOLDEN_LOAD,
		});
		const cases = goldenCheckpoint(name).cases as unknown as GoldenCase[];
		const worst = await worstScore(llm, cases);
		assert.ok(worst < 1e-4, `${worst}`);
		const prompts = cases.map(({ promptTokenIds }) => promptTokenIds);
		for (const [i, { tokenIds }] of (await greedy(llm, prompts, 64)).entries())
			assert.deepEqual(tokenIds, cases[i].outputTokenIds);
	});

for (const type of ["q8_0", "q4_0", "q5_1", "q4_k", "q6_k", "mxfp4"] as const)
	test(`${type}: the reference answers as with the same numbers in f32, bit for bit`, async () => {
		const { gguf, safetensors } = twins(() => type);
		const got = await answers(gguf, REFERENCE);
		assert.deepEqual(got, await answers(safetensors, REFERENCE));
		assert.ok(new Set(got.flatMap((it) => it.logprobs)).size > 20);
	});

/** What llama.cpp calls Q4_K_M mixes types so, within one fused matrix too. */
const MIXED = (name: string): BlockDtype =>
	/v_proj|down_proj|lm_head/.test(name) ? "q6_k" : "q4_k";

const CPU = { device: "cpu", threads: 2, kvCacheDtype: "f32" } as const;

test("on the cpu device: other types as f16, mixed ones too; in f32 when asked for", async () => {
	const mixed = twins(MIXED);
	const half = await largestDifference(mixed, CPU);
	const full = await largestDifference(mixed, { ...CPU, dtype: "f32" });
	assert.ok(half < 0.02, `${half}`);
	assert.ok(full < 1e-3 && full < half, `${full}`);
});

for (const type of ["q8_0", "q4_0"] as const)
	test(`on the cpu device: ${type} stays as it is`, async (t) => {
		// Random blocks, which would change if they were quantized again: only the rounding of activations is left.
		const native = await largestDifference(
			twins(() => type),
			CPU,
		);
		t.diagnostic(`largest difference ${native}`);
		assert.ok(native < 0.15, `${native}`);
		const { gguf } = twins(() => type);
		const bytes = async (options: Partial<CpuOptions>) => {
			const { weights, close } = await openGguf(gguf, "m.gguf");
			const program = buildProgram(parseModelConfig(CONFIG), 64);
			const cpu = await compileCpu(program, options, {}, weights);
			await Promise.all([cpu.close(), close()]);
			return cpu.weightBytes;
		};
		const own = await bytes({});
		// Quantizing to q4_0 keeps the vocabulary's matrices at eight bits; a file that has them in q4_0 does not.
		assert.ok(own <= (await bytes({ quantization: type })));
		assert.ok(own < 0.6 * (await bytes({ dtype: "f16" })));
	});

test("quantization asked for: q4_0 where the file has q8_0", async () => {
	const eight = twins(() => "q8_0");
	const four = await largestDifference(eight, {
		...CPU,
		quantization: "q4_0",
	});
	assert.ok(four > (await largestDifference(eight, CPU)), `${four}`);
});

test("paths, folders, parts and formats", async () => {
	const { file, tensors } = twins(() => "q8_0");
	const folder = await mkdtemp(join(tmpdir(), "gguf-"));
	try {
		const want = await answers(
			fileMap("m", new Map([["m.gguf", file]])),
			REFERENCE,
		);
		const path = join(folder, "m.gguf");
		await writeFile(path, file);
		for (const [model, options] of [
			[path, {}],
			[path, { loadFormat: "gguf" }],
			[folder, {}],
			[folder, { loadFormat: "gguf" }],
		] as const)
			assert.deepEqual(
				await answers(model, { ...REFERENCE, ...options }),
				want,
			);
		const split = new Map(
			[0, 1].map((no) => [
				`s-0000${no + 1}-of-00002.gguf`,
				gguf(
					{
						...(no === 0 ? qwen3Metadata(CONFIG) : {}),
						"split.no": u32(no),
						"split.count": u32(2),
					},
					tensors.filter((_, i) => i % 2 === no),
				),
			]),
		);
		assert.deepEqual(await answers(fileMap("s", split), REFERENCE), want);
		const refused = (
			model: string | ModelFiles,
			options: LoadOptions,
			code: string,
			pattern: RegExp,
		) =>
			assert.rejects(answers(model, { ...REFERENCE, ...options }), (error) => {
				assert.ok(error instanceof NanoVllmError, String(error));
				assert.equal(error.code, code);
				assert.match(error.message, pattern);
				return true;
			});
		const safetensors = { loadFormat: "safetensors" } as const;
		await refused(path, safetensors, "invalid_option", /is a GGUF file/);
		await refused(folder, safetensors, "model_not_found", /no config\.json/);
		await refused(
			fileMap("e", new Map()),
			{ loadFormat: "gguf" },
			"model_not_found",
			/wanted a \*\.gguf/,
		);
		await writeFile(join(folder, "n.gguf"), file);
		await refused(folder, {}, "model_not_found", /one GGUF model, found 2/);
		await refused(
			path,
			{ skipTokenizerInit: false },
			"invalid_tokenizer",
			/tokenizer\.ggml\.model .*none.* skipTokenizerInit/,
		);
	} finally {
		await rm(folder, { recursive: true });
	}
});

test("tensors that are missing, of another shape, of a type nobody runs, or no numbers", async () => {
	const { tensors } = twins(() => "q8_0");
	const load = (changed: readonly GgufTensor[]) =>
		answers(
			fileMap("d", new Map([["m.gguf", gguf(qwen3Metadata(CONFIG), changed)]])),
			REFERENCE,
		);
	const change = (name: string, to: Partial<GgufTensor>) =>
		tensors.map((it) => (it.name === name ? { ...it, ...to } : it));
	const name = "blk.1.ffn_down.weight";
	const cases: [readonly GgufTensor[], string, RegExp][] = [
		[
			tensors.filter((it) => it.name !== name),
			"missing_tensor",
			/model\.layers\.1\.mlp\.down_proj\.weight/,
		],
		[
			change(name, {
				shape: [128, 256],
				data: (n) => [new Uint8Array(n)],
			}),
			"shape_mismatch",
			/wants shape \[256, 256\], the checkpoint has \[128, 256\]/,
		],
		[
			change(name, { type: "iq2_xxs", data: (n) => [new Uint8Array(n)] }),
			"unsupported_dtype",
			/blk\.1\.ffn_down\.weight.* of type iq2_xxs/,
		],
		[
			change(name, { data: (n) => [new Uint8Array(n).fill(0xff)] }),
			"nan_weights",
			/down_proj\.weight: element 0/,
		],
	];
	for (const [changed, code, message] of cases)
		await assert.rejects(load(changed), { code, message });
});
