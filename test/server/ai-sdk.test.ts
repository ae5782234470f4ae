/** Vercel's ai SDK with its OpenAI-compatible provider against the server: text, streams, tools over two turns, reasoning, errors. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
	APICallError,
	generateText,
	jsonSchema,
	stepCountIs,
	streamText,
	tool,
} from "ai";
import type { LLM } from "../../src/index.ts";
import type { ServedEngine } from "../../src/server/engine.ts";
import { loadDemo, MODEL, type Script, scripted, serve } from "./serving.ts";

// It says on the console which of OpenAI's settings other providers may not have.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

let llm: LLM;
before(async () => {
	llm = await loadDemo();
});

async function providerOf(engine: ServedEngine) {
	const { url } = await serve(engine, {
		enableAutoToolChoice: true,
		toolCallParser: "hermes",
		reasoningParser: "qwen3",
	});
	return createOpenAICompatible({
		name: "nano-vllm",
		baseURL: `${url}/v1`,
		includeUsage: true,
	});
}

const prompt = "What is a KV cache?";

test("text, whole and streamed, with usage", async () => {
	const provider = await providerOf(llm);
	const params = {
		model: provider(MODEL),
		prompt,
		temperature: 0,
		maxOutputTokens: 30,
	};
	const whole = await generateText(params);
	const stream = streamText(params);
	let text = "";
	for await (const piece of stream.textStream) text += piece;
	const [own] = await llm.chat([{ role: "user", content: prompt }], {
		temperature: 0,
		maxTokens: 30,
	});
	assert.equal(whole.text, own.outputs[0].text);
	assert.equal(text, whole.text);
	assert.equal(await stream.finishReason, whole.finishReason);
	assert.deepEqual(
		[(await stream.usage).inputTokens, (await stream.usage).outputTokens],
		[whole.usage.inputTokens, whole.usage.outputTokens],
	);
	assert.equal(whole.usage.outputTokens, own.outputs[0].tokenIds.length);
});

test("a completion model", async () => {
	const provider = await providerOf(llm);
	const model = provider.completionModel(MODEL);
	const { text } = await generateText({
		model,
		prompt: "Once",
		maxOutputTokens: 5,
	});
	assert.ok(text.length > 0);
});

test("tools: called with the model's arguments, whole and streamed, and reasoning beside", async () => {
	const script: Script = {
		pieces: [
			"<think>",
			"cold?",
			"</think>",
			"<tool_call>\n",
			'{"name": "weather", "argu',
			'ments": {"city": "Oslo"}}',
			"\n</tool_call>",
		],
		asked: [],
	};
	const provider = await providerOf(scripted(llm, script));
	const cities: string[] = [];
	const weather = tool({
		description: "the weather",
		inputSchema: jsonSchema<{ city: string }>({
			type: "object",
			properties: { city: { type: "string" } },
			required: ["city"],
		}),
		execute: async ({ city }) => {
			cities.push(city);
			return "7 °C";
		},
	});
	const params = {
		model: provider(MODEL),
		prompt,
		tools: { weather },
		stopWhen: stepCountIs(2),
	};
	const whole = await generateText(params);
	assert.equal(whole.finishReason, "tool-calls");
	assert.equal(whole.steps.length, 2);
	assert.equal(whole.reasoningText, "cold?");
	const stream = streamText(params);
	await stream.consumeStream();
	assert.equal((await stream.steps).length, 2);
	assert.deepEqual(cities, ["Oslo", "Oslo", "Oslo", "Oslo"]);
	const second = llm.tokenizer.decode(script.asked[1].promptTokenIds);
	assert.match(second, /7 °C/);
});

test("errors say what the server said", async () => {
	const provider = await providerOf(llm);
	const asked = generateText({
		model: provider("other"),
		prompt,
		maxRetries: 0,
	});
	await assert.rejects(asked, (error) => {
		assert.ok(APICallError.isInstance(error));
		assert.equal(error.statusCode, 404);
		assert.match(error.message, /there is no model "other"/);
		return true;
	});
});
