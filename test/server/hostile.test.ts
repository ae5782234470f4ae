/** Input made to hurt: depth, size, numbers, half characters, headers without end, clients that dawdle. Bounded in time; others are served meanwhile. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { before, test } from "node:test";
import type { LLM } from "../../src/index.ts";
import { loadDemo, post, serve } from "./serving.ts";

let llm: LLM;
let url: string;
before(async () => {
	llm = await loadDemo();
	({ url } = await serve(llm));
});

const chat = (fields: object) => ({
	messages: [{ role: "user", content: "hi" }],
	max_tokens: 1,
	...fields,
});

/** Answered within a time that no other request need notice. */
async function ask(path: string, body: unknown, limitMs = 1000) {
	const start = performance.now();
	const response = await post(url + path, body);
	const text = await response.text();
	const ms = performance.now() - start;
	assert.ok(ms < limitMs, `${path} took ${ms} ms`);
	return { status: response.status, text };
}

test("deep JSON is refused before anything walks it", async () => {
	const deep = (open: string, close: string, n = 200_000) =>
		open.repeat(n) + close.repeat(n);
	for (const body of [
		deep("[", "]"),
		deep('{"a":', "}").replace(":}", ":1}"),
		`{"messages":${deep("[", "]")}}`,
		"[".repeat(1_000_000),
		`{"chat_template_kwargs":${deep('{"a":[', "]}", 100)}}`,
	])
		assert.equal((await ask("/v1/chat/completions", body)).status, 400);
	const brackets = chat({ user: "[{".repeat(10_000) });
	assert.equal((await ask("/v1/chat/completions", brackets)).status, 200);
});

test("10 MB bodies: 413 beyond the limit, 400 for what no context holds", async () => {
	const large = "x".repeat(10 * 2 ** 20);
	assert.equal((await ask("/v1/completions", { prompt: large })).status, 413);
	const below = large.slice(0, 7 * 2 ** 20);
	const { status, text } = await ask("/v1/completions", { prompt: below });
	assert.equal(status, 400);
	assert.match(text, /context_length_exceeded/);
	const ids = Array.from({ length: 2 ** 20 }, () => 1);
	assert.equal((await ask("/v1/completions", { prompt: ids })).status, 400);
	const messages = Array.from({ length: 100_000 }, () => ({
		role: "user",
		content: "x",
	}));
	assert.equal((await ask("/v1/chat/completions", { messages })).status, 400);
	const chunked = new ReadableStream({
		pull: (c) => c.enqueue(new Uint8Array(2 ** 16).fill(32)),
	});
	const endless = await fetch(`${url}/v1/completions`, {
		method: "POST",
		headers: { "content-type": "application/json" },
		body: chunked,
		duplex: "half",
	} as RequestInit).catch(() => null);
	assert.ok(endless === null || endless.status === 413, "no length, no end");
});

test("numbers no field was made for", async () => {
	for (const number of [
		"1e999",
		"-1e999",
		"1e308",
		"9".repeat(400),
		"-0",
		"1e-400",
		"18446744073709551616",
	])
		for (const field of [
			"max_tokens",
			"n",
			"seed",
			"top_k",
			"logprobs",
			"min_tokens",
			"priority",
			"temperature",
		]) {
			const body = `{"prompt":"a","max_tokens":1,"${field}":${number}}`;
			const { status, text } = await ask("/v1/completions", body);
			assert.ok(
				status === 200 || status === 400,
				`${field} ${number}: ${text}`,
			);
		}
	const tokens = [2 ** 31 - 1, 4096, 1e9];
	assert.equal((await ask("/detokenize", { tokens })).status, 200);
	assert.equal((await ask("/v1/completions", { prompt: [4096] })).status, 400);
});

