/** Structured outputs from end to end: what a random model says at temperature 1 is what was asked for, and nobody else notices. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { CompletionOutput } from "../../src/engine/output.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { LLM } from "../../src/llm.ts";
import type { StructuredOutputs } from "../../src/structured-outputs.ts";
import { randomSource } from "../support/random.ts";
import { randomSchema } from "../support/schemas.ts";
import { loadText, textFiles } from "../support/text-model.ts";

/** A number may be too large for a double: JSON has no largest. */
const ajv = new Ajv2020({
	strict: false,
	strictNumbers: false,
	validateFormats: false,
});

let llm: LLM;
before(async () => {
	llm = await loadText({ seed: 3 });
});
after(() => llm.close());

async function answers(
	structuredOutputs: StructuredOutputs,
	{ n = 8, maxTokens = 120, seed = 1, model = llm } = {},
): Promise<CompletionOutput[]> {
	const params = { structuredOutputs, n, maxTokens, seed, temperature: 1 };
	const [{ outputs }] = await model.generate("Once upon a time", params);
	return outputs;
}

/** Without those where byte tokens made what is no character: XGrammar counts bytes like F0 80 80 80 as one. */
const finished = (outputs: readonly CompletionOutput[]) =>
	outputs.filter(
		({ finishReason, text }) =>
			finishReason === "stop" && !text.includes("\ufffd"),
	);

function assertValid(schema: object, text: string): void {
	const valid = ajv.compile(schema);
	const value: unknown = JSON.parse(text);
	assert.ok(
		valid(value),
		`${JSON.stringify(schema)}\n${text}\n${JSON.stringify(valid.errors)}`,
	);
}

test("random schemas: every answer that ends parses and validates", async () => {
	const random = randomSource(7);
	let numFinished = 0;
	for (let round = 0; round < 40; round++) {
		const schema = randomSchema(random);
		const json = round % 2 === 0 ? schema : JSON.stringify(schema);
		const disableAnyWhitespace = round % 4 < 3;
		const outputs = await answers(
			{ json, disableAnyWhitespace },
			{ n: 3, seed: round },
		);
		for (const { text } of finished(outputs)) assertValid(schema, text);
		numFinished += finished(outputs).length;
	}
	assert.ok(numFinished > 60, `${numFinished} of 120 ended`);
});

test("tokenizers of every kind: bytes, byte fallback, unigram", async () => {
	const schema = {
		type: "object",
		properties: {
			a: { type: "string", minLength: 1, maxLength: 6 },
			é: { type: "boolean" },
		},
		required: ["a", "é"],
	};
	for (const tokenizer of ["llama2", "llama3", "gemma"]) {
		await using model = await loadText({}, await textFiles(tokenizer));
		const given = { json: schema, disableAnyWhitespace: true };
		const outputs = await answers(given, { model, n: 6 });
		assert.ok(finished(outputs).length >= 3, tokenizer);
		for (const { text } of finished(outputs)) assertValid(schema, text);
	}
});

test("an answer cut short is the beginning of one", async () => {
	const regex = "(?:[a-z]{3}-)*[0-9]{40}";
	for (const { text, finishReason } of await answers(
		{ regex },
		{ maxTokens: 9 },
	)) {
		assert.equal(finishReason, "length");
		assert.match(text, /^(?:[a-z]{3}-)*(?:[a-z]{0,3}|[0-9]{0,40})$/);
	}
});

test("regular expressions: every answer matches the whole of them", async () => {
	const patterns = [
		"[a-c]{3}\\d+",
		"^(yes|no), [A-Z][a-z]{2,5}\\.$",
		"\\x41?\\u0042(?:é|[à-å]){1,3}",
		"(?<year>19|20)\\d\\d",
		"[^a-z\\n]{2}.{2}\\.",
		"\\w+@\\w+\\.(com|org)",
	];
	for (const regex of patterns) {
		const outputs = finished(await answers({ regex }));
		assert.ok(outputs.length > 0, regex);
		for (const { text } of outputs)
			assert.match(text, new RegExp(`^(?:${regex})$`, "u"));
	}
});

