/** The engine live over HTTP: who may watch and stop it, what a client hears, and that nobody who left is told anything. */
import assert from "node:assert/strict";
import { before, mock, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineEvent, EngineListener, LLM } from "../../src/index.ts";
import {
	applyEvent,
	createState,
	type InspectorState,
} from "../../src/inspector/state.ts";
import { createFeed } from "../../src/server/event-feed.ts";
import {
	FEED_HEARTBEAT_MS,
	MAX_FEED_BATCH,
	MAX_FEED_UNREAD_BYTES,
	MAX_INSPECTORS,
} from "../../src/server/limits.ts";
import { loadDemo, post, serve } from "./serving.ts";

let llm: LLM;
/** Listeners there are now. */
let numListeners = 0;
before(async () => {
	llm = await loadDemo();
	const observe = llm.observe.bind(llm);
	llm.observe = (listener) => {
		numListeners++;
		const leave = observe(listener);
		return () => {
			numListeners--;
			leave();
		};
	};
});

const WATCHED = { enableInspector: true, enableInspectorControl: true };
const story = { prompt: "Once upon a time", max_tokens: 12, ignore_eos: true };

async function codeOf(response: Response): Promise<[number, string]> {
	const { error } = (await response.json()) as { error: { code: string } };
	return [response.status, error.code];
}

async function until(holds: () => boolean): Promise<void> {
	for (let i = 0; i < 500 && !holds(); i++) await sleep(10);
	assert.ok(holds());
}

/** Reads messages into a state until it is told to stop. */
class Client {
	state: InspectorState | null = null;
	numSnapshots = 0;
	readonly #stop = new AbortController();
	readonly ended: Promise<void>;
	response: Response | null = null;

	constructor(url: string) {
		this.ended = this.#read(url);
	}

	leave(): void {
		this.#stop.abort();
	}

	async #read(url: string): Promise<void> {
		const { signal } = this.#stop;
		const response = await fetch(url, { signal });
		this.response = response;
		assert.ok(response.body !== null);
		let text = "";
		const chunks = response.body.pipeThrough(new TextDecoderStream());
		try {
			for await (const chunk of chunks) {
				text += chunk;
				const messages = text.split("\n\n");
				text = messages.pop() ?? "";
				for (const message of messages) this.#hear(message);
			}
		} catch (error) {
			if (!signal.aborted) throw error;
		}
	}

	#hear(message: string): void {
		if (message.startsWith(":")) return;
		assert.match(message, /^data: \[/);
		for (const event of JSON.parse(message.slice(6)) as EngineEvent[]) {
			if (event.type === "snapshot") this.numSnapshots++;
			if (this.state !== null) applyEvent(this.state, event);
			else {
				assert.ok(event.type === "snapshot", "a snapshot comes first");
				this.state = createState(event);
			}
		}
	}
}

test("off unless asked for, with the reason; behind the key", async () => {
	const off = await serve(llm);
	const events = await fetch(`${off.url}/inspector/events`);
	assert.deepEqual(await codeOf(events), [404, "inspector_disabled"]);
	for (const path of ["pause", "resume", "step"])
		assert.deepEqual(
			await codeOf(await post(`${off.url}/inspector/${path}`, "")),
			[404, "inspector_disabled"],
		);
	const watchOnly = await serve(llm, { enableInspector: true });
	for (const path of ["pause", "resume", "step"])
		assert.deepEqual(
			await codeOf(await post(`${watchOnly.url}/inspector/${path}`, "")),
			[403, "inspector_control_disabled"],
		);
	assert.equal(llm.isPaused, false);
	const keyed = await serve(llm, { ...WATCHED, apiKey: ["key"] });
	for (const response of [
		await fetch(`${keyed.url}/inspector/events`),
		await post(`${keyed.url}/inspector/pause`, ""),
	])
		assert.deepEqual(await codeOf(response), [401, "invalid_api_key"]);
	await assert.rejects(serve(llm, { enableInspectorControl: true }), {
		code: "invalid_option",
		message: /enableInspector/,
	});
	assert.equal(numListeners, 0);
});

test("a client's state comes to be the engine's; when it leaves, nobody is told any more", async () => {
	const { url } = await serve(llm, WATCHED);
	const client = new Client(`${url}/inspector/events`);
	await until(() => client.state !== null);
	const { headers } = client.response as Response;
	assert.match(headers.get("content-type") ?? "", /^text\/event-stream/);
	assert.equal(headers.get("cache-control"), "no-store");
	const before = llm.stats();
	for (let i = 0; i < 2; i++)
		assert.equal((await post(`${url}/v1/completions`, story)).status, 200);
	await until(() => client.state?.ended.length === 2);
	const { state } = client;
	assert.ok(state !== null);
	const stats = llm.stats();
	assert.equal(state.step, stats.numSteps);
	const { counters } = state;
	assert.equal(counters.numGenerationTokens, stats.numGenerationTokens);
	assert.equal(counters.prefixCacheHits, stats.prefixCacheHits);
	assert.equal(counters.numFreeBlocks, stats.numBlocks);
	assert.equal(state.steps.length, stats.numSteps - before.numSteps);
	assert.equal(state.series.firstTokens.length, 2);
	assert.equal(client.numSnapshots, 1);
	assert.equal(numListeners, 1);
	client.leave();
	await client.ended;
	await until(() => numListeners === 0);
	const head = await fetch(`${url}/inspector/events`, { method: "HEAD" });
	assert.equal(head.status, 200);
	assert.equal(numListeners, 0, "a HEAD listens to nothing");
});