test("half characters and wrong bytes", async () => {
	const half = '{"prompt":"a\\ud800b\\udc00","max_tokens":1,"echo":true}';
	const { status, text } = await ask("/v1/completions", half);
	assert.equal(status, 200);
	assert.ok(JSON.parse(text).choices[0].text.length > 0);
	const bytes = new Uint8Array([123, 34, 97, 34, 58, 34, 0xff, 0xfe, 34, 125]);
	const headers = { "content-type": "application/json" };
	const wrong = await fetch(`${url}/v1/completions`, {
		method: "POST",
		headers,
		body: bytes,
	});
	assert.equal(wrong.status, 400);
});

test("only JSON is read: what a web page can send unasked is not", async () => {
	for (const type of [
		"text/plain",
		"application/x-www-form-urlencoded",
		"multipart/form-data; boundary=json",
	]) {
		const headers = { "content-type": type };
		const body = JSON.stringify({ prompt: "a" });
		const response = await fetch(`${url}/v1/completions`, {
			method: "POST",
			headers,
			body,
		});
		assert.equal(response.status, 415, type);
	}
});

test("one word of 60,000 letters is tokenized without making others wait long", async () => {
	for (const prompt of [
		"a".repeat(60_000),
		"ab".repeat(30_000),
		" ".repeat(60_000),
		"é".repeat(60_000),
	]) {
		const { status } = await ask("/tokenize", { prompt }, 2000);
		assert.equal(status, 200);
	}
});

test("templates cannot be brought along, nor their names taken", async () => {
	const own = chat({ chat_template: "{{ messages.constructor }}" });
	assert.equal((await ask("/v1/chat/completions", own)).status, 400);
	const kwargs = {
		messages: [{ role: "system", content: "taken" }],
		python_strip: "x",
		__proto__: { polluted: true },
		constructor: "x",
		addGenerationPrompt: false,
	};
	const body = { messages: chat({}).messages, chat_template_kwargs: kwargs };
	const { status, text } = await ask("/tokenize", body);
	assert.equal(status, 200);
	const { tokens } = JSON.parse(text);
	assert.equal(llm.tokenizer.decode(tokens).includes("taken"), false);
	assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

const address = () => ({ host: "127.0.0.1", port: Number(new URL(url).port) });

/** The first line that comes back, or "" where the connection is cut. */
function raw(send: (write: (text: string) => void) => void): Promise<string> {
	return new Promise((resolve) => {
		const socket = connect(address());
		let got = "";
		socket.on("data", (data) => {
			got += data;
		});
		socket.on("error", () => {});
		socket.on("close", () => resolve(got.split("\r\n")[0]));
		socket.on("connect", () => send((text) => socket.write(text)));
	});
}

test("headers: too many bytes are refused, too many of them are not kept", async () => {
	const head = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
	const many = Array.from({ length: 1000 }, (_, i) => `x-${i}: y\r\n`).join("");
	assert.match(
		await raw((write) => write(`${head}${many}\r\n`)),
		/ (200|431) /,
	);
	const large = `x: ${"y".repeat(100_000)}\r\n`;
	assert.match(await raw((write) => write(`${head}${large}\r\n`)), / 431 /);
	assert.match(await raw((write) => write("nonsense\r\n\r\n")), / 400 /);
	const path = `GET /${"a".repeat(50_000)} HTTP/1.1\r\nHost: x\r\n\r\n`;
	assert.match(await raw((write) => write(path)), / (414|431) /);
});

test("a hundred clients that dawdle over headers and bodies keep nobody waiting", async () => {
	const sockets = Array.from({ length: 100 }, (_, i) => {
		const socket = connect(address());
		socket.on("error", () => {});
		socket.write(
			"POST /v1/completions HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\n",
		);
		if (i % 2) socket.write('content-length: 1000\r\n\r\n{"prompt": "');
		return socket;
	});
	const { status } = await ask("/v1/completions", {
		prompt: "Once",
		max_tokens: 4,
	});
	assert.equal(status, 200);
	assert.equal(llm.stats().numRequestsRunning, 0);
	for (const socket of sockets) socket.destroy();
});
