/**
 * The figures of the WebGPU backend: nano-vLLM's benchmark, decode at several batch sizes, prefill; one engine, dummy weights.
 *   node bench/gpu/run.ts [MODEL] [--workload FILE] [--quantization q8_0] [--only workload,decode,prefill] [--rounds 2] [--json FILE]
 * MODEL: a directory with config.json [default: bench/configs/qwen3-0.6b]. Without --workload the lengths are drawn as nano-vLLM's
 * bench.py does, not with Python's generator. The first round is called cold: kernels are compiled, but the device's clocks rest. Decode
 * is what the second half of the output adds to the time, so that prefill and the start of a batch do not count.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import { LLM, type LoadOptions } from "../../src/index.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		workload: { type: "string" },
		device: { type: "string", default: "webgpu" },
		quantization: { type: "string" },
		only: { type: "string", default: "workload,decode,prefill" },
		rounds: { type: "string", default: "2" },
		batches: { type: "string", default: "1,16,256" },
		"input-len": { type: "string", default: "512" },
		"output-len": { type: "string", default: "128" },
		"max-model-len": { type: "string", default: "2304" },
		"max-num-batched-tokens": { type: "string", default: "8192" },
		json: { type: "string" },
	},
});
const [model = "bench/configs/qwen3-0.6b"] = positionals;
const random = createRandom(0);
const inputLen = Number(values["input-len"]);
const outputLen = Number(values["output-len"]);

const loadStart = performance.now();
const llm = await LLM.load(model, {
	device: values.device as LoadOptions["device"],
	quantization: (values.quantization ?? null) as LoadOptions["quantization"],
	loadFormat: "dummy",
	skipTokenizerInit: true,
	maxNumSeqs: 256,
	maxModelLen: Number(values["max-model-len"]),
	maxNumBatchedTokens: Number(values["max-num-batched-tokens"]),
});
const figures: Record<string, unknown> = {
	model,
	quantization: values.quantization ?? null,
	loadSeconds: (performance.now() - loadStart) / 1000,
};
print("load seconds", figures.loadSeconds as number);

if (values.only.includes("workload"))
	for (let round = 0; round < Number(values.rounds); round++) {
		const { outputTokensPerSecond, seconds } = await runWorkload();
		const which = round === 0 ? "cold" : `warm ${round}`;
		const name = `workload, ${which}: output tokens/s`;
		print(name, outputTokensPerSecond, `${seconds.toFixed(2)} s`);
		figures[name] = outputTokensPerSecond;
	}
const batches = values.batches.split(",").map(Number);
for (const batch of values.only.includes("decode") ? batches : []) {
	const half = Math.floor(outputLen / 2);
	const short = await best(() => runBatch(batch, half));
	const long = await best(() => runBatch(batch, outputLen));
	record(
		`decode, ${batch}: tokens/s`,
		(batch * (outputLen - half)) / (Math.min(...long) - Math.min(...short)),
		`${times(short)} and ${times(long)} s`,
	);
}
if (values.only.includes("prefill"))
	for (const batch of [16, 256]) {
		const all = await best(() => runBatch(batch, 1));
		record(
			`prefill, ${batch} × ${inputLen}: tokens/s`,
			(batch * inputLen) / Math.min(...all),
			`${times(all)} s`,
		);
	}
console.log(JSON.stringify(llm.stats()));
await llm.close();
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);

/** A few rounds: clocks that rest make the first ones slow. */
async function best(measure: () => Promise<number>): Promise<number[]> {
	const seconds: number[] = [];
	for (let i = 0; i < 3; i++) seconds.push(await measure());
	return seconds;
}

function times(seconds: readonly number[]): string {
	return seconds.map((s) => s.toFixed(3)).join(" ");
}

function record(name: string, value: number, rest: string): void {
	print(name, value, rest);
	figures[name] = value;
}

function print(name: string, value: number, rest = ""): void {
	const text = value < 100 ? value.toFixed(1) : value.toFixed();
	console.log(`${name.padEnd(40)} ${text.padStart(9)}  ${rest}`);
}

function shapes(): [number, number][] {
	if (values.workload !== undefined)
		return JSON.parse(readFileSync(values.workload, "utf8")).requests;
	return Array.from({ length: 256 }, () => [
		random(100, 1024),
		random(100, 1024),
	]);
}

async function runWorkload() {
	const requests = shapes();
	const { vocabSize } = llm.modelConfig;
	const prompts = requests.map(([n]) => randomPrompt(n, vocabSize, random));
	const params = requests.map(([, maxTokens]) => ({
		maxTokens,
		ignoreEos: true,
		temperature: 0.6,
		detokenize: false,
	}));
	const start = performance.now();
	const outputs = await llm.generate(prompts, params);
	const seconds = (performance.now() - start) / 1000;
	const numTokens = outputs.reduce(
		(sum, { outputs: [{ tokenIds }] }) => sum + tokenIds.length,
		0,
	);
	return { seconds, outputTokensPerSecond: numTokens / seconds };
}

/** Seconds of a batch of equal requests. */
async function runBatch(batch: number, maxTokens: number): Promise<number> {
	const { vocabSize } = llm.modelConfig;
	const prompts = Array.from({ length: batch }, () =>
		randomPrompt(inputLen, vocabSize, random),
	);
	const params = {
		maxTokens,
		ignoreEos: true,
		temperature: 0.6,
		detokenize: false,
	};
	const start = performance.now();
	await llm.generate(prompts, params);
	return (performance.now() - start) / 1000;
}
