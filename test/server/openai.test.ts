/** The official client of OpenAI against the server, on the bundled model: what the client takes apart, and what it does with errors. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import OpenAI from "openai";
import type { LLM } from "../../src/index.ts";
import { createApp } from "../../src/server/app.ts";
import { loadDemo, MODEL, type Script, scripted, serve } from "./serving.ts";

let llm: LLM;
let client: OpenAI;
let baseURL: string;
before(async () => {
	llm = await loadDemo();
	const { url } = await serve(llm);
	baseURL = `${url}/v1`;
	client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
});

const messages = [{ role: "user" as const, content: "What is a KV cache?" }];
const greedy = { model: MODEL, temperature: 0 };

const WEATHER = {
	type: "function" as const,
	function: {
		name: "get_weather",
		description: "The weather now.",
		parameters: { type: "object", properties: { city: { type: "string" } } },
	},
};

/** A client of a server whose model says these pieces. */
async function clientOf(
	pieces: readonly string[],
	options = {},
): Promise<{ client: OpenAI; script: Script }> {
	const script: Script = { pieces, asked: [] };
	const { url } = await serve(scripted(llm, script), {
		enableAutoToolChoice: true,
		toolCallParser: "hermes",
		reasoningParser: "qwen3",
		...options,
	});
	const client = new OpenAI({
		baseURL: `${url}/v1`,
		apiKey: "none",
		maxRetries: 0,
	});
	return { client, script };
}

test("chat: the library's own answer, with usage and ids", async () => {
	const answer = await client.chat.completions.create({
		...greedy,
		messages,
		max_completion_tokens: 24,
	});
	const [own] = await llm.chat(messages, { temperature: 0, maxTokens: 24 });
	const [choice] = answer.choices;
	assert.equal(choice.message.content, own.outputs[0].text);
	assert.equal(choice.message.role, "assistant");
	assert.equal(choice.finish_reason, own.outputs[0].finishReason);
	assert.equal(answer.model, MODEL);
	assert.match(answer.id, /^chatcmpl-/);
	assert.deepEqual(
		[answer.usage?.prompt_tokens, answer.usage?.completion_tokens],
		[own.promptTokenIds.length, own.outputs[0].tokenIds.length],
	);
});

test("streamed: the role first, the same text, usage in a last chunk without choices", async () => {
	const params = { ...greedy, messages, max_tokens: 24 };
	const whole = await client.chat.completions.create(params);
	const stream = await client.chat.completions.create({
		...params,
		stream: true,
		stream_options: { include_usage: true },
	});
	const chunks: OpenAI.ChatCompletionChunk[] = [];
	for await (const chunk of stream) chunks.push(chunk);
	assert.deepEqual(chunks[0].choices[0].delta, {
		role: "assistant",
		content: "",
	});
	const text = chunks.map((c) => c.choices[0]?.delta.content ?? "").join("");
	assert.equal(text, whole.choices[0].message.content);
	const last = chunks.at(-1);
	assert.deepEqual(last?.choices, []);
	assert.equal(last?.usage?.total_tokens, whole.usage?.total_tokens);
	const ends = chunks.filter((c) => c.choices[0]?.finish_reason);
	assert.equal(ends.length, 1);
});

test("the client's stream helper puts together what n outputs say", async () => {
	const runner = client.chat.completions.stream({
		model: MODEL,
		messages,
		n: 3,
		max_tokens: 8,
		seed: 7,
		logprobs: true,
		top_logprobs: 2,
	});
	const final = await runner.finalChatCompletion();
	const whole = await client.chat.completions.create({
		model: MODEL,
		messages,
		n: 3,
		max_tokens: 8,
		seed: 7,
		logprobs: true,
		top_logprobs: 2,
	});
	for (const [i, { message, logprobs }] of final.choices.entries()) {
		assert.equal(message.content, whole.choices[i].message.content);
		assert.deepEqual(logprobs?.content, whole.choices[i].logprobs?.content);
		assert.equal(logprobs?.content?.length, 8);
		for (const { top_logprobs, bytes, token } of logprobs?.content ?? []) {
			assert.equal(top_logprobs.length, 2);
			assert.equal(Buffer.from(bytes ?? []).toString(), token);
		}
	}
});

