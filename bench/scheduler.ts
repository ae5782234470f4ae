/**
 * Speed of the control plane alone: schedule, pack and postprocess around an executable that computes nothing.
 *   node bench/scheduler.ts [--steps 2000] [--json FILE]
 * Goals: 256 decoding sequences cost at most 300 µs a step, 100,000 requests waiting behind them add nothing, and a fully
 * cached prompt of 32,768 tokens is found in at most 2 ms. Who listens to the engine (LLM.observe) pays for it, and nobody else does: beside
 * a checkout from before there were listeners, the first three rows are the same.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import type {
	Executable,
	StepInput,
	StepOutput,
} from "../src/backends/backend.ts";
import { resolveSamplingParams } from "../src/config.ts";
import { BlockManager } from "../src/engine/block-manager.ts";
import { LlmEngine, type LlmEngineConfig } from "../src/engine/llm-engine.ts";
import { createCollector } from "../src/engine/output.ts";
import { Sequence, type SequenceParams } from "../src/engine/sequence.ts";
import { sequenceParams } from "../src/engine/sequence-params.ts";

const BLOCK_SIZE = 16;
const VOCAB_SIZE = 151_936;
const NUM_RUNNING = 256;
const PROMPT_LEN = 512;
const NUM_WAITING = 100_000;
const LONG_PROMPT_LEN = 32_768;

const { values } = parseArgs({
	options: {
		steps: { type: "string", default: "2000" },
		json: { type: "string" },
	},
});
const numSteps = Number(values.steps);

/** Steps seen before the clock: prefill, and the just-in-time compiler. */
const NUM_WARMUP_STEPS = 500;

interface Figures {
	readonly medianUs: number;
	readonly p99Us: number;
}

function figuresOf(valuesUs: readonly number[]): Figures {
	const sorted = valuesUs.toSorted((a, b) => a - b);
	const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))];
	return { medianUs: at(0.5), p99Us: at(0.99) };
}

/** Samples token 7 in every row at once, and notes when each step was submitted. */
function instantExecutable(
	numBlocks: number,
	onStep: (input: StepInput) => void,
): Executable {
	const output: StepOutput = {
		tokenIds: new Int32Array(NUM_RUNNING).fill(7),
		failedRows: new Map(),
		logprobs: null,
	};
	return {
		numBlocks,
		weightBytes: 0,
		kvCacheBytes: 0,
		overlaps: true,
		async submit(input) {
			onStep(input);
			return {
				...output,
				tokenIds: output.tokenIds.subarray(0, input.numSampleRows),
			};
		},
		async writeAdapter() {},
		async close() {},
	};
}

function paramsFor(numPromptTokens: number, maxTokens: number): SequenceParams {
	const params = { temperature: 0.6, maxTokens, ignoreEos: true };
	return sequenceParams(resolveSamplingParams(params), numPromptTokens, {
		vocabSize: VOCAB_SIZE,
		maxModelLen: 2 ** 20,
		maxLogprobs: 20,
		eosTokenIds: [],
		encode: null,
	});
}

function addRequest(
	engine: LlmEngine,
	requestId: string,
	promptTokenIds: Int32Array,
	params: SequenceParams,
): void {
	const nothing = () => {};
	const sink = createCollector({
		requestId,
		params,
		createTextStream: null,
		tokenText: () => "",
		onDone: nothing,
		onError: nothing,
	});
	engine.add({ requestId, promptTokenIds, params, priority: 0, sink });
}

/** The time from one submit to the next is all the control plane does for a step: postprocess, schedule, pack. */
async function measureSteps(
	numWaiting: number,
	overrides: Partial<LlmEngineConfig>,
	isWatched = false,
): Promise<{ readonly spansUs: number[]; readonly addUs: number }> {
	const longest = PROMPT_LEN + numSteps + NUM_WARMUP_STEPS + 100;
	const numBlocks = NUM_RUNNING * Math.ceil(longest / BLOCK_SIZE + 1);
	const times = new Float64Array(numSteps + NUM_WARMUP_STEPS + 1);
	const { promise: measured, resolve } = Promise.withResolvers<void>();
	let step = 0;
	const executable = instantExecutable(numBlocks, (input) => {
		if (step > NUM_WARMUP_STEPS && input.numDecodes !== NUM_RUNNING)
			throw new Error(`${input.numDecodes} decodes, wanted ${NUM_RUNNING}`);
		if (step < times.length) times[step++] = performance.now();
		else resolve();
	});
	const engine = new LlmEngine(executable, {
		blockSize: BLOCK_SIZE,
		maxNumSeqs: NUM_RUNNING,
		maxNumBatchedTokens: 8192,
		enablePrefixCaching: true,
		enableChunkedPrefill: true,
		asyncScheduling: true,
		seed: 0,
		vocabSize: VOCAB_SIZE,
		now: () => performance.now(),
		yieldToEventLoop: () => Promise.resolve(),
		...overrides,
	});
	let numEvents = 0;
	if (isWatched) engine.observe(() => void numEvents++);
	const params = paramsFor(PROMPT_LEN, longest);
	const start = performance.now();
	for (let i = 0; i < NUM_RUNNING + numWaiting; i++)
		addRequest(engine, `r${i}`, promptOf(i, PROMPT_LEN), params);
	const addMs = performance.now() - start;
	await measured;
	await engine.close();
	if (isWatched && numEvents < 2 * numSteps)
		throw new Error(`${numEvents} events of ${numSteps} steps`);
	const spansUs: number[] = [];
	for (let i = NUM_WARMUP_STEPS; i < step - 1; i++)
		spansUs.push(1000 * (times[i + 1] - times[i]));
	const addUs = (1000 * addMs) / (NUM_RUNNING + numWaiting);
	return { spansUs, addUs };
}

