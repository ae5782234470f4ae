/** A server in this process for tests: over the bundled model, or over one that says what a test has it say. */
import { join } from "node:path";
import { after } from "node:test";
import { listen } from "../../src/cli/http-server.ts";
import {
	type CompletionDelta,
	LLM,
	type LoadOptions,
} from "../../src/index.ts";
import { createApp, type ServerApp } from "../../src/server/app.ts";
import type { ServedEngine } from "../../src/server/engine.ts";
import type { ServerOptions } from "../../src/server/options.ts";

export const MODEL = "demo-model";
const FOLDER = join(import.meta.dirname, "../../demo-model");

/** What is open until the test file ends, the last first. */
const open: (() => Promise<void>)[] = [];
after(async () => {
	for (const close of open.reverse()) await close();
});

/** The bundled model on one thread, which is enough for it and leaves the other to the test. */
export async function loadDemo(options: LoadOptions = {}): Promise<LLM> {
	const llm = await LLM.load(FOLDER, {
		device: "cpu",
		threads: 1,
		maxNumSeqs: 16,
		kvCacheMemoryBytes: 2 ** 25,
		...options,
	});
	open.push(() => llm.close());
	return llm;
}

export interface Served {
	readonly app: ServerApp;
	/** http://127.0.0.1:PORT */
	readonly url: string;
}

/** Listens on a free port until the test file ends. */
export async function serve(
	engine: ServedEngine,
	options: Partial<ServerOptions> = {},
): Promise<Served> {
	const app = createApp(engine, { servedModelName: [MODEL], ...options });
	const where = { host: "127.0.0.1", port: 0, uds: null };
	const server = await listen(app.fetch, where);
	open.push(() => server.close());
	return { app, url: server.address };
}

export function post(
	url: string,
	body: unknown,
	headers: Readonly<Record<string, string>> = {},
	signal?: AbortSignal,
): Promise<Response> {
	return fetch(url, {
		method: "POST",
		headers: { "content-type": "application/json", ...headers },
		body: typeof body === "string" ? body : JSON.stringify(body),
		signal,
	});
}

/** The data of a stream's events, [DONE] as a string. */
export async function eventsOf(response: Response): Promise<unknown[]> {
	const text = await response.text();
	return text
		.split("\n")
		.filter((line) => line.startsWith("data: "))
		.map((line) => line.slice(6))
		.map((data) => (data === "[DONE]" ? data : JSON.parse(data)));
}

export interface Script {
	/** What the model says, in pieces as they come. */
	readonly pieces: readonly string[];
	/** What it was asked, for the test to look at. */
	asked: { promptTokenIds: ArrayLike<number>; params: object }[];
}

/** `llm` for everything but its words. Each piece counts as a token. */
export function scripted(llm: LLM, script: Script): ServedEngine {
	return {
		modelName: llm.modelName,
		modelConfig: llm.modelConfig,
		maxModelLen: llm.maxModelLen,
		engineConfig: llm.engineConfig,
		failure: null,
		defaultSamplingParams: llm.defaultSamplingParams,
		tokenizer: llm.tokenizer,
		renderChat: (...args) => llm.renderChat(...args),
		stats: () => llm.stats(),
		loadLoraAdapter: (...args) => llm.loadLoraAdapter(...args),
		unloadLoraAdapter: (name) => llm.unloadLoraAdapter(name),
		listLoraAdapters: () => llm.listLoraAdapters(),
		async *stream(prompt, params = {}) {
			const { promptTokenIds } = prompt as { promptTokenIds: number[] };
			script.asked.push({ promptTokenIds, params });
			const base = { requestId: "scripted", index: 0, logprobs: null };
			const tokenIds = script.pieces.map((_, i) => i);
			for (const [i, text] of script.pieces.entries()) {
				const delta: CompletionDelta = {
					...base,
					text,
					tokenIds: [i],
					finishReason: null,
					stopReason: null,
				};
				yield delta;
			}
			const end = { finishReason: "stop" as const, stopReason: null };
			yield { ...base, text: "", tokenIds: [], ...end };
			const text = script.pieces.join("");
			return {
				requestId: "scripted",
				prompt: null,
				promptTokenIds,
				promptLogprobs: null,
				numCachedTokens: 0,
				metrics: {
					arrivalMs: 0,
					firstScheduledMs: 1,
					firstTokenMs: 2,
					finishedMs: 3,
					numPreemptions: 0,
				},
				outputs: [
					{
						index: 0,
						text,
						tokenIds,
						cumulativeLogprob: null,
						logprobs: null,
						...end,
					},
				],
			};
		},
	};
}