test("completions: lists of prompts and of token ids, n, echo, logprobs", async () => {
	const prompts = ["Once upon a time", "The capital of France"];
	const params = { ...greedy, max_tokens: 5, n: 2 };
	const asText = await client.completions.create({
		...params,
		prompt: prompts,
	});
	const asIds = await client.completions.create({
		...params,
		prompt: prompts.map((text) => llm.tokenizer.encode(text)),
	});
	const own = await llm.generate(prompts, { temperature: 0, maxTokens: 5 });
	const wanted = own.flatMap(({ outputs: [{ text }] }) => [text, text]);
	assert.deepEqual(
		asText.choices.map((c) => c.text),
		wanted,
	);
	assert.deepEqual(
		asIds.choices.map((c) => c.text),
		wanted,
	);
	assert.deepEqual(
		asText.choices.map((c) => c.index),
		[0, 1, 2, 3],
	);
	const echoed = await client.completions.create({
		...params,
		n: 1,
		prompt: prompts[0],
		echo: true,
		logprobs: 1,
	});
	const [{ text, logprobs }] = echoed.choices;
	assert.equal(text, prompts[0] + wanted[0]);
	assert.equal(logprobs?.tokens?.join(""), text);
	assert.equal(logprobs?.token_logprobs?.[0], null);
	assert.deepEqual(
		logprobs?.text_offset,
		logprobs?.tokens?.map((_, i, all) => all.slice(0, i).join("").length),
	);
});

test("completions: max_tokens 0 with echo scores a prompt and writes nothing", async () => {
	const { choices, usage } = await client.completions.create({
		...greedy,
		prompt: "Once upon a time",
		max_tokens: 0,
		echo: true,
		logprobs: 1,
	});
	assert.equal(choices[0].text, "Once upon a time");
	assert.equal(choices[0].finish_reason, "length");
	assert.equal(usage?.completion_tokens, 0);
	assert.equal(choices[0].logprobs?.tokens?.length, usage?.prompt_tokens);
});

test("completions streamed: each choice as it is whole", async () => {
	const params = {
		...greedy,
		prompt: ["Once", "The"],
		n: 2,
		max_tokens: 6,
		seed: 3,
	};
	const whole = await client.completions.create(params);
	const texts = ["", "", "", ""];
	const ends: (string | null)[] = [];
	for await (const { choices } of await client.completions.create({
		...params,
		stream: true,
	}))
		for (const { index, text, finish_reason } of choices) {
			texts[index] += text;
			if (finish_reason) ends[index] = finish_reason;
		}
	assert.deepEqual(
		texts,
		whole.choices.map((c) => c.text),
	);
	assert.deepEqual(
		ends,
		whole.choices.map((c) => c.finish_reason),
	);
});

test("tools: the model's call comes whole and in deltas, and goes back into the template", async () => {
	const pieces = [
		"<think>",
		"hm",
		"</think>",
		"\n\nOne moment. <tool",
		'_call>\n{"name": "get_',
		'weather", "arguments": {"ci',
		'ty": "Oslo"}}\n</tool_call>',
	];
	const { client, script } = await clientOf(pieces);
	const params = { model: MODEL, messages, tools: [WEATHER] };
	const whole = await client.chat.completions.create(params);
	const streamed = await client.chat.completions
		.stream(params)
		.finalChatCompletion();
	for (const { choices } of [whole, streamed]) {
		const [{ message, finish_reason }] = choices;
		assert.equal(finish_reason, "tool_calls");
		const [call, ...others] = message.tool_calls ?? [];
		assert.ok(call.type === "function" && others.length === 0);
		assert.equal(call.function.name, "get_weather");
		assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
		assert.equal(message.content, "\n\nOne moment.");
		assert.equal(
			(message as { reasoning_content?: string }).reasoning_content,
			"hm",
		);
	}
	assert.equal(script.asked.length, 2);
	const { message } = whole.choices[0];
	const result = {
		role: "tool" as const,
		content: "7 °C",
		tool_call_id: message.tool_calls?.[0].id ?? "",
	};
	await client.chat.completions.create({
		...params,
		messages: [...messages, message, result],
	});
});

