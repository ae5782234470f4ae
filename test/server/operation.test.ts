/** A server among others: keys, origins, a full queue, time limits, clients that leave, and its end. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LLM } from "../../src/index.ts";
import { createApp } from "../../src/server/app.ts";
import type { Logger } from "../../src/server/options.ts";
import {
	DUMMY,
	ENDLESS,
	start,
	temporaryFolder,
	writeModel,
} from "../cli/command-line.ts";
import { loadText } from "../support/text-model.ts";
import { eventsOf, loadDemo, post, scripted, serve } from "./serving.ts";

let llm: LLM;
before(async () => {
	llm = await loadDemo();
});

const chat = { messages: [{ role: "user", content: "hello" }], max_tokens: 4 };
const long = { prompt: "Once", max_tokens: 900, ignore_eos: true };

async function codeOf(response: Response): Promise<[number, string]> {
	const { error } = (await response.json()) as { error: { code: string } };
	return [response.status, error.code];
}

/** Waits until a condition holds, as long as a slow machine needs. */
async function until(holds: () => boolean): Promise<void> {
	for (let i = 0; i < 500 && !holds(); i++) await sleep(10);
	assert.ok(holds());
}

const isIdle = () => {
	const { numRequestsRunning, numRequestsWaiting, kvCacheUsage } = llm.stats();
	return numRequestsRunning + numRequestsWaiting + kvCacheUsage === 0;
};

test("keys: any of several; probes and scrapers need none", async () => {
	const { url } = await serve(llm, { apiKey: ["first", "second"] });
	const ask = (key?: string) =>
		post(`${url}/v1/chat/completions`, chat, key ? { authorization: key } : {});
	assert.equal((await ask("Bearer first")).status, 200);
	assert.equal((await ask("bearer second")).status, 200);
	for (const wrong of [
		undefined,
		"Bearer ",
		"Bearer firs",
		"Bearer firstx",
		"Basic first",
		"first",
	])
		assert.deepEqual(await codeOf(await ask(wrong)), [401, "invalid_api_key"]);
	for (const path of ["/v1/models", "/v1/models/demo-model"])
		assert.equal((await fetch(url + path)).status, 401, path);
	assert.equal((await post(`${url}/tokenize`, { prompt: "x" })).status, 401);
	for (const path of ["/health", "/metrics", "/version", "/ping", "/load"])
		assert.equal((await fetch(url + path)).status, 200, path);
});

test("web pages: none unless allowed", async () => {
	const origin = "https://example.org";
	const closed = createApp(llm);
	const open = createApp(llm, { allowedOrigins: [origin] });
	const ask = (app: typeof open, method: string, from: string) =>
		app.fetch(
			new Request("http://server/health", {
				method,
				headers: {
					origin: from,
					"access-control-request-headers": "authorization",
				},
			}),
		);
	const allowed = (r: Response) => r.headers.get("access-control-allow-origin");
	assert.equal(allowed(await ask(closed, "GET", origin)), null);
	assert.equal((await ask(closed, "OPTIONS", origin)).status, 403);
	assert.equal(allowed(await ask(open, "GET", origin)), origin);
	assert.equal(allowed(await ask(open, "GET", "https://other.org")), null);
	const preflight = await ask(open, "OPTIONS", origin);
	assert.equal(preflight.status, 204);
	assert.equal(
		preflight.headers.get("access-control-allow-headers"),
		"authorization",
	);
});

test("a full queue is 503 with Retry-After, and counted; others go on", async () => {
	await using small = await loadText({ maxNumSeqs: 1 });
	const { url } = await serve(small, { maxQueue: 1 });
	const body = { prompt: "a", max_tokens: 200, ignore_eos: true };
	const answers = await Promise.all(
		Array.from({ length: 6 }, () => post(`${url}/v1/completions`, body)),
	);
	const statuses = answers.map((r) => r.status);
	assert.ok(statuses.includes(200) && statuses.includes(503), `${statuses}`);
	assert.ok(statuses.every((s) => s === 200 || s === 503));
	const refused = answers.find((r) => r.status === 503) as Response;
	assert.equal(refused.headers.get("retry-after"), "1");
	assert.deepEqual(await codeOf(refused), [503, "queue_full"]);
	const metrics = await (await fetch(`${url}/metrics`)).text();
	const numRefused = statuses.filter((s) => s === 503).length;
	assert.match(
		metrics,
		new RegExp(`rejections_total\\{.*reason="queue_full"\\} ${numRefused}\n`),
	);
});

