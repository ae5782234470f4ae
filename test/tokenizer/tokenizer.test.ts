/** Laws of every tokenizer, and the errors of broken files. The answers themselves are in golden.test.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { KINDS, loadTokenizer, readCases, readJson } from "./golden.ts";

const plain = { addSpecialTokens: false };
const whole = { skipSpecialTokens: false };
const anyText = fc.string({ unit: "binary", maxLength: 60 });

describe("what is encoded comes back", () => {
	const lossless: [string, (text: string) => string][] = [
		["gpt2", (text) => text],
		["llama3", (text) => text],
		["o200k", (text) => text],
		["deepseek", (text) => text],
		["qwen2", (text) => text.normalize("NFC")],
		["gemma", (text) => text.replaceAll("▁", " ")],
		["llama2-metaspace", (text) => text.replaceAll("▁", " ").replace(/^ /, "")],
	];
	for (const [kind, shown] of lossless)
		test(kind, () => {
			const tokenizer = loadTokenizer(kind);
			fc.assert(
				fc.property(anyText, (text) => {
					const ids = tokenizer.encode(text, plain);
					assert.equal(tokenizer.decode(ids, whole), shown(text));
				}),
				{ numRuns: 300, seed: 1 },
			);
		});
	test("half a surrogate pair is U+FFFD", () => {
		const tokenizer = loadTokenizer("gpt2");
		const ids = tokenizer.encode("a\ud83eb\udd8a", plain);
		assert.equal(tokenizer.decode(ids), "a\ufffdb\ufffd");
	});
});

describe("byte-pair merges are those of the definition", () => {
	/** Merges the best pair of the whole word, one at a time. */
	function byDefinition(word: string, merges: [string, string][]): string[] {
		const symbols = [...word];
		for (;;) {
			let best = merges.length;
			let at = -1;
			for (let i = 0; i + 1 < symbols.length; i++) {
				const rank = merges.findIndex(
					([left, right]) => left === symbols[i] && right === symbols[i + 1],
				);
				if (rank >= 0 && rank < best) [best, at] = [rank, i];
			}
			if (at < 0) return symbols;
			symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
		}
	}
	for (const kind of ["gemma", "llama2-metaspace"])
		test(kind, () => {
			const tokenizer = loadTokenizer(kind);
			const { merges } = readJson(kind, "tokenizer.json").model;
			const word = fc.string({
				unit: fc.constantFrom(..."etaoinshrd,"),
				minLength: 1,
				maxLength: 24,
			});
			fc.assert(
				fc.property(word, (text) => {
					const prefix = kind === "gemma" ? "" : "▁";
					const tokens = tokenizer
						.encode(text, plain)
						.map((id) => tokenizer.token(id));
					assert.deepEqual(tokens, byDefinition(prefix + text, merges));
				}),
				{ numRuns: 60, seed: 1 },
			);
		});
});

