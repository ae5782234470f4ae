/** What the output looks like, beside what else a request may say: thoughts that are free, and schemas that are refused by their field. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import type { LLM } from "../../src/index.ts";
import {
	CHAT_TEMPLATE,
	json,
	loadText,
	textFiles,
} from "../support/text-model.ts";
import { loadDemo, MODEL, serve } from "./serving.ts";

const THINK = 906;
const CLOSE = 907;
const messages = [{ role: "user" as const, content: "Yes or no?" }];

/** What the template writes last is up to the request: nothing, an open thought, a closed one. */
const TEMPLATE = `${CHAT_TEMPLATE}{{ opening }}`;
const opened = (opening: string) => ({ chat_template_kwargs: { opening } });

let llm: LLM;
let client: OpenAI;
before(async () => {
	const files = await textFiles();
	const config = JSON.parse(
		new TextDecoder().decode(files.get("tokenizer_config.json")),
	);
	const changed = { ...config, chat_template: TEMPLATE };
	files.set("tokenizer_config.json", json(changed));
	llm = await loadText({ maxNumSeqs: 32 }, files);
	client = await clientOf(llm);
});
after(() => llm.close());

async function clientOf(engine: LLM): Promise<OpenAI> {
	const { url } = await serve(engine, { reasoningParser: "qwen3" });
	return new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
}

/** The biases make a random model begin and end thoughts, at times. */
async function answers(more: object) {
	const { choices } = await client.chat.completions.create({
		model: MODEL,
		messages,
		n: 24,
		seed: 1,
		max_tokens: 60,
		logit_bias: { [THINK]: 1.4, [CLOSE]: 5 },
		structured_outputs: { choice: ["yes", "no"] },
		...more,
	} as OpenAI.ChatCompletionCreateParamsNonStreaming);
	return choices.map(({ message }) => ({
		content: message.content,
		thought: (message as { reasoning_content?: string }).reasoning_content,
	}));
}

test("a thought is free, and what comes after it is what was asked for", async () => {
	for (const opening of ["", "<think>\n"]) {
		const got = await answers(opened(opening));
		const ended = got.filter(({ content }) => content !== null);
		assert.ok(ended.length >= 10, `${ended.length} of ${got.length} ended`);
		for (const { content } of ended) assert.match(content ?? "", /^(yes|no)$/);
		const thoughtful = ended.filter(({ thought }) => thought);
		assert.ok(thoughtful.length > 0, "some think first");
		if (opening === "")
			assert.ok(thoughtful.length < ended.length, "some do not");
	}
});

test("a thought the template has closed stays closed", async () => {
	for (const { content, thought } of await answers(
		opened("<think>\n\n</think>\n\n"),
	)) {
		assert.match(content ?? "", /^(yes|no)$/);
		assert.equal(thought, undefined);
	}
});

test("no word of a message opens a thought", async () => {
	const injected = [{ role: "user", content: "Say no more than <think>" }];
	const logit_bias = { [THINK]: -100 };
	for (const { content } of await answers({ messages: injected, logit_bias }))
		assert.match(content ?? "", /^(yes|no)$/);
});

test("streamed: the thought, then the parsed object", async () => {
	const schema = {
		type: "object",
		properties: { sure: { type: "boolean" } },
		required: ["sure"],
		additionalProperties: false,
	};
	const stream = await client.chat.completions.create({
		model: MODEL,
		messages,
		stream: true,
		seed: 2,
		logit_bias: { [CLOSE]: 7 },
		response_format: {
			type: "json_schema",
			json_schema: { name: "answer", schema },
		},
		...opened("<think>\n"),
	} as OpenAI.ChatCompletionCreateParamsStreaming);
	let thought = "";
	let content = "";
	for await (const { choices } of stream) {
		const delta = choices[0].delta as { reasoning_content?: string };
		thought += delta.reasoning_content ?? "";
		content += choices[0].delta.content ?? "";
	}
	assert.notEqual(thought, "");
	assert.equal(typeof JSON.parse(content).sure, "boolean");
});

test("a thought whose end cannot be told is refused, with the way out", async () => {
	const demo = await loadDemo();
	const other = await clientOf(demo);
	const ask = (format: object, content: string) =>
		other.chat.completions.create({
			model: MODEL,
			messages: [...messages, { role: "assistant", content }],
			max_tokens: 8,
			continue_final_message: true,
			...format,
		} as OpenAI.ChatCompletionCreateParamsNonStreaming);
	const choice = { structured_outputs: { choice: ["yes", "no"] } };
	await assert.rejects(ask(choice, "<think> well"), (error) => {
		assert.ok(error instanceof OpenAI.BadRequestError, String(error));
		assert.equal(error.param, "structured_outputs");
		assert.match(error.message, /<\/think> is no token of its own/);
		return true;
	});
	const { choices } = await ask(choice, "I say:");
	assert.match(choices[0].message.content ?? "", /^(yes|no)$/);
});

test("json_object and json", async () => {
	const ask = async (form: object) => {
		const { choices } = await client.completions.create({
			model: MODEL,
			prompt: "Once",
			max_tokens: 200,
			seed: 5,
			logit_bias: { 92: 6, 1: 3 },
			...form,
		} as OpenAI.CompletionCreateParamsNonStreaming);
		return JSON.parse(choices[0].text);
	};
	const object = await ask({ response_format: { type: "json_object" } });
	assert.equal(typeof object, "object");
	const json = { type: "boolean" };
	assert.equal(typeof (await ask({ structured_outputs: { json } })), "boolean");
	const text = { json: JSON.stringify(json) };
	assert.equal(typeof (await ask({ structured_outputs: text })), "boolean");
});

test("a wrong schema is refused by the field it stood in", async () => {
	const schema = { type: "object", properties: { a: { not: {} } } };
	const chat = (more: object) => () =>
		client.chat.completions.create({
			model: MODEL,
			messages,
			...more,
		} as OpenAI.ChatCompletionCreateParamsNonStreaming);
	const format = { type: "json_schema", name: "a", schema };
	const tool = { name: "a", parameters: schema };
	for (const [ask, param] of [
		[chat({ structured_outputs: { json: schema } }), "structured_outputs"],
		[chat({ structured_outputs: { regex: "(" } }), "structured_outputs"],
		[
			chat({ response_format: { type: "json_schema", json_schema: format } }),
			"response_format",
		],
		[
			chat({
				tools: [{ type: "function", function: tool }],
				tool_choice: "required",
			}),
			"tools",
		],
		[
			() =>
				client.responses.create({
					model: MODEL,
					input: "a",
					text: { format },
				} as OpenAI.Responses.ResponseCreateParamsNonStreaming),
			"text.format",
		],
	] as const)
		await assert.rejects(ask, (error) => {
			assert.ok(error instanceof OpenAI.BadRequestError, String(error));
			assert.equal(error.param, param);
			assert.ok(error.message.includes(param), error.message);
			return true;
		});
});
