/**
 * Fifty thousand damaged headers of both formats: each opens or is a NanoVllmError, at once, and no read asks for more than the file has.
 * What is read in all is bounded too, and with it what is allocated: parsers make nothing larger than what they have read.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WeightSource } from "../../src/backends/backend.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { storedBytes } from "../../src/weights/ggml-blocks.ts";
import { openGguf } from "../../src/weights/gguf.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import {
	floatBytes,
	gguf,
	type Metadata,
	qwen3Metadata,
	string,
	tensor,
	u32,
} from "../support/gguf-files.ts";
import { tokenizerMetadata } from "../support/gguf-tokenizer.ts";
import { damaged } from "../support/mutations.ts";
import { randomSource } from "../support/random.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";
import { TEXT_CONFIG } from "../support/text-model.ts";

const CASES = 25_000;
/** Beyond the file's size: nothing. Every byte is read once by the header, once by its tensor. */
const READS_PER_BYTE = 2;

/** A folder of one file that fails the test when a read reaches past its end, and counts what is read. */
function watched(name: string, bytes: Uint8Array) {
	const inner = fileMap("fuzz", new Map([[name, bytes]]));
	const counted = { bytes: 0 };
	const files: ModelFiles = {
		...inner,
		async open(path) {
			const file = await inner.open(path);
			if (file === null) return null;
			return {
				...file,
				read(offset, length, signal) {
					assert.ok(offset >= 0 && length >= 0, `${offset} ${length}`);
					assert.ok(offset + length <= file.size, "read past the end");
					counted.bytes += length;
					return file.read(offset, length, signal);
				},
			};
		},
	};
	return { files, counted };
}

/** Reads everything; what comes back is as long as type and shape say. */
async function readAll(source: WeightSource): Promise<void> {
	for (const { name, shape, dtype } of source.tensors.values()) {
		const rows = await source.read(name, 0, shape[0] ?? 1);
		const elements = shape.reduce((a, b) => a * b, 1);
		assert.equal(rows.length, storedBytes(dtype, elements), name);
	}
	await source.close();
}

interface Sample {
	readonly bytes: Uint8Array;
	readonly headerBytes: number;
}

interface Format {
	readonly file: string;
	/** Whole files, damaged in turn. */
	readonly samples: readonly Sample[];
	open(files: ModelFiles): Promise<WeightSource>;
}

/** @returns how often each code came, "none" for files that opened */
async function fuzz(
	format: Format,
	seed: number,
): Promise<Map<string, number>> {
	const outcomes = new Map<string, number>();
	const random = randomSource(seed);
	for (let i = 0; i < CASES; i++) {
		const sample = format.samples[i % format.samples.length];
		const bytes = damaged(sample.bytes, sample.headerBytes, random);
		const { files, counted } = watched(format.file, bytes);
		const start = performance.now();
		let code = "none";
		try {
			await readAll(await format.open(files));
		} catch (error) {
			if (!(error instanceof NanoVllmError)) {
				const where = `case ${i} of seed ${seed}`;
				throw new Error(`${where} is no NanoVllmError`, { cause: error });
			}
			assert.ok(error.message.length < 2500, error.message);
			code = error.code;
		}
		assert.ok(counted.bytes <= READS_PER_BYTE * bytes.length, `case ${i}`);
		assert.ok(performance.now() - start < 2000, `case ${i} hangs`);
		outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
	}
	return outcomes;
}

/** Families whose names, rows or configs are made in ways of their own. */
const ARCHITECTURES = [
	"qwen3",
	"llama",
	"gemma3",
	"smollm3",
	"gpt-oss",
	"phi3",
];