describe("vocabulary", () => {
	test("token and id are inverse", () => {
		for (const kind of KINDS) {
			const tokenizer = loadTokenizer(kind);
			for (let id = 0; id < tokenizer.vocabSize; id++) {
				const token = tokenizer.token(id) as string;
				assert.equal(tokenizer.id(token), id, `${kind} ${token}`);
			}
			assert.equal(tokenizer.token(tokenizer.vocabSize), undefined);
			assert.equal(tokenizer.id("no such token"), undefined);
			assert.equal(tokenizer.id("constructor"), undefined);
		}
	});

	test("BOS and EOS, named in three ways", () => {
		const names = (kind: string) => {
			const { bosTokenId, eosTokenId, token } = loadTokenizer(kind);
			return [bosTokenId, eosTokenId].map((id) => id && token(id));
		};
		assert.deepEqual(names("qwen2"), [undefined, "<|im_end|>"]);
		assert.deepEqual(names("llama2"), ["<s>", "</s>"]);
		assert.deepEqual(names("o200k"), ["<|startoftext|>", "<|endoftext|>"]);
		const bare = createTokenizer(readJson("llama2", "tokenizer.json"));
		assert.equal(bare.eosTokenId, undefined);
	});

	test("the configuration's own tokens count", () => {
		const json = readJson("gpt2", "tokenizer.json");
		const tokenizer = createTokenizer(json, {
			added_tokens_decoder: { 800: { content: "<new>", special: true } },
			eos_token: "<new>",
			unk_token: "Ġthe",
		});
		assert.equal(tokenizer.vocabSize, 801);
		assert.equal(tokenizer.eosTokenId, 800);
		assert.equal(tokenizer.token(750), undefined);
		const ids = tokenizer.encode("a<new>b");
		assert.ok(ids.includes(800));
		assert.equal(tokenizer.decode(ids), "ab");
		assert.equal(tokenizer.isSpecial(tokenizer.id("Ġthe") as number), true);
	});

	test("tokenText: a token in the middle of a text", () => {
		const text = (kind: string, token: string) => {
			const tokenizer = loadTokenizer(kind);
			return tokenizer.tokenText(tokenizer.id(token) as number);
		};
		assert.equal(text("gpt2", "Ġthe"), " the");
		assert.equal(text("gpt2", "Ã"), "\ufffd");
		assert.equal(text("llama2", "▁the"), " the");
		assert.equal(text("llama2", "<0xE4>"), "\ufffd");
		assert.equal(text("llama2", "<0x0A>"), "\n");
		assert.equal(text("unigram", "▁the"), " the");
		assert.equal(text("qwen2", "<|im_end|>"), "<|im_end|>");
		assert.equal(loadTokenizer("gpt2").tokenText(1e6), "");
	});
});

describe("time grows with the text, not with its square", () => {
	const texts: [string, (length: number) => string][] = [
		["spaces", (length) => `${" ".repeat(length)}x`],
		["one letter", (length) => "a".repeat(length)],
		["newlines", (length) => `${"\n".repeat(length)}x`],
		["emojis", (length) => "🦊".repeat(length / 2)],
		["beginnings of added tokens", (length) => "<|im_".repeat(length / 5)],
		["combining marks", (length) => "e\u0301".repeat(length / 2)],
		["prose", (length) => "The fox. ".repeat(length / 9)],
	];
	const time = (run: () => void): number => {
		const start = performance.now();
		run();
		return performance.now() - start;
	};
	// Eight times the text takes eight times as long, or 64 times if it were quadratic. Both best of two.
	function check(name: string, run: (length: number) => void): void {
		let [small, large] = [Infinity, Infinity];
		for (let i = 0; i < 2; i++) {
			small = Math.min(
				small,
				time(() => run(5_000)),
			);
			large = Math.min(
				large,
				time(() => run(40_000)),
			);
		}
		assert.ok(large < 28 * Math.max(small, 1), `${name}: ${small} → ${large}`);
	}
	// One of each way to cut: many patterns, one pattern, not at all, a lattice.
	for (const kind of ["deepseek", "qwen2", "llama2", "unigram"])
		test(kind, () => {
			const tokenizer = loadTokenizer(kind);
			for (const [name, make] of texts)
				check(`${kind} ${name}`, (length) => {
					tokenizer.decode(tokenizer.encode(make(length)));
				});
		});
	test("a text of more tokens than the stack has room for", () => {
		const tokenizer = loadTokenizer("unigram");
		assert.ok(tokenizer.encode("x".repeat(300_000)).length > 200_000);
	});
});