test("choices: one of them, nothing else, all of them in time", async () => {
	const choice = ["yes", "yes, indeed", "no", "vielleicht “später”", "日本"];
	const outputs = await answers({ choice }, { n: 64 });
	for (const { text, finishReason, stopReason } of outputs) {
		assert.ok(choice.includes(text), text);
		assert.deepEqual([finishReason, stopReason], ["stop", null]);
	}
	assert.ok(new Set(outputs.map(({ text }) => text)).size >= 3);
});

test("grammars in EBNF, and JSON objects of any shape", async () => {
	const grammar =
		'root ::= "<" item ("," item)* ">"\nitem ::= [0-9] | "(" root ")" # nested\n';
	for (const { text } of finished(await answers({ grammar })))
		assert.match(text, /^<[<>(),0-9]+>$/);
	const outputs = finished(await answers({ jsonObject: true }, { n: 16 }));
	for (const { text } of outputs)
		assert.match(typeof JSON.parse(text), /object/);
	assert.ok(outputs.length > 0);
});

test("other requests in the batch say what they say alone, and so do constrained ones", async () => {
	const prompts = ["Once", "The dog", "A", "Two cats", "Sun", "I"];
	const params = prompts.map((_, i) => ({
		temperature: 1,
		seed: 40 + i,
		maxTokens: 20,
		...(i % 2 === 0 && {
			structuredOutputs: {
				json: { type: "array", items: { type: "integer" } },
			},
		}),
	}));
	const together = await llm.generate(prompts, params);
	for (let i = 0; i < prompts.length; i++) {
		const [alone] = await llm.generate(prompts[i], params[i]);
		assert.deepEqual(together[i].outputs, alone.outputs);
	}
	const overlapped = await LLM.load(
		new URL("../../demo-model", import.meta.url).pathname,
		{
			device: "cpu",
			threads: 1,
		},
	);
	const inTurn = await LLM.load(
		new URL("../../demo-model", import.meta.url).pathname,
		{
			device: "cpu",
			threads: 1,
			asyncScheduling: false,
		},
	);
	const texts = async (model: LLM) =>
		(await model.generate(prompts, params)).map(
			({ outputs }) => outputs[0].text,
		);
	assert.deepEqual(await texts(overlapped), await texts(inTurn));
	await overlapped.close();
	await inTurn.close();
});

test("it goes together with the other parameters", async () => {
	const choice = ["aa", "ab", "b"];
	const [e] = llm.tokenizer.encode("b", { addSpecialTokens: false });
	const [{ outputs }] = await llm.generate("x", {
		structuredOutputs: { choice },
		logitBias: { [e]: -Infinity },
		logprobs: 2,
		n: 8,
		seed: 2,
		temperature: 1,
	});
	for (const { text, logprobs, tokenIds } of outputs) {
		assert.ok(["aa", "ab"].includes(text), text);
		assert.equal(logprobs?.length, tokenIds.length);
	}
	const long = {
		structuredOutputs: { choice: ["a"] },
		minTokens: 4,
		maxTokens: 8,
	};
	await assert.rejects(llm.generate("x", long), {
		code: "invalid_sampling_params",
		message: /minTokens and structuredOutputs together forbid/,
	});
});

test("streams, and a stream that is left", async () => {
	const structuredOutputs = { regex: "[a-z]{30}" };
	let text = "";
	for await (const delta of llm.stream("x", {
		structuredOutputs,
		maxTokens: 60,
	}))
		text += delta.text;
	assert.match(text, /^[a-z]{30}$/);
	for await (const _ of llm.stream("x", { structuredOutputs, maxTokens: 60 }))
		break;
	// A grammar that compiles for minutes: an abort does not wait for it.
	const regex = "(?:(?:[a-z]{1,300}[0-9]?){1,300}){1,60}";
	const controller = new AbortController();
	await using own = await loadText({});
	const aborted = own.generate(
		"x",
		{ structuredOutputs: { regex } },
		controller,
	);
	setTimeout(() => controller.abort(), 50);
	await assert.rejects(aborted, { name: "AbortError" });
	assert.equal(llm.stats().numRequestsRunning, 0);
});

