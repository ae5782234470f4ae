/** An adapter beside the weights gives what it gives merged into them: cases any device can be held to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestOutput } from "../../src/engine/output.ts";
import {
	type GenerateOptions,
	LLM,
	type LoadOptions,
} from "../../src/index.ts";
import type { LoraRequest } from "../../src/lora.ts";
import type { GoldenSet } from "./golden.ts";
import {
	type AdapterOptions,
	ATTENTION,
	asAdapter,
	FUSED,
	goldenModel,
	MLP,
	makeAdapter,
	merged,
	type Tensors,
	withTensors,
} from "./lora-adapter.ts";
import { randomSource } from "./random.ts";
import { asModel, type Files } from "./text-model.ts";

export interface LoraCase {
	readonly set: GoldenSet;
	readonly model: string;
	readonly adapter: AdapterOptions;
	readonly scaleOf?: (module: string, rank: number) => number;
}

const ALL = [...ATTENTION, ...MLP];

// biome-ignore format: a table
export const LORA_CASES: readonly LoraCase[] = [
	{ set: "qwen3", model: "bf16-group3", adapter: { modules: ALL, rank: 8, alpha: 16, seed: 1, dtype: "bf16" } },
	{ set: "qwen3", model: "bias-group8", adapter: { modules: ["q_proj", "v_proj"], rank: 3, alpha: 5, seed: 2, dtype: "f16" } },
	{ set: "families", model: "phi3-short", adapter: { modules: FUSED, rank: 16, alpha: 8, seed: 3 } },
	{ set: "families", model: "gemma2-caps", adapter: { modules: ALL, rank: 1, alpha: 1, seed: 4 } },
	{ set: "families", model: "granite-multipliers", adapter: { modules: ALL, rank: 5, alpha: 7, seed: 5, config: { use_rslora: true } }, scaleOf: (_, rank) => 7 / Math.sqrt(rank) },
	{
		set: "families", model: "mixtral", adapter: {
			modules: ATTENTION, rank: 4, alpha: 4, seed: 6, ranks: { k_proj: 7 }, config: { alpha_pattern: { "layers.0.self_attn.q_proj": 9 } },
		},
		scaleOf: (module, rank) => (module.endsWith("layers.0.self_attn.q_proj") ? 9 : 4) / rank,
	},
];

const OPTIONS = {
	skipTokenizerInit: true,
	maxModelLen: 64,
	maxNumSeqs: 6,
	blockSize: 4,
	kvCacheMemoryBytes: 2 ** 22,
	maxLogprobs: -1,
} as const;

export interface LoraBounds {
	readonly tolerance: number;
	readonly load?: LoadOptions;
	/** What the device makes of the base weights it loads: the merged model is made of the same. */
	readonly asUsed?: (tensors: Tensors) => Tensors;
	readonly cases?: readonly LoraCase[];
}

/** Registers a test per case. The answers are the reference's on the merged weights. */
export function loraTests(
	device: NonNullable<LoadOptions["device"]>,
	{ tolerance, load = {}, asUsed = (it) => it, cases = LORA_CASES }: LoraBounds,
): void {
	const said = Object.entries(load).map(([key, value]) => `${key} ${value}`);
	for (const each of cases) {
		const { modules, rank, alpha } = each.adapter;
		const title = [`${device}, ${each.model}`, ...said].join(", ");
		test(`${title}: rank ${rank} on ${modules.length} modules is as if merged`, async (t) => {
			const { files, tensors } = await goldenModel(each.set, each.model);
			const used = asUsed(tensors);
			const adapter = makeAdapter(used, each.adapter);
			const scaleOf = each.scaleOf ?? (() => alpha / rank);
			const weights = merged(used, adapter.tensors, scaleOf);
			const wanted = await answers(files, weights);
			const plain = await answers(files, used);
			await using llm = await LLM.load(asModel(withTensors(files, tensors)), {
				device,
				...OPTIONS,
				...load,
				enableLora: true,
				maxLoraRank: 16,
			});
			const path = asAdapter(adapter.files);
			const loraRequest = { name: "merged", path };
			const off = await worst(llm, wanted, { loraRequest });
			t.diagnostic(`largest difference: ${off.toExponential(1)}`);
			assert.ok(off <= tolerance, `${off} is more than ${tolerance}`);
			const base = await worst(llm, plain, {});
			assert.ok(base <= tolerance, `without: ${base} more than ${tolerance}`);
			assert.ok(
				(await worst(llm, plain, { loraRequest })) > 3 * tolerance,
				"the adapter makes a difference",
			);
		});
	}
}

