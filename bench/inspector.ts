/**
 * The inspector's reducer and history, fed by an engine that decodes 256 sequences over 8,192 blocks and computes nothing.
 *   node bench/inspector.ts [--steps 3000]
 * Goals: a step's events change the state in at most 1 ms, any event of the history is reached within a frame (16 ms), and 128 MiB keep
 * two minutes of 60 steps a second.
 */
import { parseArgs } from "node:util";
import { resolveSamplingParams } from "../src/config.ts";
import type { EngineEvent } from "../src/engine/events.ts";
import { LlmEngine } from "../src/engine/llm-engine.ts";
import { sequenceParams } from "../src/engine/sequence-params.ts";
import { History } from "../src/inspector/history.ts";

const NUM_SEQS = 256;
const NUM_BLOCKS = 8192;
const BLOCK_SIZE = 16;
const PROMPT_LEN = 128;
/** Ends at different times, so that blocks come and go. */
const outputLen = (i: number) => 100 + ((i * 37) % 250);

const { values } = parseArgs({
	options: { steps: { type: "string", default: "3000" } },
});
const numSteps = Number(values.steps);

async function record(listener: (event: EngineEvent) => void): Promise<void> {
	const { promise: enough, resolve } = Promise.withResolvers<void>();
	let step = 0;
	const engine = new LlmEngine(
		{
			numBlocks: NUM_BLOCKS,
			weightBytes: 0,
			kvCacheBytes: 0,
			overlaps: true,
			async submit(input) {
				if (++step === numSteps) resolve();
				const tokenIds = new Int32Array(input.numSampleRows).fill(step % 1000);
				return { tokenIds, failedRows: new Map(), logprobs: null };
			},
			async writeAdapter() {},
			async close() {},
		},
		{
			blockSize: BLOCK_SIZE,
			maxNumSeqs: NUM_SEQS,
			maxNumBatchedTokens: 2048,
			enablePrefixCaching: true,
			enableChunkedPrefill: true,
			asyncScheduling: true,
			seed: 0,
			vocabSize: 32_000,
			now: () => performance.now(),
			yieldToEventLoop: () => Promise.resolve(),
		},
	);
	engine.observe(listener);
	let numRequests = 0;
	const add = () => {
		const i = numRequests++;
		const params = sequenceParams(
			resolveSamplingParams({ maxTokens: outputLen(i), ignoreEos: true }),
			PROMPT_LEN,
			{
				vocabSize: 32_000,
				maxModelLen: 4096,
				maxLogprobs: 20,
				eosTokenIds: [],
				encode: null,
			},
		);
		engine.add({
			requestId: `r${i}`,
			promptTokenIds: Int32Array.from({ length: PROMPT_LEN }, (_, p) =>
				p < 32 ? p : (i * 31 + p) % 10_000,
			),
			params,
			priority: 0,
			sink: {
				onToken: () => null,
				onPromptLogprobs() {},
				onFinish: () => {
					if (step < numSteps) add();
				},
			},
		});
	};
	for (let i = 0; i < NUM_SEQS + 64; i++) add();
	await enough;
	await engine.close();
}

const history = new History();
let pushMs = 0;
await record((event) => {
	const start = performance.now();
	history.push(event);
	pushMs += performance.now() - start;
});
const numKept = history.endIndex - history.firstIndex;
const seekMs: number[] = [];
for (let i = 0; i < 200; i++) {
	const index = history.firstIndex + ((i * 7919) % numKept);
	const start = performance.now();
	history.seek(index);
	seekMs.push(performance.now() - start);
}
seekMs.sort((a, b) => a - b);
const bytesPerStep = (history.numBytes * history.endIndex) / numKept / numSteps;
const minutes = (128 * 2 ** 20) / bytesPerStep / 60 / 60;
console.log(
	[
		`${history.endIndex} events of ${numSteps} steps, ${numKept} kept in ${(history.numBytes / 2 ** 20).toFixed(1)} MiB`,
		`${((1000 * pushMs) / numSteps).toFixed(0)} µs a step to take in   goal 1,000`,
		`${seekMs[100].toFixed(1)} ms to seek (median), ${seekMs[197].toFixed(1)} at most but for 1 %   goal 16`,
		`${(bytesPerStep / 1024).toFixed(1)} KiB a step: 128 MiB are ${minutes.toFixed(1)} minutes of 60 steps a second   goal 2`,
	].join("\n"),
);
