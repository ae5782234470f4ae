/** Every golden string, run and id sequence: our answers are the Rust library's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KINDS, loadTokenizer, readCases, readJson, sha256 } from "./golden.ts";

for (const kind of KINDS) {
	describe(`golden tokenizer ${kind}`, () => {
		const tokenizer = loadTokenizer(kind);
		const cases = readCases(kind);
		const hasByteTokens = tokenizer.id("<0x00>") !== undefined;

		test("vocabulary", () => {
			assert.equal(tokenizer.vocabSize, cases.vocabSize);
			for (const { id, content, special } of readJson(kind, "tokenizer.json")
				.added_tokens) {
				assert.equal(tokenizer.token(id), content);
				assert.equal(tokenizer.id(content), id);
				assert.equal(tokenizer.isSpecial(id), special);
			}
		});

		test("encode", () => {
			for (const { text, ids, idsWithSpecial } of cases.strings) {
				const name = JSON.stringify(text);
				const plain = { addSpecialTokens: false };
				assert.deepEqual(tokenizer.encode(text, plain), ids, name);
				assert.deepEqual(tokenizer.encode(text), idsWithSpecial, name);
			}
		});

		test("decode", () => {
			const sequences = [
				...cases.strings.map((c) => ({ ...c, ids: c.idsWithSpecial })),
				...cases.decodes,
			];
			for (const { ids, decoded, decodedWithSpecial } of sequences) {
				const name = JSON.stringify(ids.map((id) => tokenizer.token(id)));
				const whole = { skipSpecialTokens: false };
				const equal = hasByteTokens ? equalButBrokenRuns : assert.equal;
				equal(tokenizer.decode(ids), decoded, name);
				equal(tokenizer.decode(ids, whole), decodedWithSpecial, name);
			}
		});

		test("long runs", () => {
			for (const run of cases.runs) {
				const name = `${JSON.stringify(run.repeat)} × ${run.times}`;
				const ids = tokenizer.encode(run.repeat.repeat(run.times));
				assert.equal(ids.length, run.numIds, name);
				assert.equal(sha256(ids.join(",")), run.idsSha256, name);
				assert.equal(sha256(tokenizer.decode(ids)), run.textSha256, name);
			}
		});
	});
}

/**
 * Equal, but for one rule: where a run of byte tokens is broken anywhere, Rust gives up the whole run, one U+FFFD a byte;
 * we keep its good characters. So ours, with such characters turned into one U+FFFD a byte, must be Rust's.
 */
function equalButBrokenRuns(ours: string, rust: string, name: string): void {
	let at = 0;
	for (const char of ours) {
		const lost = "\ufffd".repeat(Buffer.from(char).length);
		const expected = rust.startsWith(char, at) ? char : lost;
		assert.ok(rust.startsWith(expected, at), `${name}: ${ours} / ${rust}`);
		at += expected.length;
	}
	assert.equal(at, rust.length, `${name}: ${ours} / ${rust}`);
}