/** Registers a test: three adapters and none in one batch, as many at once as there are slots, are each as if merged. */
export function loraMixTest(
	device: NonNullable<LoadOptions["device"]>,
	maxLoras: number,
	{ tolerance, load = {} }: Pick<LoraBounds, "tolerance" | "load">,
): void {
	const { set, model, adapter } = LORA_CASES[2];
	test(`${device}, ${model}: three adapters and none in one batch, ${maxLoras} at once`, async (t) => {
		const { files, tensors } = await goldenModel(set, model);
		const wanted = await answers(files, tensors);
		const requests: (LoraRequest | null)[] = wanted.map(() => null);
		for (const [i, modules] of [
			FUSED,
			FUSED.slice(0, 2),
			["o_proj"],
		].entries()) {
			const rank = 3 + 4 * i;
			const options = { ...adapter, modules, rank, seed: 20 + i };
			const made = makeAdapter(tensors, options);
			const scale = adapter.alpha / rank;
			const weights = merged(tensors, made.tensors, () => scale);
			const more = await answers(files, weights);
			wanted.push(...more);
			const request = { name: `${i}`, path: asAdapter(made.files) };
			requests.push(...more.map(() => request));
		}
		await using llm = await LLM.load(asModel(withTensors(files, tensors)), {
			device,
			...OPTIONS,
			maxNumSeqs: 12,
			...load,
			enableLora: true,
			maxLoras,
			maxCpuLoras: 3,
		});
		// Adapters and prompts of every kind lie side by side.
		const order = wanted.map((_, i) => (5 * i) % wanted.length);
		const loraRequest = order.map((i) => requests[i]);
		for (let round = 0; round < 2; round++) {
			const mixed = order.map((i) => wanted[i]);
			const off = await worst(llm, mixed, { loraRequest });
			t.diagnostic(`largest difference: ${off.toExponential(1)}`);
			assert.ok(off <= tolerance, `${off} is more than ${tolerance}`);
		}
	});
}

const PROMPTS = [1, 9, 22].map((length, i) => {
	const random = randomSource(50 + i);
	return Array.from({ length }, () => random.below(150));
});

/** The reference's greedy continuations of the prompts, scored. */
async function answers(
	files: Files,
	tensors: Tensors,
): Promise<RequestOutput[]> {
	const model = asModel(withTensors(files, tensors));
	await using llm = await LLM.load(model, { device: "reference", ...OPTIONS });
	return await llm.generate(
		PROMPTS.map((promptTokenIds) => ({ promptTokenIds })),
		{
			temperature: 0,
			maxTokens: 10,
			ignoreEos: true,
			logprobs: 0,
			promptLogprobs: 0,
		},
	);
}

/** The largest difference of a logprob where `llm` scores the answers. */
async function worst(
	llm: LLM,
	answers: readonly RequestOutput[],
	options: GenerateOptions,
): Promise<number> {
	const scored = await llm.generate(
		answers.map(({ promptTokenIds, outputs: [{ tokenIds }] }) => ({
			promptTokenIds: [...promptTokenIds, ...tokenIds],
		})),
		{ temperature: 0, maxTokens: 1, promptLogprobs: 0 },
		options,
	);
	const differences = scored.flatMap(({ promptLogprobs }, i) => {
		const { outputs, promptLogprobs: prompt } = answers[i];
		const wanted = [...(prompt ?? []), ...(outputs[0].logprobs ?? [])];
		assert.equal(promptLogprobs?.length, wanted.length);
		return wanted.map((entries, p) => {
			const got = promptLogprobs?.[p]?.[0].logprob ?? 0;
			return Math.abs(got - (entries?.[0].logprob ?? 0));
		});
	});
	return Math.max(...differences);
}