/** Small, with every part a header can have. */
function smallGguf(architecture: string): Sample {
	const words = ["a", "b", "c", "ab", "bc", "abc"];
	const json = {
		model: {
			vocab: Object.fromEntries(words.map((word, id) => [word, id])),
			merges: ["a b", "b c", "ab c"],
		},
		added_tokens: [{ id: 6, content: "<|end|>", special: true }],
	};
	const config = {
		...TEXT_CONFIG,
		hidden_size: 32,
		num_hidden_layers: 1,
		vocab_size: 7,
	};
	const sizes = Object.entries(qwen3Metadata(config)).map(
		([key, value]) =>
			[key.replace("qwen3.", `${architecture}.`), value] as const,
	);
	const own = (key: string) => `${architecture}.${key}`;
	const bytes = wholeGguf(
		{
			...Object.fromEntries(sizes),
			"general.architecture": string(architecture),
			[own("expert_count")]: u32(2),
			[own("expert_used_count")]: u32(1),
			[own("expert_feed_forward_length")]: u32(24),
			[own("attention.sliding_window")]: u32(16),
		},
		json,
	);
	const headerBytes = Buffer.from(bytes).indexOf("rope_freqs.weight") + 45;
	return { bytes, headerBytes };
}

function wholeGguf(
	metadata: Metadata,
	json: Parameters<typeof tokenizerMetadata>[0],
): Uint8Array {
	return gguf(
		{
			...metadata,
			"general.alignment": u32(32),
			"general.name": string("small"),
			"split.count": { type: 2, bytes: Uint8Array.of(1, 0) },
			...tokenizerMetadata(json, { eos_token: "<|end|>" }, "gpt2", {
				"tokenizer.ggml.pre": string("gpt-2"),
				"tokenizer.ggml.scores": { f32s: new Float32Array(7) },
			}),
		},
		[
			tensor("token_embd.weight", "q8_0", [7, 32], new Uint8Array(7 * 34)),
			tensor("output_norm.weight", "f32", [32], new Uint8Array(128)),
			tensor("blk.0.attn_q.weight", "f16", [16, 32], new Uint8Array(1024)),
			tensor(
				"blk.0.ffn_down_exps.weight",
				"q4_0",
				[2, 3, 32],
				new Uint8Array(108),
			),
			tensor(
				"rope_freqs.weight",
				"f32",
				[4],
				floatBytes(Float32Array.of(1, 1, 1, 1)),
			),
		],
	);
}

/** Everything that LLM.load does with a GGUF before a device is asked. */
async function openWholeGguf(files: ModelFiles): Promise<WeightSource> {
	const model = await openGguf(files, "m.gguf");
	parseModelConfig(model.config);
	const { tokenizerJson, tokenizerConfig } = model.tokenizer();
	const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig);
	assert.equal(
		typeof tokenizer.decode(tokenizer.encode("abc <|end|>")),
		"string",
	);
	return model.weights;
}

test(`${CASES} damaged GGUF headers`, async (t) => {
	const samples = ARCHITECTURES.map(smallGguf);
	for (const { bytes } of samples)
		await readAll(await openWholeGguf(watched("m.gguf", bytes).files));
	const format = { file: "m.gguf", samples, open: openWholeGguf };
	const outcomes = await fuzz(format, 1);
	t.diagnostic([...outcomes].map((it) => it.join(" ")).join(", "));
	for (const code of [
		"none",
		"invalid_weights",
		"invalid_model_config",
		"invalid_tokenizer",
		"unsupported_model",
	])
		assert.ok(
			(outcomes.get(code) ?? 0) > 100,
			`${code}: ${outcomes.get(code)}`,
		);
});

test(`${CASES} damaged safetensors headers`, async (t) => {
	const bytes = writeSafetensors(
		{
			"a.weight": { dtype: "f32", shape: [2, 3], data: new Float32Array(6) },
			"b.weight": { dtype: "bf16", shape: [4], data: new Float32Array(4) },
			"c.bias": { dtype: "f16", shape: [], data: new Float32Array(1) },
		},
		{ format: "pt" },
	);
	const samples = [{ bytes, headerBytes: bytes.length - 34 }];
	const file = "model.safetensors";
	const outcomes = await fuzz({ file, samples, open: openSafetensors }, 2);
	t.diagnostic([...outcomes].map((it) => it.join(" ")).join(", "));
	for (const code of ["none", "invalid_weights", "unsupported_dtype"])
		assert.ok((outcomes.get(code) ?? 0) > 10, `${code}: ${outcomes.get(code)}`);
});
