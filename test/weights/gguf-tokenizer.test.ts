/** Tokenizers from GGUF metadata: the golden answers of tokenizer.json, SentencePiece's merges by score, and what is refused. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { NanoVllmError } from "../../src/errors.ts";
import {
	createTokenizer,
	type Tokenizer,
} from "../../src/tokenizer/tokenizer.ts";
import { parseGgufHeader } from "../../src/weights/gguf-header.ts";
import { ggufTokenizer } from "../../src/weights/gguf-tokenizer.ts";
import {
	gguf,
	type Metadata,
	string,
	strings,
	u32,
} from "../support/gguf-files.ts";
import { TYPES, tokenizerMetadata } from "../support/gguf-tokenizer.ts";
import { randomSource } from "../support/random.ts";
import {
	loadTokenizer,
	readCases,
	readJson,
	sha256,
} from "../tokenizer/golden.ts";

function readBack(metadata: Metadata) {
	const bytes = gguf(metadata);
	return ggufTokenizer(parseGgufHeader("m.gguf", bytes, bytes.length).metadata);
}

function load(metadata: Metadata): Tokenizer {
	const { tokenizerJson, tokenizerConfig } = readBack(metadata);
	return createTokenizer(tokenizerJson, tokenizerConfig);
}

const pre = (name: string): Metadata => ({
	"tokenizer.ggml.pre": string(name),
});
const bool = (value: boolean) => ({ bool: value });

/**
 * Golden tokenizer, how GGUF says it, and texts that come out otherwise: with tokens that swallow white space or stand for whole words, which
 * GGUF has no way to say; with letters that only a golden tokenizer composes; and runs of spaces, which converters make tokens of text.
 */
const GOLDEN: readonly [
	kind: string,
	model: "gpt2" | "llama",
	more: Metadata,
	except?: RegExp,
][] = [
	["gpt2", "gpt2", pre("gpt-2")],
	["qwen2", "gpt2", pre("qwen2")],
	["llama3", "gpt2", pre("llama-bpe")],
	["o200k", "gpt2", pre("gpt-4o")],
	[
		"smollm",
		"gpt2",
		pre("smollm"),
		/<(mask|rstrip|both|word)>|cat|caf|[\u0300-\u036f\u212a]/i,
	],
	["deepseek", "gpt2", pre("deepseek-llm")],
	["llama2", "llama", {}, /<\|(user|end)\|>/],
	[
		"gemma",
		"llama",
		{ "tokenizer.ggml.add_space_prefix": bool(false) },
		/ {2}|▁▁/,
	],
];

for (const [kind, model, more, except] of GOLDEN)
	test(`${kind} through GGUF: the golden answers`, () => {
		const json = readJson(kind, "tokenizer.json");
		const config = readJson(kind, "tokenizer_config.json");
		const tokenizer = load(tokenizerMetadata(json, config, model, more));
		const { strings: texts, decodes, runs } = readCases(kind);
		let compared = 0;
		for (const { text, ids, idsWithSpecial, ...decoded } of texts) {
			if (except?.test(text)) continue;
			compared++;
			assert.deepEqual(
				tokenizer.encode(text, { addSpecialTokens: false }),
				ids,
				JSON.stringify(text),
			);
			assert.deepEqual(tokenizer.encode(text), idsWithSpecial);
			assert.equal(tokenizer.decode(idsWithSpecial), decoded.decoded);
			assert.equal(
				tokenizer.decode(idsWithSpecial, { skipSpecialTokens: false }),
				decoded.decodedWithSpecial,
			);
		}
		assert.ok(compared > 0.6 * texts.length, `${compared} of ${texts.length}`);
		// Of ids that came from no text: as tokenizer.json's own, which the golden tests hold to the library's.
		const own = loadTokenizer(kind);
		for (const { ids } of decodes) {
			const decoded = own.decode(ids);
			if (!except?.test(decoded)) assert.equal(tokenizer.decode(ids), decoded);
		}
		for (const { repeat, times, idsSha256 } of runs) {
			if (except?.test(repeat + repeat)) continue;
			const ids = tokenizer.encode(repeat.repeat(times));
			assert.equal(sha256(ids.join()), idsSha256);
		}
	});