test("pause, step and resume; a request waits meanwhile", async () => {
	const { url } = await serve(llm, WATCHED);
	const act = async (what: string) => {
		const response = await post(`${url}/inspector/${what}`, "");
		assert.equal(response.status, 200);
		return (await response.json()) as { is_paused: boolean; num_steps: number };
	};
	assert.deepEqual(await codeOf(await post(`${url}/inspector/step`, "")), [
		409,
		"not_paused",
	]);
	const { num_steps } = await act("pause");
	assert.deepEqual(await act("step"), { is_paused: true, num_steps });
	const answer = post(`${url}/v1/completions`, story);
	await until(() => llm.stats().numRequestsWaiting === 1);
	for (const ran of [1, 2, 3])
		assert.deepEqual(await act("step"), {
			is_paused: true,
			num_steps: num_steps + ran,
		});
	assert.equal(llm.stats().numRequestsRunning, 1);
	assert.equal((await act("resume")).is_paused, false);
	assert.equal((await answer).status, 200);
});

test("pages of other sites do not stop it", async () => {
	const allowedOrigins = ["https://friend.example"];
	const { url } = await serve(llm, { ...WATCHED, allowedOrigins });
	const resume = (origin: string) =>
		post(`${url}/inspector/resume`, "", { origin });
	assert.deepEqual(await codeOf(await resume("https://evil.example")), [
		403,
		"origin_not_allowed",
	]);
	assert.equal((await resume("null")).status, 403);
	assert.equal((await resume("https://friend.example")).status, 200);
	assert.equal((await resume(url)).status, 200);
});

test("so many may watch; a server that ends lets them go", async () => {
	const { url, app } = await serve(llm, WATCHED);
	const clients = Array.from(
		{ length: MAX_INSPECTORS },
		() => new Client(`${url}/inspector/events`),
	);
	await until(() => clients.every(({ state }) => state !== null));
	const refused = await fetch(`${url}/inspector/events`);
	assert.deepEqual(await codeOf(refused), [503, "too_many_inspectors"]);
	await app.drain(0);
	await Promise.all(clients.map(({ ended }) => ended));
	assert.equal(numListeners, 0);
	const late = await fetch(`${url}/inspector/events`);
	assert.deepEqual(await codeOf(late), [503, "shutting_down"]);
});

/** An engine that says what a test has it say. */
function fakeEngine() {
	const listeners = new Set<EngineListener>();
	const snapshot = { type: "snapshot", text: "" } as unknown as EngineEvent;
	let numJoined = 0;
	return {
		observe(listener: EngineListener) {
			numJoined++;
			listeners.add(listener);
			listener(snapshot);
			return () => void listeners.delete(listener);
		},
		say(size: number) {
			const event = { type: "pause", text: "x".repeat(size) };
			for (const listener of listeners)
				listener(event as unknown as EngineEvent);
		},
		get numListeners() {
			return listeners.size;
		},
		get numJoined() {
			return numJoined;
		},
	};
}

function feedOf(
	engine: ReturnType<typeof fakeEngine>,
	failure: () => Error | null = () => null,
) {
	const client = new AbortController();
	const ended = mock.fn();
	const { body } = createFeed({
		observe: engine.observe,
		signal: client.signal,
		failure,
		onEnd: ended,
	});
	return { reader: body.getReader(), client, ended };
}

async function messageOf(
	reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<string> {
	const { value } = await reader.read();
	return new TextDecoder().decode(value);
}

test("a client that does not read costs bounded memory, and hears everything anew when it does", async () => {
	const engine = fakeEngine();
	const { reader, client, ended } = feedOf(engine);
	assert.match(await messageOf(reader), /^data: \[\{"type":"snapshot"/);
	const size = 1000;
	let numSaid = 0;
	while (engine.numListeners > 0) {
		engine.say(size);
		assert.ok(++numSaid * size < 3 * MAX_FEED_UNREAD_BYTES, "it is cut off");
	}
	assert.ok(numSaid * size > MAX_FEED_UNREAD_BYTES / 2);
	assert.equal(engine.numJoined, 1);
	let numRead = 0;
	for (;;) {
		const message = await messageOf(reader);
		if (message.includes("snapshot")) break;
		assert.ok(JSON.parse(message.slice(6)).length <= MAX_FEED_BATCH);
		numRead++;
	}
	assert.ok(numRead > 1);
	assert.equal(engine.numJoined, 2);
	assert.equal(engine.numListeners, 1);
	client.abort();
	assert.equal(engine.numListeners, 0);
	assert.equal(ended.mock.callCount(), 1);
	await reader.cancel();
	assert.equal(ended.mock.callCount(), 1);
});

test("events come together; silence is broken; a dead engine ends the stream", async () => {
	mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
	try {
		const engine = fakeEngine();
		let failure: Error | null = null;
		const { reader, ended } = feedOf(engine, () => failure);
		await messageOf(reader);
		for (let i = 0; i < 3; i++) engine.say(i);
		mock.timers.tick(60);
		const message = await messageOf(reader);
		assert.equal(JSON.parse(message.slice(6)).length, 3);
		mock.timers.tick(FEED_HEARTBEAT_MS);
		assert.match(await messageOf(reader), /^:/);
		failure = new Error("gone");
		mock.timers.tick(FEED_HEARTBEAT_MS);
		assert.equal((await reader.read()).done, true);
		assert.equal(engine.numListeners, 0);
		assert.equal(ended.mock.callCount(), 1);
	} finally {
		mock.timers.reset();
	}
});

test("a client that is gone before it begins leaves nothing", async () => {
	const engine = fakeEngine();
	const onEnd = mock.fn();
	const { body } = createFeed({
		observe: engine.observe,
		signal: AbortSignal.abort(),
		failure: () => null,
		onEnd,
	});
	assert.equal((await body.getReader().read()).done, true);
	assert.equal(engine.numListeners, 0);
	assert.equal(onEnd.mock.callCount(), 1);
});
