/**
 * Bodies that are right, nearly right and hostile: the answer is 2xx or 4xx, and the engine is as empty afterwards as before.
 * FUZZ_BODIES sets how many (2,000 where it is not set).
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import type { z } from "zod";
import type { LLM } from "../../src/index.ts";
import { createApp, type ServerApp } from "../../src/server/app.ts";
import { chatBody } from "../../src/server/chat-schema.ts";
import {
	completionBody,
	detokenizeBody,
	tokenizeBody,
} from "../../src/server/completion-schema.ts";
import { responsesBody } from "../../src/server/responses-schema.ts";
import { loadText } from "../support/text-model.ts";
import { bodiesOf } from "./arbitrary-bodies.ts";
import { MODEL } from "./serving.ts";

const NUM_BODIES = Number(process.env.FUZZ_BODIES ?? 2000);
const AT_ONCE = 16;

const ENDPOINTS: readonly (readonly [string, z.ZodType, number])[] = [
	["/v1/chat/completions", chatBody, 0.4],
	["/v1/completions", completionBody, 0.3],
	["/v1/responses", responsesBody, 0.2],
	["/tokenize", tokenizeBody, 0.07],
	["/detokenize", detokenizeBody, 0.03],
];

let llm: LLM;
let app: ServerApp;
before(async () => {
	llm = await loadText({ maxNumSeqs: 64, schedulingPolicy: "priority" });
	app = createApp(llm, {
		servedModelName: [MODEL],
		enableAutoToolChoice: true,
		toolCallParser: "hermes",
		reasoningParser: "qwen3",
	});
});
after(() => llm.close());

async function send(path: string, text: string): Promise<[number, string]> {
	const response = await app.fetch(
		new Request(`http://server${path}`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: text,
		}),
	);
	return [response.status, await response.text()];
}

/** What the answer to one body must be. */
async function check(path: string, body: unknown): Promise<number> {
	const text = JSON.stringify(body) ?? "";
	const [status, answer] = await send(path, text);
	const about = `${path} ${text}\n→ ${status} ${answer.slice(0, 500)}`;
	assert.ok(status === 200 || (status >= 400 && status < 500), about);
	if (status !== 200) {
		const { error } = JSON.parse(answer);
		assert.deepEqual(
			Object.keys(error),
			["message", "type", "param", "code"],
			about,
		);
		assert.ok(
			typeof error.message === "string" && typeof error.code === "string",
			about,
		);
	} else assert.ok(!answer.includes('"server_error"'), about);
	return status;
}

for (const [path, schema, share] of ENDPOINTS) {
	const count = Math.ceil(NUM_BODIES * share);
	test(`${path}: ${count} bodies`, async () => {
		const bodies = fc.sample(bodiesOf(schema), { numRuns: count, seed: 20 });
		const counts = new Map<number, number>();
		const queue = bodies.values();
		await Promise.all(
			Array.from({ length: AT_ONCE }, async () => {
				for (const body of queue) {
					const status = await check(path, body);
					counts.set(status, (counts.get(status) ?? 0) + 1);
				}
			}),
		);
		const good = counts.get(200) ?? 0;
		assert.ok(good > count / 20, `some are right: ${[...counts]}`);
		assert.ok(good < count, `some are wrong: ${[...counts]}`);
		const { numRequestsRunning, numRequestsWaiting, kvCacheUsage } =
			llm.stats();
		assert.deepEqual(
			[numRequestsRunning, numRequestsWaiting, kvCacheUsage],
			[0, 0, 0],
		);
	});
}