const REFUSED: readonly [name: string, given: unknown, message: RegExp][] = [
	["nothing", {}, /exactly one of .* got none/],
	["two kinds", { regex: "a", choice: ["b"] }, /got regex and choice/],
	["unknown field", { jsn: {} }, /no field "jsn". Known: json,/],
	["a list", ["a"], /must be an object/],
	[
		"whitespacePattern",
		{ json: {}, whitespacePattern: " " },
		/cannot honour whitespacePattern/,
	],
	[
		"layout without JSON",
		{ regex: "a", disableAnyWhitespace: true },
		/beside regex/,
	],
	["no choice", { choice: [] }, /at least one text/],
	["an empty choice", { choice: ["a", ""] }, /choice\[1\]/],
	["a choice that is no text", { choice: [1] }, /choice\[0\]/],
	["half a surrogate pair", { regex: "\ud83d" }, /surrogate/],
	[
		"a class that never ends",
		{ regex: "ab[c" },
		/character 3 of "ab\[c" opens a class/,
	],
	["an anchor in the middle", { regex: "a^b" }, /character 2 .* anchor/],
	[
		"a group that never ends",
		{ regex: "(a" },
		/XGrammar says "Regex parsing error/,
	],
	["lookahead", { regex: "(?=a)a" }, /Lookahead is not supported/],
	["backreference", { regex: "(a)\\1" }, /Backreference/],
	[
		"no such rule",
		{ grammar: "root ::= foo" },
		/line 1, column 10: Rule "foo" is not defined/,
	],
	[
		"a class beyond ASCII",
		{ grammar: "root ::= [a-z]\nx ::= [à-ü]" },
		/line 2/,
	],
	["not JSON", { json: "{type" }, /not JSON/],
	["no schema", { json: "[]" }, /wanted an object/],
	[
		"no such type",
		{ json: { properties: { a: { type: "strng" } } } },
		/at \/properties\/a: "type"/,
	],
	[
		"a reference to nothing",
		{ json: { items: { $ref: "#/x" } } },
		/at \/items: "\$ref" "#\/x" points to nothing/,
	],
	["not honoured", { json: { items: { not: {} } } }, /at \/items: "not"/],
];

test("what is wrong is refused with the reason, and the others go on", async () => {
	const running = llm.generate("x", { maxTokens: 100, ignoreEos: true });
	for (const [name, given, message] of REFUSED) {
		const structuredOutputs = given as StructuredOutputs;
		await assert.rejects(
			llm.generate("x", { structuredOutputs }),
			(error: NanoVllmError) => {
				assert.ok(error instanceof NanoVllmError, `${name}: ${error}`);
				assert.equal(error.code, "invalid_sampling_params", name);
				assert.match(error.message, message, name);
				return true;
			},
		);
	}
	assert.equal((await running)[0].outputs[0].tokenIds.length, 100);
	const both = { structuredOutputs: { regex: "a" }, ignoreEos: true };
	await assert.rejects(llm.generate("x", both), /ignoreEos/);
	const second = [
		{ structuredOutputs: { regex: "a" } },
		{ structuredOutputs: { regex: "(" } },
	];
	await assert.rejects(
		llm.generate(["x", "y"], second),
		/^NanoVllmError: prompt 1: /,
	);
	assert.equal(
		llm.stats().numRequestsRunning + llm.stats().numRequestsWaiting,
		0,
	);
});

test("without a tokenizer, or a token to end with, there is nothing to constrain", async () => {
	await using blind = await loadText({ skipTokenizerInit: true });
	const prompt = { promptTokenIds: [1, 2] };
	await assert.rejects(
		blind.generate(prompt, { structuredOutputs: { regex: "a" } }),
		/no tokenizer is loaded/,
	);
});
