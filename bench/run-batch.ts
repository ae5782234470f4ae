/**
 * What run-batch costs: the same requests through LLM.generate in one call, and from a file to a file, in turns.
 *   node bench/run-batch.ts [--model M] [--num-prompts 512] [--rounds 3] [--threads N] [--json FILE]
 * Goal: at least 97 % of generate's output tokens a second. Prompts share no beginnings, so that the order gives neither side an advantage.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { LLM } from "../src/index.ts";
import { answerFile, batchLine } from "./batch-files.ts";

const { values } = parseArgs({
	options: {
		model: { type: "string", default: "demo-model" },
		"num-prompts": { type: "string", default: "512" },
		rounds: { type: "string", default: "3" },
		threads: { type: "string" },
		json: { type: "string" },
	},
});
const numPrompts = Number(values["num-prompts"]);
const threads = values.threads === undefined ? null : Number(values.threads);

await using llm = await LLM.load(values.model, {
	device: "cpu",
	maxNumSeqs: 64,
	...(threads !== null && { threads }),
});

const requests = Array.from({ length: numPrompts }, (_, i) => ({
	prompt: `${i} ${"and then there was another one ".repeat(1 + (i % 8))}`,
	maxTokens: 16 + ((i * 37) % 112),
}));
const numTokens = requests.reduce((sum, { maxTokens }) => sum + maxTokens, 0);
const folder = mkdtempSync(join(tmpdir(), "run-batch-"));
const input = join(folder, "in.jsonl");
writeFileSync(
	input,
	requests
		.map(({ prompt, maxTokens }, i) => batchLine(i, prompt, maxTokens))
		.join(""),
);

async function library(): Promise<void> {
	await llm.generate(
		requests.map(({ prompt }) => prompt),
		requests.map(({ maxTokens }) => ({
			maxTokens,
			temperature: 0,
			ignoreEos: true,
		})),
	);
}

const files = (round: number): Promise<void> =>
	answerFile(llm, input, folder, round, numPrompts);

interface Figures {
	readonly outputTokensPerSecond: number;
	/** How full the engine was, and what it and the rest cost: what depends little on who else uses the machine. */
	readonly tokensPerStep: number;
	readonly cpuMsPerToken: number;
}

async function timed(run: () => Promise<void>): Promise<Figures> {
	llm.resetPrefixCache();
	const before = llm.stats();
	const cpuBefore = process.cpuUsage();
	const start = performance.now();
	await run();
	const seconds = (performance.now() - start) / 1000;
	const { user, system } = process.cpuUsage(cpuBefore);
	const { numSteps, numStepTokens } = llm.stats();
	return {
		outputTokensPerSecond: numTokens / seconds,
		tokensPerStep:
			(numStepTokens - before.numStepTokens) / (numSteps - before.numSteps),
		cpuMsPerToken: (user + system) / 1000 / numTokens,
	};
}

await library();
const rows: [Figures, Figures][] = [];
for (let round = 0; round < Number(values.rounds); round++) {
	// Each is first in every other round.
	const sides = [library, () => files(round)];
	const order = round % 2 === 0 ? [0, 1] : [1, 0];
	const row: Figures[] = [];
	for (const side of order) row[side] = await timed(sides[side]);
	rows.push([row[0], row[1]]);
	const [own, batch] = row.map(
		(f) =>
			`${f.outputTokensPerSecond.toFixed(1)} tok/s, ${f.tokensPerStep.toFixed(2)} tokens a step, ${f.cpuMsPerToken.toFixed(3)} ms of CPU a token`,
	);
	console.log(`generate ${own} · run-batch ${batch}`);
}
rmSync(folder, { recursive: true });

const median = (of: (figures: Figures) => number) => {
	const ratios = rows.map(([own, batch]) => of(batch) / of(own));
	return ratios.sort((a, b) => a - b)[ratios.length >> 1];
};
/** run-batch over generate, the middle one of the rounds. */
const report = {
	model: basename(values.model),
	numPrompts,
	numTokens,
	throughputRatio: median((f) => f.outputTokensPerSecond),
	fillRatio: median((f) => f.tokensPerStep),
	cpuRatio: median((f) => f.cpuMsPerToken),
};
console.log(JSON.stringify(report));
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify({ ...report, rows })}\n`);