const demo = (file: string) =>
	JSON.parse(
		readFileSync(new URL(`../../demo-model/${file}`, import.meta.url), "utf8"),
	);

test("the bundled model's tokenizer and chat template through GGUF", () => {
	const json = demo("tokenizer.json");
	const config = demo("tokenizer_config.json");
	// The pattern of stablelm2 is qwen2's, without normalization.
	const { tokenizerJson, tokenizerConfig } = readBack({
		...tokenizerMetadata(json, config, "gpt2", pre("stablelm2")),
		"tokenizer.chat_template": string(config.chat_template),
	});
	assert.equal(tokenizerConfig.chat_template, config.chat_template);
	assert.equal(tokenizerConfig.eos_token, "<|im_end|>");
	const got = createTokenizer(tokenizerJson, tokenizerConfig);
	const want = createTokenizer(json, config);
	assert.equal(got.vocabSize, want.vocabSize);
	assert.equal(got.eosTokenId, want.eosTokenId);
	const texts = [
		"What does a scheduler do?\n\nIt's 12,345 tokens — Ünïcödé, naïve 你好 \u{1f600}",
		"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
		...demo("heldout.json").map((it: unknown) => JSON.stringify(it)),
	];
	for (const text of texts) {
		const ids = want.encode(text);
		assert.deepEqual(got.encode(text), ids);
		assert.equal(got.decode(ids), want.decode(ids));
	}
});

