/** Server-sent events and the chunks in them, however the network cuts them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answerDeltas } from "../../web/src/server-chunks.ts";
import { eventData } from "../../web/src/sse.ts";

async function dataOf(parts: readonly Uint8Array[]): Promise<string[]> {
	const body = new ReadableStream<Uint8Array>({
		start(controller) {
			for (const part of parts) controller.enqueue(part);
			controller.close();
		},
	});
	return Array.fromAsync(eventData(body));
}

function cut(text: string, places: readonly number[]): Uint8Array[] {
	const bytes = new TextEncoder().encode(text);
	const at = [0, ...places.map((it) => it % (bytes.length + 1)), bytes.length];
	at.sort((a, b) => a - b);
	return at.slice(1).map((end, i) => bytes.slice(at[i], end));
}

test("events arrive whole wherever the bytes are cut, with every kind of line end", async () => {
	const line = fc
		.string({ unit: "grapheme" })
		.filter((it) => !/[\r\n]/.test(it));
	await fc.assert(
		fc.asyncProperty(
			fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), {
				maxLength: 8,
			}),
			fc.array(fc.nat(), { maxLength: 12 }),
			fc.constantFrom("\n", "\r\n", "\r"),
			async (events, places, end) => {
				const text = events
					.map(
						(lines) =>
							`: a comment${end}id: 7${end}${lines.map((it) => `data: ${it}${end}`).join("")}${end}`,
					)
					.join("");
				const expected = events.map((lines) => lines.join("\n"));
				// A lone CR at the very end could still become CRLF.
				assert.deepEqual(await dataOf(cut(`${text}: bye\n`, places)), expected);
			},
		),
	);
});

test("an event that the end of the stream cuts is dropped", async () => {
	assert.deepEqual(await dataOf(cut("data: a\n\ndata: b\n", [])), ["a"]);
});

async function* chunks(...list: unknown[]) {
	yield* list;
}

test("a chat's chunks: text, tokens without the chosen one among the alternatives, the end", async () => {
	const deltas = await Array.fromAsync(
		answerDeltas(
			chunks(
				{ choices: [{ delta: { role: "assistant", content: "" } }] },
				{
					choices: [
						{
							delta: { content: "Hi" },
							logprobs: {
								content: [
									{
										token: "Hi",
										logprob: -0.5,
										top_logprobs: [
											{ token: "Hi", logprob: -0.5 },
											{ token: "No", logprob: -1 },
										],
									},
								],
							},
						},
					],
				},
				{ choices: [{ delta: {}, finish_reason: "length" }] },
				{ choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } },
			),
		),
	);
	assert.deepEqual(deltas, [
		{
			text: "Hi",
			tokens: [
				{
					text: "Hi",
					logprob: -0.5,
					alternatives: [{ text: "No", logprob: -1 }],
				},
			],
			finishReason: null,
		},
		{ text: "", tokens: [], finishReason: "length" },
	]);
});

test("a thought that the server tells apart stands between its marks", async () => {
	const deltas = await Array.fromAsync(
		answerDeltas(
			chunks(
				{ choices: [{ delta: { reasoning_content: "so" } }] },
				{ choices: [{ delta: { reasoning_content: " on" } }] },
				{ choices: [{ delta: { content: "Yes" }, finish_reason: "stop" }] },
			),
		),
	);
	assert.equal(
		deltas.map(({ text }) => text).join(""),
		"<think>\nso on\n</think>\n\nYes",
	);
});

test("an error within the stream, and a stream without an end, are errors", async () => {
	await assert.rejects(
		Array.fromAsync(answerDeltas(chunks({ error: { message: "no room" } }))),
		/no room/,
	);
	await assert.rejects(
		Array.fromAsync(
			answerDeltas(chunks({ choices: [{ delta: { content: "Hi" } }] })),
		),
		/cut off/,
	);
});
