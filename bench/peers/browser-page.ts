/** The page's side of browser.ts: either engine over the file in the page's input, asked for shapes. Bundled by browser.ts. */
import { fileMap, WorkerLLM } from "../../src/browser.ts";
import { type Shape, type Speeds, speedsOf } from "./measures.ts";

/** One answer to a prompt: told of its first token, resolved with the numbers of tokens that were read and written. */
type Answer = (
	prompt: string,
	numTokens: number,
	onFirst: () => void,
) => Promise<{ readonly inputLen: number; readonly outputLen: number }>;

interface PageEngine {
	readonly about: string;
	readonly answer: Answer;
}

export interface OpenOptions {
	readonly engine: "ours" | "wllama";
	readonly threads: number;
	/** Requests at once, and tokens of one with its answer, at most. */
	readonly maxNumSeqs: number;
	readonly maxModelLen: number;
	/** The folder of wllama as its package has it. */
	readonly wllamaUrl: string;
}

/** What of wllama is used here: its types are where `npm ci` was run alone. */
interface Wllama {
	loadModel(files: readonly Blob[], params: object): Promise<void>;
	getNumThreads(): number;
	createCompletion(params: object): Promise<AsyncIterable<Chunk>>;
}

interface Chunk {
	readonly usage?: {
		readonly prompt_tokens: number;
		readonly completion_tokens: number;
	} | null;
	readonly timings?: {
		readonly prompt_n: number;
		readonly predicted_n: number;
	};
}

interface WllamaModule {
	readonly Wllama: {
		new (paths: { default: string }, config: object): Wllama;
		getLibllamaVersion(): string;
	};
}

function chosenFile(): File {
	const file = document.querySelector("input")?.files?.[0];
	if (file === undefined) throw new Error("no file is chosen");
	return file;
}

async function openOurs(options: OpenOptions): Promise<PageEngine> {
	const { threads, maxNumSeqs, maxModelLen } = options;
	const file = chosenFile();
	const files = fileMap("peers", new Map([[file.name, file]]));
	const llm = await WorkerLLM.load(files, {
		device: "cpu",
		threads,
		maxNumSeqs,
		maxModelLen,
		enablePrefixCaching: false,
		kvCacheMemoryBytes: 512 * 2 ** 20,
	});
	return {
		about: `nano-vllm, ${llm.device}: ${llm.deviceReason}`,
		async answer(prompt, maxTokens, onFirst) {
			const params = { temperature: 0, maxTokens, ignoreEos: true };
			const deltas = llm.stream(prompt, params);
			let result = await deltas.next();
			onFirst();
			while (!result.done) result = await deltas.next();
			const { promptTokenIds, outputs } = result.value;
			return {
				inputLen: promptTokenIds.length,
				outputLen: outputs[0].tokenIds.length,
			};
		},
	};
}

async function openWllama(options: OpenOptions): Promise<PageEngine> {
	const { threads, maxNumSeqs, maxModelLen, wllamaUrl } = options;
	const { Wllama }: WllamaModule = await import(`${wllamaUrl}/index.js`);
	const wllama = new Wllama(
		{ default: `${wllamaUrl}/wasm/wllama.wasm` },
		{ suppressNativeLog: true, allowOffline: true },
	);
	await wllama.loadModel([chosenFile()], {
		n_threads: threads,
		n_ctx: maxNumSeqs * maxModelLen,
		n_parallel: maxNumSeqs,
		n_gpu_layers: 0,
		warmup: false,
	});
	if (wllama.getNumThreads() !== threads)
		throw new Error(`wllama took ${wllama.getNumThreads()} threads`);
	return {
		about: `wllama, llama.cpp ${Wllama.getLibllamaVersion()}, ${threads} threads`,
		async answer(prompt, max_tokens, onFirst) {
			const asked = {
				prompt,
				max_tokens,
				temperature: 0,
				// What llama.cpp's server knows and wllama's types do not.
				ignore_eos: true,
				cache_prompt: false,
				stream_options: { include_usage: true },
				stream: true,
			};
			let isFirst = true;
			let inputLen = 0;
			let outputLen = 0;
			for await (const { usage, timings } of await wllama.createCompletion(
				asked,
			)) {
				if (isFirst) onFirst();
				isFirst = false;
				inputLen = usage?.prompt_tokens ?? timings?.prompt_n ?? inputLen;
				outputLen =
					usage?.completion_tokens ?? timings?.predicted_n ?? outputLen;
			}
			return { inputLen, outputLen };
		},
	};
}

let engine: PageEngine | null = null;

async function openEngine(options: OpenOptions): Promise<string> {
	engine = await (options.engine === "ours" ? openOurs : openWllama)(options);
	return engine.about;
}

/** `prompts`: of inputLen tokens each. @throws when an engine read or wrote another number of tokens */
async function runShape(
	shape: Shape,
	prompts: readonly string[],
): Promise<Speeds> {
	if (engine === null) throw new Error("no engine is open");
	const { batchSize, inputLen, outputLen } = shape;
	const { answer } = engine;
	const start = performance.now();
	let numStarted = 0;
	let firstMs = 0;
	const onFirst = () => {
		if (++numStarted === batchSize) firstMs = performance.now() - start;
	};
	const counts = await Promise.all(
		prompts.map((prompt) => answer(prompt, outputLen, onFirst)),
	);
	const endMs = performance.now() - start;
	for (const count of counts)
		if (count.inputLen !== inputLen || count.outputLen !== outputLen)
			throw new Error(
				`wanted ${inputLen} tokens in and ${outputLen} out, got ${count.inputLen} and ${count.outputLen}`,
			);
	// Of one stream exact; of several, those that began before the last did are counted as if they had waited.
	const numDecoded = batchSize * (outputLen - 1);
	return speedsOf(shape, { firstMs, endMs, numDecoded });
}

Object.assign(globalThis, { openEngine, runShape });