/** Prompts that begin differently; waiting ones share one array so that 100,000 of them fit. */
function promptOf(request: number, length: number): Int32Array {
	if (request >= NUM_RUNNING) return SHARED_PROMPT;
	return Int32Array.from(
		{ length },
		(_, i) => (request * 31 + i * 17) % 10_000,
	);
}
const SHARED_PROMPT = new Int32Array(PROMPT_LEN).fill(3);

/** Attaching all cached blocks of a long prompt to a new sequence. */
function measurePrefixLookup(): number[] {
	const numBlocks = LONG_PROMPT_LEN / BLOCK_SIZE + 8;
	const blocks = new BlockManager(numBlocks, BLOCK_SIZE, {
		enablePrefixCaching: true,
	});
	const params = paramsFor(LONG_PROMPT_LEN, 1);
	const promptTokenIds = Int32Array.from(
		{ length: LONG_PROMPT_LEN },
		(_, i) => (i * 7919) % 10_000,
	);
	const sequence = (arrival: number) =>
		new Sequence({
			requestId: "long",
			arrival,
			priority: 0,
			index: 0,
			params,
			seed: 0,
			promptTokenIds,
			sibling: null,
		});
	const first = sequence(0);
	blocks.grow(first, LONG_PROMPT_LEN);
	first.numComputedTokens = LONG_PROMPT_LEN;
	blocks.register(first);
	blocks.release(first);
	const spansUs: number[] = [];
	for (let i = 1; i <= 300; i++) {
		const seq = sequence(i);
		const start = performance.now();
		blocks.attachCached(seq);
		if (i > 100) spansUs.push(1000 * (performance.now() - start));
		const expected = LONG_PROMPT_LEN - BLOCK_SIZE;
		if (seq.numComputedTokens !== expected)
			throw new Error(`found ${seq.numComputedTokens}, wanted ${expected}`);
		blocks.release(seq);
	}
	return spansUs;
}

/** Rounds of all cases in turn, so that a busy moment of the machine hits them alike. */
const NUM_ROUNDS = 3;
const spans = {
	decode: [] as number[],
	inTurn: [] as number[],
	crowded: [] as number[],
	watched: [] as number[],
	lookup: [] as number[],
};
let addUs = 0;
for (let round = 0; round < NUM_ROUNDS; round++) {
	spans.decode.push(...(await measureSteps(0, {})).spansUs);
	const sync = await measureSteps(0, { asyncScheduling: false });
	spans.inTurn.push(...sync.spansUs);
	const full = await measureSteps(NUM_WAITING, {});
	spans.crowded.push(...full.spansUs);
	addUs = full.addUs;
	spans.watched.push(...(await measureSteps(0, {}, true)).spansUs);
	spans.lookup.push(...measurePrefixLookup());
}
const decode = figuresOf(spans.decode);
const inTurn = figuresOf(spans.inTurn);
const crowded = figuresOf(spans.crowded);
const watched = figuresOf(spans.watched);
const lookup = figuresOf(spans.lookup);

const us = (value: number) => `${value.toFixed(0).padStart(7)} µs`;
const row = (label: string, { medianUs, p99Us }: Figures, goal: string) =>
	`${label.padEnd(52)} ${us(medianUs)} ${us(p99Us)}   ${goal}`;
const ratio = crowded.medianUs / decode.medianUs;
console.log(
	[
		`${"".padEnd(55)} median        p99   goal`,
		row("step of 256 decodes", decode, "300 µs"),
		row("the same, steps not overlapped", inTurn, ""),
		row("the same, 100,000 requests waiting", crowded, "300 µs"),
		row("the same, somebody listening", watched, ""),
		row("prefix lookup, 32,768 tokens all cached", lookup, "2000 µs"),
		`100,000 waiting requests: × ${ratio.toFixed(2)} a step, ${addUs.toFixed(1)} µs to add one`,
	].join("\n"),
);
if (values.json !== undefined) {
	const machine = { cpu: cpus()[0].model, cores: cpus().length };
	const runtime = `node ${process.version}`;
	const results = {
		machine,
		runtime,
		numSteps,
		decode,
		decodeNotOverlapped: inTurn,
		decodeWith100kWaiting: crowded,
		decodeWatched: watched,
		waitingRatio: ratio,
		prefixLookup32k: lookup,
	};
	writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
}
