/**
 * The simulation beside what it simulates: steps of the bundled model are measured here and now, then run-batch answers a file, and one
 * simulated worker with those step times the same requests. In seconds, and in seconds of CPU, which other work on the machine changes less.
 *   node bench/simulation/compare.ts [--requests 512] [--threads N] [--rounds 3] [--json FILE]
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import { LLM } from "../../src/index.ts";
import { answerFile, batchLine } from "../batch-files.ts";
import { drawLengths } from "./lengths.ts";
import { DEFAULTS, type Lengths } from "./scenario.ts";
import type { EngineProfile } from "./step-time.ts";
import { simulate } from "./summary.ts";

const { values } = parseArgs({
	options: {
		requests: { type: "string", default: "512" },
		threads: { type: "string" },
		rounds: { type: "string", default: "3" },
		json: { type: "string" },
	},
});
const MAX_NUM_SEQS = 64;
const MAX_NUM_BATCHED_TOKENS = 2048;
const threads = values.threads === undefined ? null : Number(values.threads);
await using llm = await LLM.load("demo-model", {
	device: "cpu",
	maxNumSeqs: MAX_NUM_SEQS,
	maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
	enablePrefixCaching: false,
	...(threads !== null && { threads }),
});
const random = createRandom(0);
const { vocabSize } = llm.modelConfig;
const folder = mkdtempSync(join(tmpdir(), "simulation-"));

/** The published lengths at an eighth, which the small model has room for. */
const requests: Lengths[] = drawLengths(Number(values.requests), 0).map(
	({ promptLen, outputLen }) => ({
		promptLen: Math.ceil(promptLen / 8),
		outputLen: Math.ceil(outputLen / 8),
	}),
);
const prompts = requests.map(({ promptLen }) =>
	randomPrompt(promptLen, vocabSize, random),
);
const input = join(folder, "in.jsonl");
writeFileSync(
	input,
	requests
		.map(({ outputLen }, i) =>
			batchLine(i, [...prompts[i].promptTokenIds], outputLen),
		)
		.join(""),
);

/** Seconds by the clock, and of CPU. */
interface Spent {
	readonly wall: number;
	readonly cpu: number;
}
type Clock = keyof Spent;

async function spent(work: () => Promise<unknown>): Promise<Spent> {
	const before = process.cpuUsage();
	const start = performance.now();
	await work();
	const wall = (performance.now() - start) / 1000;
	const { user, system } = process.cpuUsage(before);
	return { wall, cpu: (user + system) / 1e6 };
}

/** Of `batch` equal requests; the middle one of three. */
async function generate(
	batch: number,
	promptLen: number,
	maxTokens: number,
): Promise<Spent> {
	const params = { maxTokens, ignoreEos: true, temperature: 0 };
	const runs: Spent[] = [];
	for (let i = 0; i < 3; i++) {
		const inputs = Array.from({ length: batch }, () =>
			randomPrompt(promptLen, vocabSize, random),
		);
		runs.push(await spent(() => llm.generate(inputs, params)));
	}
	const middle = (clock: Clock) =>
		runs.map((run) => run[clock]).sort((a, b) => a - b)[1];
	return { wall: middle("wall"), cpu: middle("cpu") };
}

/** Decode is what the second half of the output adds, so that prompts do not count. */
async function measureProfile(): Promise<(clock: Clock) => EngineProfile> {
	const [promptLen, short, long] = [64, 16, 80];
	const steps: { batch: number; less: Spent; more: Spent }[] = [];
	for (const batch of [1, 4, 16, 32, MAX_NUM_SEQS]) {
		const less = await generate(batch, promptLen, short);
		const more = await generate(batch, promptLen, long);
		steps.push({ batch, less, more });
	}
	const prefill = await generate(MAX_NUM_SEQS, 128, 1);
	return (clock) => ({
		name: "demo-model",
		source: "bench/simulation/compare.ts",
		decodeSteps: steps.map(({ batch, less, more }) => ({
			batch,
			contextLen: promptLen + (short + long) / 2,
			ms: (1000 * (more[clock] - less[clock])) / (long - short),
		})),
		nsPerCachedToken: 0,
		prefillTokensPerSecond: (MAX_NUM_SEQS * 128) / prefill[clock],
		maxNumSeqs: MAX_NUM_SEQS,
		maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
		loadSeconds: 0,
	});
}

function simulated(profile: EngineProfile): number {
	const oneWorker = { ...DEFAULTS, requests, numWorkers: 1, profile };
	const instant = { dispatchSeconds: 0, latencySeconds: 0, hedgeFactor: null };
	return simulate({ ...oneWorker, ...instant }).makespanSeconds;
}

const rounds: { clock: Clock; measured: number; simulated: number }[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
	const profileOf = await measureProfile();
	const time = await spent(() =>
		answerFile(llm, input, folder, round, requests.length),
	);
	for (const clock of ["wall", "cpu"] as const) {
		const row = {
			clock,
			measured: time[clock],
			simulated: simulated(profileOf(clock)),
		};
		rounds.push(row);
		console.log(
			`${clock.padEnd(4)} measured ${row.measured.toFixed(2)} s, simulated ${row.simulated.toFixed(2)} s: × ${(row.simulated / row.measured).toFixed(3)}`,
		);
	}
}
rmSync(folder, { recursive: true });
if (values.json !== undefined)
	writeFileSync(
		values.json,
		`${JSON.stringify({ model: "demo-model", requests: requests.length, rounds }, null, 2)}\n`,
	);