describe("broken files", () => {
	const good = () => readJson("llama2", "tokenizer.json");
	const unigram = () => readJson("unigram", "tokenizer.json");
	const model = (change: object) => {
		const json = good();
		return { ...json, model: { ...json.model, ...change } };
	};
	const bad: [string, unknown, unknown?][] = [
		["undefined", undefined],
		["null", null],
		["a string", "{}"],
		["a list", []],
		["no model", {}],
		["model null", { model: null }],
		["model a string", { model: "BPE" }],
		["model of unknown type", model({ type: "WordPiece" })],
		["no vocab", model({ vocab: undefined })],
		["vocab a list in BPE", model({ vocab: [] })],
		["vocab with a text id", model({ vocab: { a: "0" }, merges: [] })],
		["vocab with a negative id", model({ vocab: { a: -1 }, merges: [] })],
		["vocab with a broken id", model({ vocab: { a: 0.5 }, merges: [] })],
		["vocab with a huge id", model({ vocab: { a: 1e12 }, merges: [] })],
		["no merges", model({ merges: undefined })],
		["merges an object", model({ merges: {} })],
		["merge of one token", model({ merges: ["a"] })],
		["merge of three tokens", model({ merges: [["a", "b", "c"]] })],
		["merge of numbers", model({ merges: [[1, 2]] })],
		["merge outside the vocabulary", model({ merges: ["\u0001 \u0002"] })],
		["word suffix", model({ end_of_word_suffix: "</w>" })],
		[
			"unigram without vocab",
			{ ...unigram(), model: { type: "Unigram", vocab: [] } },
		],
		[
			"unigram with bare words",
			{ ...unigram(), model: { type: "Unigram", vocab: ["a"] } },
		],
		[
			"unigram with unk outside",
			{ ...unigram(), model: { vocab: [["a", 0]], unk_id: 1 } },
		],
		["normalizer a string", { ...good(), normalizer: "NFC" }],
		["normalizer unknown", { ...good(), normalizer: { type: "Magic" } }],
		["pre_tokenizer unknown", { ...good(), pre_tokenizer: { type: "Magic" } }],
		["pre_tokenizer typeless", { ...good(), pre_tokenizer: {} }],
		[
			"Sequence without list",
			{ ...good(), pre_tokenizer: { type: "Sequence" } },
		],
		["Split without pattern", { ...good(), pre_tokenizer: { type: "Split" } }],
		[
			"Split with a broken pattern",
			{ ...good(), pre_tokenizer: { type: "Split", pattern: { Regex: "(" } } },
		],
		[
			"Split with unknown behavior",
			{
				...good(),
				pre_tokenizer: {
					type: "Split",
					pattern: { String: " " },
					behavior: "Magic",
				},
			},
		],
		["decoder unknown", { ...good(), decoder: { type: "CTC" } }],
		[
			"decoder that cannot stream",
			{
				...good(),
				decoder: {
					type: "Sequence",
					decoders: [
						{ type: "Fuse" },
						{ type: "Replace", pattern: { String: "ab" }, content: "c" },
					],
				},
			},
		],
		[
			"post_processor unknown",
			{ ...good(), post_processor: { type: "Magic" } },
		],
		[
			"template with a missing token",
			{
				...good(),
				post_processor: {
					type: "TemplateProcessing",
					single: [{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }],
					special_tokens: {},
				},
			},
		],
		["added_tokens an object", { ...good(), added_tokens: {} }],
		["added token null", { ...good(), added_tokens: [null] }],
		["added token without id", { ...good(), added_tokens: [{ content: "a" }] }],
		["added token without content", { ...good(), added_tokens: [{ id: 1 }] }],
		["configuration a list", good(), []],
		[
			"added_tokens_decoder with a word as id",
			good(),
			{ added_tokens_decoder: { x: { content: "a" } } },
		],
	];
	for (const [name, json, config] of bad)
		test(name, () =>
			assert.throws(
				() => createTokenizer(json, config).encode("a b"),
				(error: Error & { code?: string }) => {
					assert.equal(error.name, "NanoVllmError");
					assert.equal(error.code, "invalid_tokenizer");
					assert.match(error.message, /wanted .*, got /s);
					return true;
				},
			),
		);
	test("files of before the type was written", () => {
		const json = good();
		delete json.model.type;
		const { text, idsWithSpecial } = readCases("llama2").strings[7];
		assert.deepEqual(createTokenizer(json).encode(text), idsWithSpecial);
	});
});