test("llama3_json: objects are calls, and a tag that is a special token stays in the text", async () => {
	const pieces = [
		"<|python_tag|>",
		'{"name": "get_weather", ',
		'"parameters": {"city": "Oslo"}}',
	];
	const script: Script = { pieces, asked: [] };
	const engine = scripted(llm, script);
	const { tokenizer } = llm;
	const { url } = await serve(
		{
			...engine,
			tokenizer: {
				...tokenizer,
				id: (token) =>
					token === "<|python_tag|>" ? 4094 : tokenizer.id(token),
			},
		},
		{ enableAutoToolChoice: true, toolCallParser: "llama3_json" },
	);
	const llama = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
	const params = { model: MODEL, messages, tools: [WEATHER] };
	const { choices } = await llama.chat.completions.create(params);
	const [call] = choices[0].message.tool_calls ?? [];
	assert.ok(call.type === "function");
	assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
	assert.equal(choices[0].message.content, null);
	const [{ params: asked }] = script.asked;
	assert.deepEqual(asked, { ...asked, skipSpecialTokens: false });
});

test("runTools: the client calls the function and asks again", async () => {
	const { client } = await clientOf([
		'<tool_call>{"name":"get_weather","arguments":{"city":"Oslo"}}</tool_call>',
	]);
	const asked: string[] = [];
	const runner = client.chat.completions.runTools({
		model: MODEL,
		messages,
		tools: [
			{
				type: "function",
				function: {
					...WEATHER.function,
					parse: (text: string) => JSON.parse(text),
					function: ({ city }: { city: string }) => {
						asked.push(city);
						if (asked.length === 2) runner.abort();
						return "7 °C";
					},
				},
			},
		],
	});
	await assert.rejects(runner.done(), OpenAI.APIUserAbortError);
	assert.deepEqual(asked, ["Oslo", "Oslo"]);
});

test("tool_choice required and named ask for a grammar and read what it gives", async () => {
	const required = await clientOf([
		'[{"name":"get_weather",',
		'"parameters":{"city":"Oslo"}}]',
	]);
	const named = await clientOf(['{"city":', '"Oslo"}']);
	const params = { model: MODEL, messages, tools: [WEATHER] };
	const a = await required.client.chat.completions.create({
		...params,
		tool_choice: "required",
	});
	const b = await named.client.chat.completions.create({
		...params,
		tool_choice: { type: "function", function: { name: "get_weather" } },
	});
	for (const { choices } of [a, b]) {
		const [call] = choices[0].message.tool_calls ?? [];
		assert.deepEqual(
			call.type === "function" && JSON.parse(call.function.arguments),
			{ city: "Oslo" },
		);
	}
	assert.deepEqual(
		[a, b].map((c) => c.choices[0].finish_reason),
		["tool_calls", "stop"],
	);
	const [{ params: asked }] = named.script.asked;
	assert.deepEqual(asked, {
		...asked,
		structuredOutputs: { json: WEATHER.function.parameters },
	});
});