test("time is up: 503, or an error in the stream; nothing runs on", async () => {
	const { url } = await serve(llm, { requestTimeout: 0.3 });
	const heavy = { ...long, n: 16 };
	assert.deepEqual(await codeOf(await post(`${url}/v1/completions`, heavy)), [
		503,
		"request_timeout",
	]);
	const stream = await post(`${url}/v1/completions`, {
		...heavy,
		stream: true,
	});
	assert.equal(stream.status, 200);
	const events = await eventsOf(stream);
	assert.equal(events.pop(), "[DONE]");
	const { error } = events.pop() as { error: { code: string } };
	assert.equal(error.code, "request_timeout");
	await until(isIdle);
});

test("a client that leaves frees its blocks within a step, streaming or not", async () => {
	const { url } = await serve(llm);
	for (const stream of [true, false]) {
		const controller = new AbortController();
		const asked = post(
			`${url}/v1/completions`,
			{ ...long, stream },
			{},
			controller.signal,
		);
		asked.catch(() => {});
		await until(() => llm.stats().numRequestsRunning > 0);
		if (stream) await (await asked).body?.getReader().read();
		controller.abort();
		await until(() => isIdle());
		const { numSteps } = llm.stats();
		await sleep(50);
		assert.equal(llm.stats().numSteps, numSteps, "no step for nobody");
	}
	const metrics = await (await fetch(`${url}/metrics`)).text();
	assert.match(
		metrics,
		/request_success_total\{.*finished_reason="abort"\} 2\n/,
	);
	assert.match(metrics, /server_load|vllm:num_requests_running\{[^}]*\} 0\n/);
});

test("a client that does not read is cut before it fills memory", async () => {
	const pieces = Array.from({ length: 40 }, () => "x".repeat(2 ** 20));
	const app = createApp(scripted(llm, { pieces, asked: [] }));
	const headers = { "content-type": "application/json" };
	const body = JSON.stringify({ prompt: "x", stream: true });
	const init = { method: "POST", headers, body };
	const ask = () =>
		app.fetch(new Request("http://server/v1/completions", init));
	const unread = await ask();
	assert.equal(unread.status, 200);
	await sleep(50);
	await assert.rejects(unread.text(), /does not read/);
	const read = await (
		await post(`${(await serve(llm)).url}/v1/completions`, body)
	).text();
	assert.match(read, /DONE/);
});

test("draining: health fails, nothing new is taken, what runs ends whole", async () => {
	const { app, url } = await serve(llm);
	const stream = await post(`${url}/v1/completions`, {
		...long,
		max_tokens: 60,
		stream: true,
	});
	const drained = app.drain(10_000);
	for (const path of ["/health", "/health/ready", "/ping"])
		assert.equal((await fetch(url + path)).status, 503, path);
	assert.deepEqual(await codeOf(await post(`${url}/v1/completions`, long)), [
		503,
		"shutting_down",
	]);
	const events = await eventsOf(stream);
	assert.equal(events.pop(), "[DONE]");
	const [{ finish_reason }] = (
		events.pop() as { choices: { finish_reason: string }[] }
	).choices;
	assert.equal(finish_reason, "length");
	await drained;
});

test("draining is bounded: what has not ended by then is cut", async () => {
	const { app, url } = await serve(llm);
	const stream = await post(`${url}/v1/completions`, {
		...long,
		n: 16,
		stream: true,
	});
	await app.drain(1);
	const events = await eventsOf(stream);
	const { error } = events.at(-2) as { error: { code: string } };
	assert.equal(error.code, "shutting_down");
	await until(isIdle);
});

