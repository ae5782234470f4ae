/**
 * The side of the browser: runs a job with the library as a user imports it, on the page or in a worker, and tells what it saw.
 * Knows nothing of what is right. Bundled by bundle.ts.
 */
import { LLM, type LoadOptions, NanoVllmError } from "../../src/index.ts";

export interface Job {
	readonly modelUrl: string;
	readonly prompts: readonly string[];
	readonly maxTokens: number;
	readonly regex: string;
	readonly load: LoadOptions;
}

export interface Report {
	readonly isolated: boolean;
	/** What the model ran on. */
	readonly device: LLM["device"];
	readonly userAgent: string;
	/** Code of the error a model that is not there gives. */
	readonly missing: string;
	/** What a load aborted at its first weight rejects with. */
	readonly abortedLoad: string;
	/** Answers to all prompts at once. */
	readonly batched: readonly Answer[];
	/** The first prompt again, as a stream. */
	readonly streamed: Answer & { readonly numDeltas: number };
	/** The first prompt once more, held to `job.regex`. */
	readonly structured: string;
	/** What a generation aborted after its first tokens rejects with, and the requests it leaves. */
	readonly abortedRequest: string;
	readonly numRequestsLeft: number;
	/** Code of the error a closed model gives. */
	readonly closed: string;
	readonly numWorkersCreated: number;
	readonly numWorkersTerminated: number;
	readonly loadMs: number;
	readonly batchMs: number;
}

export interface Answer {
	readonly text: string;
	readonly tokenIds: readonly number[];
}

const workers = { numCreated: 0, numTerminated: 0 };

class CountedWorker extends Worker {
	constructor(url: string | URL, options?: WorkerOptions) {
		super(url, options);
		workers.numCreated++;
	}
	override terminate(): void {
		super.terminate();
		workers.numTerminated++;
	}
}

async function run(job: Job): Promise<Report> {
	globalThis.Worker = CountedWorker;
	const { modelUrl, prompts, load: options } = job;
	const greedy = { temperature: 0, maxTokens: job.maxTokens };

	const missing = await failure(() => LLM.load(`${modelUrl}-absent`, options));
	const abortedLoad = await failure(() => {
		const controller = new AbortController();
		const { signal } = controller;
		const onProgress = () => controller.abort(new Error("no more"));
		return LLM.load(modelUrl, { ...options, signal, onProgress });
	});

	const start = performance.now();
	const llm = await LLM.load(modelUrl, options);
	const loaded = performance.now();
	const outputs = await llm.generate(prompts, greedy);
	const batchMs = performance.now() - loaded;
	const streamed = await stream(llm, prompts[0], greedy);
	const [structured] = await llm.generate(prompts[0], {
		...greedy,
		structuredOutputs: { regex: job.regex },
	});
	const abortedRequest = await failure(async () => {
		const controller = new AbortController();
		const { signal } = controller;
		const endless = { ...greedy, ignoreEos: true, maxTokens: 900 };
		const progress = () => controller.abort(new Error("enough"));
		await llm.generate(prompts, endless, { signal, progress });
	});
	const stats = llm.stats();
	await llm.close();
	const closed = await failure(() => llm.generate(prompts, greedy));

	return {
		isolated: crossOriginIsolated,
		device: llm.device,
		userAgent: navigator.userAgent,
		missing,
		abortedLoad,
		batched: outputs.map(({ outputs: [{ text, tokenIds }] }) => ({
			text,
			tokenIds: [...tokenIds],
		})),
		streamed,
		structured: structured.outputs[0].text,
		abortedRequest,
		numRequestsLeft: stats.numRequestsRunning + stats.numRequestsWaiting,
		closed,
		numWorkersCreated: workers.numCreated,
		numWorkersTerminated: workers.numTerminated,
		loadMs: loaded - start,
		batchMs,
	};
}

async function stream(
	llm: LLM,
	prompt: string,
	params: { temperature: number; maxTokens: number },
): Promise<Report["streamed"]> {
	let text = "";
	const tokenIds: number[] = [];
	let numDeltas = 0;
	for await (const delta of llm.stream(prompt, params)) {
		text += delta.text;
		tokenIds.push(...delta.tokenIds);
		numDeltas++;
	}
	return { text, tokenIds, numDeltas };
}

/** The code of a NanoVllmError, the message of another error. */
async function failure(work: () => Promise<unknown>): Promise<string> {
	try {
		await work();
	} catch (error) {
		if (error instanceof NanoVllmError) return error.code;
		return error instanceof Error ? error.message : String(error);
	}
	return "no error";
}

/** This same module as a worker. */
function runInWorker(job: Job): Promise<Report> {
	const worker = new Worker(import.meta.url, { type: "module" });
	return new Promise<Report>((resolve, reject) => {
		worker.onmessage = ({ data }) =>
			"report" in data ? resolve(data.report) : reject(new Error(data.error));
		worker.onerror = ({ message }) => reject(new Error(message));
		worker.postMessage(job);
	}).finally(() => worker.terminate());
}

if (typeof document === "undefined")
	globalThis.onmessage = ({ data }) =>
		run(data).then(
			(report) => postMessage({ report }),
			(error) => postMessage({ error: String(error?.stack ?? error) }),
		);
else Object.assign(globalThis, { runOnPage: run, runInWorker });