/** SentencePiece: 256 bytes, characters, and words over a small alphabet, with scores that often tie. */
function sentencePiece(seed: number) {
	const random = randomSource(seed);
	const letters = ["a", "b", "c", "▁", "é"];
	const words = new Set(letters);
	while (words.size < 120) {
		const length = 2 + random.below(4);
		let word = "";
		for (let i = 0; i < length; i++) word += letters[random.below(5)];
		words.add(word);
	}
	const bytes = Array.from(
		{ length: 256 },
		(_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`,
	);
	const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...words, "<x>", "abab"];
	const types: number[] = tokens.map(() => TYPES.normal);
	types[0] = TYPES.unknown;
	types[1] = types[2] = TYPES.control;
	types.fill(TYPES.byte, 3, 259);
	types[tokens.length - 2] = TYPES.control;
	types[tokens.length - 1] = TYPES.userDefined;
	const scores = tokens.map(() => -random.below(25));
	return { tokens, types, scores };
}

/** llama.cpp's way, plainly: of all neighbours whose join is a token, the highest score, the leftmost of equals, until there are none. */
function mergePlainly(
	text: string,
	{ tokens, scores }: ReturnType<typeof sentencePiece>,
): number[] {
	const normal = new Map(
		tokens.map((token, id) => [token, id] as const).slice(259, -2),
	);
	const symbols = [...text];
	for (;;) {
		let best = -1;
		let highest = -Infinity;
		for (let i = 0; i + 1 < symbols.length; i++) {
			const id = normal.get(symbols[i] + symbols[i + 1]);
			if (id === undefined || scores[id] <= highest) continue;
			best = i;
			highest = scores[id];
		}
		if (best < 0) break;
		symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
	}
	return symbols.flatMap(
		(symbol) =>
			normal.get(symbol) ??
			Array.from(new TextEncoder().encode(symbol), (byte) => 3 + byte),
	);
}

const scored = (
	{ tokens, types, scores }: ReturnType<typeof sentencePiece>,
	more: Metadata = {},
): Metadata => ({
	"tokenizer.ggml.model": string("llama"),
	"tokenizer.ggml.tokens": strings(tokens),
	"tokenizer.ggml.token_type": { i32s: Int32Array.from(types) },
	"tokenizer.ggml.scores": { f32s: Float32Array.from(scores) },
	...more,
});

test("SentencePiece merges by score, the leftmost of equals first; other characters become bytes", () => {
	for (let seed = 1; seed <= 20; seed++) {
		const vocabulary = sentencePiece(seed);
		const tokenizer = load(scored(vocabulary));
		const random = randomSource(100 + seed);
		for (let i = 0; i < 30; i++) {
			const letters = ["a", "b", "c", " ", "é", "水"];
			let text = "";
			const length = 1 + random.below(40);
			for (let l = 0; l < length; l++) text += letters[random.below(6)];
			if (text.includes("abab")) continue;
			const marked = `▁${text.replaceAll(" ", "▁")}`;
			const want = mergePlainly(marked, vocabulary);
			assert.deepEqual(tokenizer.encode(text), [1, ...want], text);
			assert.equal(tokenizer.decode([1, ...want]), text);
		}
	}
});

test("SentencePiece: user-defined and control tokens are found first; the file says what stands around", () => {
	const vocabulary = sentencePiece(3);
	const [x, abab] = [-2, -1].map((i) => vocabulary.tokens.length + i);
	const plain = load(scored(vocabulary));
	const ids = plain.encode("abab<x>abab");
	assert.deepEqual(ids, [1, abab, x, abab]);
	assert.equal(plain.decode(ids), "ababab" + "ab");
	assert.ok(plain.isSpecial(x) && !plain.isSpecial(abab));
	const other = load(
		scored(vocabulary, {
			"tokenizer.ggml.add_bos_token": bool(false),
			"tokenizer.ggml.add_eos_token": bool(true),
			"tokenizer.ggml.add_space_prefix": bool(false),
			"tokenizer.ggml.eos_token_id": u32(x),
		}),
	);
	const a = vocabulary.tokens.indexOf("a");
	assert.deepEqual(other.encode("a"), [a, x]);
	assert.equal(other.decode([a, x]), "a");
	assert.equal(other.eosTokenId, x);
});

test("Phi-3's special tokens swallow the space after them", () => {
	const vocabulary = sentencePiece(3);
	const tokenizer = load(
		scored(vocabulary, { "general.architecture": string("phi3") }),
	);
	const x = vocabulary.tokens.length - 2;
	assert.deepEqual(tokenizer.encode("<x> \n a").slice(0, 2), [1, x]);
	assert.deepEqual(tokenizer.encode("<x> \n a"), tokenizer.encode("<x>a"));
});

test("padding of the vocabulary stands for nothing in byte-level tokenizers", () => {
	const json = readJson("gpt2", "tokenizer.json");
	const config = readJson("gpt2", "tokenizer_config.json");
	const metadata = tokenizerMetadata(json, config, "gpt2", pre("gpt-2"));
	const { strings: tokens } = metadata["tokenizer.ggml.tokens"] as {
		strings: string[];
	};
	const { i32s } = metadata["tokenizer.ggml.token_type"] as {
		i32s: Int32Array;
	};
	const tokenizer = load({
		...metadata,
		"tokenizer.ggml.tokens": strings([...tokens, "[PAD701]"]),
		"tokenizer.ggml.token_type": {
			i32s: Int32Array.of(...i32s, TYPES.unused),
		},
	});
	assert.equal(tokenizer.decode([tokens.length]), "");
	assert.ok(!tokenizer.encode("[PAD701]").includes(tokens.length));
});

test("what is refused", () => {
	const json = readJson("gpt2", "tokenizer.json");
	const config = readJson("gpt2", "tokenizer_config.json");
	const good = tokenizerMetadata(json, config, "gpt2", pre("gpt-2"));
	const without = (key: string) =>
		Object.fromEntries(
			Object.entries(good).filter(([k]) => k !== `tokenizer.ggml.${key}`),
		);
	const { "tokenizer.ggml.scores": _, ...unscored } = scored(sentencePiece(1));
	const cases: [Metadata, RegExp][] = [
		[without("model"), /model "gpt2" or "llama", got none/],
		[{ ...good, "tokenizer.ggml.model": string("bert") }, /got "bert"/],
		[without("tokens"), /tokens, got none/],
		[without("merges"), /merges, got none/],
		[without("pre"), /pre-tokenizer of gpt-2.*tokenizer\.ggml\.pre "default"/],
		[{ ...good, ...pre("new-one") }, /tokenizer\.ggml\.pre "new-one"/],
		[unscored, /scores of 381 tokens, got none/],
	];
	for (const [metadata, pattern] of cases)
		assert.throws(
			() => load(metadata),
			(error) => {
				assert.ok(error instanceof NanoVllmError, String(error));
				assert.equal(error.code, "invalid_tokenizer");
				assert.match(error.message, pattern);
				return true;
			},
		);
});