test("an engine that cannot go on fails the health of its server", async () => {
	const broken = await loadText();
	const { url } = await serve(broken);
	assert.equal((await fetch(`${url}/health`)).status, 200);
	await broken.close();
	assert.deepEqual(await codeOf(await fetch(`${url}/health`)), [
		503,
		"engine_closed",
	]);
	const refused = await post(`${url}/v1/completions`, { prompt: "a" });
	assert.deepEqual(await codeOf(refused), [503, "engine_closed"]);
});

test("the log has request ids and no words; words only where asked for", async () => {
	const lines: string[] = [];
	const write = (fields: object, message: string) => {
		lines.push(JSON.stringify({ ...fields, message }));
	};
	const log: Logger = { info: write, warn: write, error: write };
	for (const logRequests of [false, true]) {
		const { url } = await serve(llm, { log, logRequests });
		lines.length = 0;
		const secret = {
			...chat,
			messages: [{ role: "user", content: "a secret" }],
		};
		await post(`${url}/v1/chat/completions`, secret, {
			"x-request-id": "id-1",
		});
		await post(`${url}/v1/chat/completions`, { ...secret, top_p: 7 });
		const text = lines.join("\n");
		assert.match(text, /"requestId":"id-1"/);
		assert.match(text, /"completion_tokens":/);
		assert.match(text, /"status":400/);
		assert.equal(text.includes("a secret"), logRequests);
	}
});

test("paths and methods that are not there", async () => {
	const { url } = await serve(llm);
	assert.deepEqual(await codeOf(await fetch(`${url}/v2`)), [404, "not_found"]);
	const wrong = await fetch(`${url}/v1/completions`);
	assert.equal(wrong.headers.get("allow"), "POST");
	assert.deepEqual(await codeOf(wrong), [405, "method_not_allowed"]);
	assert.deepEqual(await codeOf(await fetch(`${url}/v1/models/%E0%A4%A`)), [
		404,
		"model_not_found",
	]);
});

test("a process: ready when it says so; SIGTERM lets the running stream end and exits with 0", async () => {
	const folder = writeModel(temporaryFolder(), { maxModelLen: ENDLESS });
	const socket = join(temporaryFolder(), "socket");
	const flags = ["--uds", socket, "--shutdown-timeout", "20", "--api-key", "k"];
	const running = start(["serve", folder, ...DUMMY, ...flags]);
	await running.until(/listening on unix:/);
	const body = JSON.stringify({
		prompt: "a",
		max_tokens: 400,
		ignore_eos: true,
		stream: true,
	});
	const text = await new Promise<string>((resolve, reject) => {
		const headers = {
			"content-type": "application/json",
			authorization: "Bearer k",
		};
		const sent = request({
			socketPath: socket,
			path: "/v1/completions",
			method: "POST",
			headers,
		});
		sent.on("error", reject);
		sent.on("response", (response) => {
			let all = "";
			response.setEncoding("utf8");
			response.on("data", (piece: string) => {
				if (all === "") running.process.kill("SIGTERM");
				all += piece;
			});
			response.on("end", () => resolve(all));
		});
		sent.end(body);
	});
	const { code, stderr } = await running.ended;
	assert.equal(code, 0, stderr);
	assert.match(text, /"finish_reason":"length"[\s\S]*\[DONE\]/);
	assert.match(stderr, /"signal":"SIGTERM"/);
});

test("wrong flags are told before a model is loaded", async () => {
	for (const [flags, wanted] of [
		[
			["--enable-auto-tool-choice"],
			/--enable-auto-tool-choice wants a --tool-call-parser/,
		],
		[["--port", "70000"], /--port must be from 0 to 65535/],
		[["--allowed-origins", "example.org"], /--allowed-origins must be/],
		[["--max-body-bytes", "1"], /--max-body-bytes must be bytes/],
	] as const) {
		const { code, stderr } = await start(["serve", "no-such-model", ...flags])
			.ended;
		assert.equal(code, 1);
		assert.match(stderr, wanted);
	}
});
