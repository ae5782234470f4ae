/**
 * What adapters cost: decode and prefill of one batch without room for adapters, with room, through one, and through several mixed.
 *   node bench/lora.ts [MODEL] [--device cpu] [--quantization q8_0] [--rank 16] [--loras 4] [--batches 1,16] [--input-len 128]
 *   [--output-len 64] [--rounds 5] [--json FILE]
 * MODEL: a directory with config.json [default: bench/configs/qwen3-0.6b]; weights and adapters are random numbers. Two engines take
 * turns, so that a machine that changes its speed slows both; figures are medians of the rounds, after one that warms up. Decode begins
 * when every request has its first token.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createRandom, randomPrompt } from "../src/cli/workload.ts";
import { fileMap, LLM, type LoadOptions } from "../src/index.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		device: { type: "string", default: "cpu" },
		quantization: { type: "string" },
		rank: { type: "string", default: "16" },
		loras: { type: "string", default: "4" },
		batches: { type: "string", default: "1,16" },
		rounds: { type: "string", default: "5" },
		"input-len": { type: "string", default: "128" },
		"output-len": { type: "string", default: "64" },
		json: { type: "string" },
	},
});
const [model = "bench/configs/qwen3-0.6b"] = positionals;
const rank = Number(values.rank);
const numLoras = Number(values.loras);
const inputLen = Number(values["input-len"]);
const outputLen = Number(values["output-len"]);
const random = createRandom(0);

const options: LoadOptions = {
	device: values.device as LoadOptions["device"],
	quantization: (values.quantization ?? null) as LoadOptions["quantization"],
	loadFormat: "dummy",
	skipTokenizerInit: true,
	maxNumSeqs: 256,
	maxModelLen: 2048,
	enablePrefixCaching: false,
};
const plain = await LLM.load(model, options);
const adapted = await LLM.load(model, {
	...options,
	enableLora: true,
	maxLoras: numLoras,
	maxLoraRank: rank,
});
const { modelConfig } = adapted;
for (let i = 0; i < numLoras; i++)
	await adapted.loadLoraAdapter(`lora ${i}`, randomAdapter());

/** Which engine, and how many adapters take turns in the batch. */
const modes = [
	{ name: "no room for adapters", llm: plain, loras: 0 },
	{ name: "room, none used", llm: adapted, loras: 0 },
	{ name: "one adapter", llm: adapted, loras: 1 },
	{ name: `${numLoras} adapters mixed`, llm: adapted, loras: numLoras },
];
const figures: Record<string, number> = {};
for (const batch of values.batches.split(",").map(Number)) {
	const rounds: Rates[][] = modes.map(() => []);
	for (let round = -1; round < Number(values.rounds); round++)
		for (const [i, { llm, loras }] of modes.entries()) {
			const measured = await rates(llm, batch, loras);
			if (round >= 0) rounds[i].push(measured);
		}
	const middle = rounds.map((of) => ({
		prefill: median(of.map(({ prefill }) => prefill)),
		decode: median(of.map(({ decode }) => decode)),
	}));
	for (const [i, { name }] of modes.entries())
		for (const phase of ["prefill", "decode"] as const) {
			const rate = middle[i][phase];
			const share = (100 * rate) / middle[0][phase];
			const label = `batch ${batch}, ${name}: ${phase} tokens/s`;
			figures[label] = rate;
			console.log(
				`${label.padEnd(56)} ${rate.toFixed(1).padStart(9)} ${share.toFixed(0).padStart(4)} %`,
			);
		}
}
await plain.close();
await adapted.close();
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);

/** Tokens per second. */
interface Rates {
	readonly prefill: number;
	readonly decode: number;
}

async function rates(llm: LLM, batch: number, loras: number): Promise<Rates> {
	const params = { maxTokens: outputLen, ignoreEos: true, detokenize: false };
	const prompts = Array.from({ length: batch }, () =>
		randomPrompt(inputLen, modelConfig.vocabSize, random),
	);
	const start = performance.now();
	let numStarted = 0;
	let firstMs = 0;
	let numDecoded = 0;
	const consume = async (prompt: (typeof prompts)[0], i: number) => {
		const lora = { loraRequest: { name: `lora ${i % loras}` } };
		let isFirst = true;
		const stream = llm.stream(prompt, params, loras > 0 ? lora : {});
		for await (const { tokenIds } of stream) {
			if (tokenIds.length === 0) continue;
			if (numStarted === batch) numDecoded += tokenIds.length;
			if (isFirst && ++numStarted === batch)
				firstMs = performance.now() - start;
			isFirst = false;
		}
	};
	await Promise.all(prompts.map(consume));
	const decodeMs = performance.now() - start - firstMs;
	return {
		prefill: (1000 * batch * inputLen) / firstMs,
		decode: (1000 * numDecoded) / decodeMs,
	};
}

function median(of: readonly number[]): number {
	const sorted = of.toSorted((a, b) => a - b);
	return (sorted[(of.length - 1) >> 1] + sorted[of.length >> 1]) / 2;
}

/** All linear layers, f16. */
function randomAdapter() {
	const { hiddenSize, intermediateSize, numLayers } = modelConfig;
	const { numHeads, numKvHeads, headDim } = modelConfig;
	const kv = numKvHeads * headDim;
	const modules: [string, number, number][] = [
		["self_attn.q_proj", numHeads * headDim, hiddenSize],
		["self_attn.k_proj", kv, hiddenSize],
		["self_attn.v_proj", kv, hiddenSize],
		["self_attn.o_proj", hiddenSize, numHeads * headDim],
		["mlp.gate_proj", intermediateSize, hiddenSize],
		["mlp.up_proj", intermediateSize, hiddenSize],
		["mlp.down_proj", hiddenSize, intermediateSize],
	];
	const header: Record<string, unknown> = {};
	let end = 0;
	const add = (name: string, shape: [number, number]) => {
		const start = end;
		end += 2 * shape[0] * shape[1];
		header[name] = { dtype: "F16", shape, data_offsets: [start, end] };
	};
	for (let layer = 0; layer < numLayers; layer++)
		for (const [module, rows, columns] of modules) {
			const at = `base_model.model.model.layers.${layer}.${module}`;
			add(`${at}.lora_A.weight`, [rank, columns]);
			add(`${at}.lora_B.weight`, [rows, rank]);
		}
	const text = new TextEncoder().encode(JSON.stringify(header));
	const file = new Uint8Array(8 + text.length + end);
	new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
	file.set(text, 8);
	// Halves of about ±0.03.
	for (let i = 8 + text.length; i < file.length; i += 2) {
		file[i] = random(0, 255);
		file[i + 1] = random(0, 1) === 0 ? 0x28 : 0xa8;
	}
	const config = { peft_type: "LORA", r: rank, lora_alpha: rank };
	return fileMap(
		"random adapter",
		new Map([
			["adapter_config.json", new TextEncoder().encode(JSON.stringify(config))],
			["adapter_model.safetensors", file],
		]),
	);
}
