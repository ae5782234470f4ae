/** The law of streamed text: pushes and finish, joined, are what decoding everything adds to the prompt. For every kind and any ids. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createDetokenizer } from "../../src/tokenizer/detokenizer.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { KINDS, loadTokenizer, readCases } from "./golden.ts";

interface Run {
	readonly deltas: readonly string[];
	readonly rest: string;
}

function stream(
	tokenizer: Tokenizer,
	ids: readonly number[],
	options: Parameters<typeof createDetokenizer>[1],
): Run {
	const detokenizer = createDetokenizer(tokenizer, options);
	const deltas = ids.map((id) => detokenizer.push(id));
	return { deltas, rest: detokenizer.finish() };
}

/** The prompt's text as far as no later token can change it. */
function settled(
	tokenizer: Tokenizer,
	prompt: readonly number[],
	skipSpecialTokens: boolean,
): string {
	return stream(tokenizer, prompt, { skipSpecialTokens }).deltas.join("");
}

/** Ids of all sorts: any, pieces of hard texts, single bytes, special ones, and some that no token has. */
function idLists(kind: string, tokenizer: Tokenizer) {
	const texts = readCases(kind).strings.map((c) => c.idsWithSpecial);
	const all = [...Array(tokenizer.vocabSize).keys()];
	const halves = all.filter((id) => tokenizer.tokenText(id).includes("\ufffd"));
	const special = all.filter((id) => tokenizer.isSpecial(id));
	const some = fc.oneof(
		fc.nat(tokenizer.vocabSize + 3).map((id) => [id]),
		fc.constantFrom(...(halves.length > 0 ? halves : all)).map((id) => [id]),
		fc.constantFrom(...special).map((id) => [id]),
		fc
			.tuple(
				fc.constantFrom(...texts),
				fc.nat(20),
				fc.integer({ min: 1, max: 12 }),
			)
			.map(([ids, from, count]) => ids.slice(from, from + count)),
	);
	return fc.array(some, { maxLength: 24 }).map((lists) => lists.flat());
}

for (const kind of KINDS)
	describe(`detokenizer ${kind}`, () => {
		const tokenizer = loadTokenizer(kind);
		const ids = idLists(kind, tokenizer);

		test("joined deltas are the decoded text, with any prompt", () => {
			fc.assert(
				fc.property(ids, ids, fc.boolean(), (prompt, output, skip) => {
					const skipSpecialTokens = skip;
					const { deltas, rest } = stream(tokenizer, output, {
						skipSpecialTokens,
						promptTokenIds: prompt,
					});
					const before = settled(tokenizer, prompt, skip);
					const all = [...prompt, ...output];
					assert.equal(
						before + deltas.join("") + rest,
						tokenizer.decode(all, { skipSpecialTokens }),
					);
					for (const delta of deltas) assert.ok(delta.isWellFormed());
				}),
				{ numRuns: 400, seed: 1 },
			);
		});

		test("a character comes whole, with its last byte", () => {
			const text = "naïve 你好 🦊👩‍👧 ½ שלום नमस्ते";
			const output = tokenizer.encode(text, { addSpecialTokens: false });
			const { deltas, rest } = stream(tokenizer, output, {});
			assert.equal(rest, "");
			if (kind !== "unigram") assert.ok(!deltas.join("").includes("\ufffd"));
			assert.equal(deltas.join(""), tokenizer.decode(output));
			// Nothing is held back longer than needed: what is settled is all of the text but the last character.
			for (let i = 1; i <= output.length; i++) {
				const held = tokenizer.decode(output.slice(0, i));
				const shown = deltas.slice(0, i).join("");
				assert.ok(held.startsWith(shown));
				assert.match(held.slice(shown.length), /^\ufffd{0,3}$/);
			}
		});

		test("half a character at the end is U+FFFD", () => {
			if (kind === "unigram") return; // has no bytes
			const output = tokenizer.encode("x🦊", { addSpecialTokens: false });
			const { deltas, rest } = stream(tokenizer, output.slice(0, -1), {});
			assert.match(deltas.join(""), /^ ?x$/);
			assert.match(rest, /^\ufffd+$/);
		});
	});

test("the first new token is spaced after a prompt, not without one", () => {
	const tokenizer = loadTokenizer("llama2");
	const prompt = tokenizer.encode("Once upon");
	const output = [tokenizer.id("▁the") as number];
	const text = (promptTokenIds?: number[]) =>
		stream(tokenizer, output, { promptTokenIds }).deltas.join("");
	assert.equal(text(prompt), " the");
	assert.equal(text([tokenizer.bosTokenId as number]), "the");
	assert.equal(text(), "the");
});

test("a character cut by the prompt's end is completed", () => {
	const tokenizer = loadTokenizer("gpt2");
	const ids = tokenizer.encode("🦊!");
	const long = tokenizer.encode("a word and another ".repeat(40));
	for (const before of [[], long]) {
		const promptTokenIds = [...before, ...ids.slice(0, 2)];
		const { deltas } = stream(tokenizer, ids.slice(2), { promptTokenIds });
		assert.equal(deltas.join(""), "🦊!");
	}
});

test("a long prompt costs no more than a short one", () => {
	const tokenizer = loadTokenizer("gpt2");
	let reads = 0;
	const promptTokenIds = new Proxy(new Int32Array(100_000), {
		get(target, key) {
			if (typeof key === "string" && /^\d+$/.test(key)) reads++;
			return Reflect.get(target, key, target);
		},
	});
	createDetokenizer(tokenizer, { promptTokenIds }).push(5);
	assert.ok(reads < 100, `${reads} prompt tokens read`);
});
