/**
 * Many short requests of every kind through one engine on the GPU, and what of buffers and memory is there before and after. Knows
 * no bounds: a test and a benchmark have theirs.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
	LLM,
	type LoadOptions,
	type SamplingParamsInput,
} from "../../src/index.ts";
import { fileMap } from "../../src/weights/source.ts";
import { TINY_CONFIG } from "./engine-harness.ts";
import { countBuffers } from "./live-buffers.ts";
import { randomSource } from "./random.ts";

export interface Footprint {
	readonly numBuffers: number;
	readonly bufferBytes: number;
	/** Of the JavaScript heap and what it holds outside, after a collection. */
	readonly heapBytes: number;
	readonly rssBytes: number;
}

export interface LeakReport {
	readonly numRequests: number;
	readonly seconds: number;
	readonly before: Footprint;
	readonly after: Footprint;
}

/** What a round asks for: all stages of the sampler, logprobs short and whole, several outputs. */
const KINDS: readonly SamplingParamsInput[] = [
	{ temperature: 0 },
	{ temperature: 1 },
	{ temperature: 0.8, topK: 5, topP: 0.9 },
	{ temperature: 0.8, minP: 0.05, n: 2 },
	{ temperature: 0, logprobs: 3 },
	{ temperature: 0, promptLogprobs: 2 },
	{ temperature: 1, presencePenalty: 0.5, repetitionPenalty: 1.1, logprobs: 1 },
	{ temperature: 0, logitBias: { 3: 2 }, allowedTokenIds: [1, 2, 3, 4] },
];
const MAX_PROMPT = 24;
const MAX_TOKENS = 6;
/** Requests of a round: KINDS several times over, and every tenth is aborted at its first token. */
const ROUND = 40;
/** Rounds until every buffer has its size, every function is compiled, and the prefix cache is full. */
const WARM_ROUNDS = 4;

const LOAD: LoadOptions = {
	device: "webgpu",
	loadFormat: "dummy",
	skipTokenizerInit: true,
	maxNumSeqs: 16,
	maxNumBatchedTokens: 64,
	maxModelLen: 64,
	blockSize: 4,
	kvCacheMemoryBytes: 2 ** 16,
};

/** Runs warm-up rounds, then at least `numRequests` requests. */
export async function leakOf(
	numRequests: number,
	progress: (numDone: number) => void = () => {},
): Promise<LeakReport> {
	const live = await countBuffers();
	const collect = collector();
	const random = randomSource(17);
	await using llm = await LLM.load(tinyModel(), LOAD);
	const footprint = async (): Promise<Footprint> => {
		// A finalizer may free what another collection then finds.
		for (let i = 0; i < 3; i++) {
			collect();
			await new Promise((done) => setTimeout(done, 20));
		}
		const { heapUsed, external, rss } = process.memoryUsage();
		return {
			numBuffers: live.count,
			bufferBytes: live.bytes,
			heapBytes: heapUsed + external,
			rssBytes: rss,
		};
	};
	for (let i = 0; i < WARM_ROUNDS; i++) await runRound(llm, random.below);
	const before = await footprint();
	const start = performance.now();
	let numDone = 0;
	for (; numDone < numRequests; progress(numDone)) {
		await runRound(llm, random.below);
		numDone += ROUND;
	}
	const seconds = (performance.now() - start) / 1000;
	return { numRequests: numDone, seconds, before, after: await footprint() };
}

/** All at once; lengths and kinds are those of every round, tokens are new. */
async function runRound(llm: LLM, below: (n: number) => number): Promise<void> {
	const { vocabSize } = llm.modelConfig;
	const requests = Array.from({ length: ROUND }, async (_, i) => {
		const length = 1 + ((7 * i) % MAX_PROMPT);
		const promptTokenIds = Array.from({ length }, () => below(vocabSize));
		const params = {
			...KINDS[i % KINDS.length],
			maxTokens: 1 + (i % MAX_TOKENS),
			ignoreEos: true,
		};
		for await (const _ of llm.stream({ promptTokenIds }, params))
			if (i % 10 === 9) break;
	});
	await Promise.all(requests);
}

function tinyModel() {
	const config = new TextEncoder().encode(JSON.stringify(TINY_CONFIG));
	return fileMap("tiny", new Map([["config.json", config]]));
}

function collector(): () => void {
	setFlagsFromString("--expose-gc");
	return runInNewContext("gc");
}