test("responses: text in and out, whole and streamed, by the client's helper", async () => {
	const params = {
		...greedy,
		instructions: "Be brief.",
		input: "What is a KV cache?",
		max_output_tokens: 200,
	};
	const whole = await client.responses.create(params);
	assert.equal(whole.status, "completed");
	assert.ok(whole.output_text.length > 10);
	const events: string[] = [];
	const stream = client.responses.stream(params);
	stream.on("event", ({ type }) => events.push(type));
	const final = await stream.finalResponse();
	assert.equal(final.output_text, whole.output_text);
	assert.equal(final.usage?.total_tokens, whole.usage?.total_tokens);
	assert.deepEqual(
		[...new Set(events)],
		[
			"response.created",
			"response.in_progress",
			"response.output_item.added",
			"response.content_part.added",
			"response.output_text.delta",
			"response.output_text.done",
			"response.content_part.done",
			"response.output_item.done",
			"response.completed",
		],
	);
	const cut = await client.responses.create({
		...params,
		max_output_tokens: 3,
	});
	assert.deepEqual(
		[cut.status, cut.incomplete_details?.reason],
		["incomplete", "max_output_tokens"],
	);
});

test("responses: a thought, words and a call are items; items go in again", async () => {
	const { client, script } = await clientOf([
		"<think>hm</think>",
		"Wait.",
		'<tool_call>{"name":"f","arguments":{"a":1}}',
		"</tool_call>",
	]);
	const tools = [
		{
			type: "function" as const,
			name: "f",
			parameters: { type: "object" },
			strict: false,
		},
	];
	const params = { model: MODEL, input: "hello", tools };
	const whole = await client.responses.create(params);
	const final = await client.responses.stream(params).finalResponse();
	for (const { output } of [whole, final])
		assert.deepEqual(
			output.map(({ type }) => type),
			["reasoning", "message", "function_call"],
		);
	const call = whole.output[2];
	assert.ok(call.type === "function_call");
	assert.deepEqual([call.name, JSON.parse(call.arguments)], ["f", { a: 1 }]);
	await client.responses.create({
		model: MODEL,
		input: [
			{ role: "user", content: [{ type: "input_text", text: "hello" }] },
			...(whole.output as OpenAI.Responses.ResponseInputItem[]),
			{ type: "function_call_output", call_id: call.call_id, output: "done" },
		],
		tools,
	});
	const last = script.asked.at(-1)?.promptTokenIds ?? [];
	assert.match(
		llm.tokenizer.decode(last, { skipSpecialTokens: false }),
		/assistant\nWait\.<\|im_end\|>[\s\S]*tool\ndone/,
	);
});

test("errors are the client's own, with param and code", async () => {
	const cases: [
		unknown,
		new (...args: never[]) => Error,
		string | null,
		string,
	][] = [
		[
			{ model: "other", messages },
			OpenAI.NotFoundError,
			"model",
			"model_not_found",
		],
		[{ model: MODEL }, OpenAI.BadRequestError, "messages", "invalid_type"],
		[
			{ model: MODEL, messages, temperature: -1 },
			OpenAI.BadRequestError,
			"temperature",
			"too_small",
		],
		[
			{ model: MODEL, messages, max_tokens: 5000 },
			OpenAI.BadRequestError,
			"messages",
			"context_length_exceeded",
		],
		[
			{ model: MODEL, messages, logit_bias: { 9999: 1 } },
			OpenAI.BadRequestError,
			"logit_bias",
			"invalid_sampling_params",
		],
		[
			{ model: MODEL, messages, tools: [WEATHER] },
			OpenAI.BadRequestError,
			"tool_choice",
			"invalid_value",
		],
		[
			{ model: MODEL, messages, priority: 3 },
			OpenAI.BadRequestError,
			"priority",
			"invalid_option",
		],
	];
	for (const [body, kind, param, code] of cases) {
		const asked = client.chat.completions.create(body as never);
		await assert.rejects(asked, (error) => {
			assert.ok(error instanceof kind && error instanceof OpenAI.APIError);
			assert.deepEqual([error.param, error.code], [param, code]);
			assert.ok(error.requestID);
			return true;
		});
	}
});

test("an error in a stream's first step still has a status", async () => {
	const asked = client.chat.completions.create({
		model: MODEL,
		messages,
		stream: true,
		logit_bias: { 5: -100 },
		allowed_token_ids: [5],
		bad_words: [llm.tokenizer.tokenText(5)],
	} as never);
	await assert.rejects(asked, OpenAI.BadRequestError);
});

