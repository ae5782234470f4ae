/** Loads one model in one engine and makes one token, in a process of its own that load.ts starts. Imports only the engine it is told to. */

/** What the process is started with, as its only argument. */
export interface LoadStart {
	readonly engine: "ours" | "llama";
	readonly model: string;
	readonly threads: number;
}

export interface LoadTimes {
	/** Until the engine takes prompts. */
	readonly loadMs: number;
	/** From there until it has answered a short one with a token: weights that are only mapped are read here. */
	readonly firstTokenMs: number;
	readonly peakRssBytes: number;
}

const PROMPT = [1, 2, 3, 4, 5, 6, 7, 8];
const CONTEXT = 512;

async function ours({ model, threads }: LoadStart) {
	const { LLM } = await import("../../src/index.ts");
	const llm = await LLM.load(model, {
		device: "cpu",
		threads,
		skipTokenizerInit: true,
		maxModelLen: CONTEXT,
		maxNumSeqs: 1,
	});
	return {
		first: () =>
			llm.generate(
				{ promptTokenIds: PROMPT },
				{ temperature: 0, maxTokens: 1 },
			),
		close: () => llm.close(),
	};
}

async function llama({ model, threads }: LoadStart) {
	const { greedySampler, openLlama } = await import("./llama-binding.ts");
	const opened = await openLlama(model, threads);
	const context = await opened.model.createContext({
		threads,
		sequences: 1,
		contextSize: CONTEXT,
		batchSize: CONTEXT,
		ignoreMemorySafetyChecks: true,
	});
	const native = context._ctx;
	return {
		async first() {
			native.initBatch(PROMPT.length);
			const last = Uint32Array.of(PROMPT.length - 1);
			const [at] = native.addToBatch(0, 0, Uint32Array.from(PROMPT), last);
			await native.decodeBatch();
			await native.sampleToken(at, greedySampler(opened));
		},
		async close() {
			await context.dispose();
			await opened.close();
		},
	};
}

const start: LoadStart = JSON.parse(process.argv[2]);
const begin = performance.now();
const engine = await (start.engine === "ours" ? ours(start) : llama(start));
const loaded = performance.now();
await engine.first();
const times: LoadTimes = {
	loadMs: loaded - begin,
	firstTokenMs: performance.now() - loaded,
	peakRssBytes: process.resourceUsage().maxRSS * 1024,
};
process.send?.(times);
await engine.close();
process.disconnect?.();