test("the client tries again where the server is full", async () => {
	const app = createApp(llm, { servedModelName: [MODEL], maxQueue: 0 });
	let numFull = 2;
	const retrying = new OpenAI({
		baseURL,
		apiKey: "none",
		maxRetries: 2,
		fetch: async (url, init) => {
			if (numFull-- > 0)
				return new Response("{}", {
					status: 503,
					headers: { "retry-after-ms": "1" },
				});
			return app.fetch(new Request(url, init));
		},
	});
	const { choices } = await retrying.chat.completions.create({
		...greedy,
		messages,
		max_tokens: 2,
	});
	assert.equal(choices.length, 1);
});

test("models: listed and retrieved", async () => {
	const { data } = await client.models.list();
	assert.deepEqual(
		data.map(({ id }) => id),
		[MODEL],
	);
	assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
	await assert.rejects(
		client.models.retrieve("org/other"),
		OpenAI.NotFoundError,
	);
});

const PERSON = {
	type: "object",
	properties: {
		name: { type: "string", maxLength: 12 },
		age: { type: "integer", minimum: 0, maximum: 150 },
	},
	required: ["name", "age"],
	additionalProperties: false,
};
const isPerson = (value: unknown): boolean => {
	const { name, age, ...rest } = value as Record<string, unknown>;
	return (
		typeof name === "string" &&
		Number.isInteger(age) &&
		Object.keys(rest).length === 0
	);
};

test("structured: the client's parse helper gets what the schema says", async () => {
	const answer = await client.chat.completions.parse({
		model: MODEL,
		messages,
		response_format: {
			type: "json_schema",
			json_schema: { name: "person", schema: PERSON, strict: true },
		},
	});
	const { parsed, content } = answer.choices[0].message;
	assert.ok(isPerson(parsed ?? JSON.parse(content ?? "")), content ?? "");
	const { output_text } = await client.responses.create({
		model: MODEL,
		input: "Who?",
		text: { format: { type: "json_schema", name: "person", schema: PERSON } },
	});
	assert.ok(isPerson(JSON.parse(output_text)), output_text);
});

test("structured: choice, regex, grammar; a wrong schema is a 400 that says why", async () => {
	const ask = (structured_outputs: object) =>
		client.completions.create({
			model: MODEL,
			prompt: "Yes or no? ",
			max_tokens: 40,
			structured_outputs,
		} as OpenAI.CompletionCreateParamsNonStreaming);
	const textOf = async (form: object) => (await ask(form)).choices[0].text;
	assert.match(await textOf({ choice: ["yes", "no"] }), /^(yes|no)$/);
	assert.match(await textOf({ regex: "[ab]{3}" }), /^[ab]{3}$/);
	assert.match(await textOf({ grammar: 'root ::= "x" | "yy"' }), /^(x|yy)$/);
	for (const wrong of [
		{ regex: "(" },
		{ grammar: "root ::=" },
		{ json: { type: 5 } },
	])
		await assert.rejects(ask(wrong), (error) => {
			assert.ok(error instanceof OpenAI.BadRequestError, String(error));
			assert.match(error.message, /structured_outputs/);
			return true;
		});
});

test("structured: a required call is one, with the arguments its schema says", async () => {
	const tool = {
		type: "function" as const,
		function: { name: "add_person", parameters: PERSON },
	};
	for (const choice of [
		"required" as const,
		{ type: "function" as const, function: { name: "add_person" } },
	]) {
		const runner = client.chat.completions.stream({
			model: MODEL,
			messages,
			tools: [tool],
			tool_choice: choice,
		});
		const { choices } = await runner.finalChatCompletion();
		const [call] = choices[0].message.tool_calls ?? [];
		assert.ok(call.type === "function" && call.function.name === "add_person");
		assert.ok(
			isPerson(JSON.parse(call.function.arguments)),
			call.function.arguments,
		);
	}
});
