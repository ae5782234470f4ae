/** Every feature of the ops in awkward sizes, and mixtures as families have them. Run by backend-case.ts. */
import type { Block, FeatureCase } from "./feature-program.ts";

const CLAMPED = { kind: "clamped_swiglu", limit: 0.7 } as const;
const GELU = { kind: "gated", activation: "gelu_tanh" } as const;

/** The least attention there is, where a case is about something else. */
const PLAIN: Block = { kind: "attention", heads: [1, 1, 2] };

/** Features as families mix them. */
export const FAMILIES: readonly FeatureCase[] = [
	{
		name: "as Gemma 2",
		hidden: 72,
		vocab: 257,
		blockSize: 16,
		embedScale: 72 ** 0.5,
		logitCap: 30,
		plusOne: true,
		blocks: [33, undefined, 33].flatMap((window): Block[] => [
			{
				kind: "attention",
				heads: [4, 2, 18],
				window,
				softCap: 50,
				postNorm: true,
			},
			{
				kind: "mlp",
				intermediate: 130,
				activation: "gelu_tanh",
				postNorm: true,
			},
		]),
	},
	{
		name: "as OLMo 2",
		hidden: 64,
		vocab: 131,
		blockSize: 16,
		blocks: [0, 1].flatMap((): Block[] => [
			{
				kind: "attention",
				heads: [4, 4, 16],
				norm: false,
				qkNorm: "all",
				postNorm: true,
			},
			{ kind: "mlp", intermediate: 96, norm: false, postNorm: true },
		]),
	},
	{
		name: "as gpt-oss",
		hidden: 90,
		vocab: 201,
		blockSize: 16,
		blocks: [16, undefined].flatMap((window): Block[] => [
			{
				kind: "attention",
				heads: [8, 1, 16],
				window,
				sinks: true,
				bias: true,
				rope: [8, 1.35],
			},
			{
				kind: "experts",
				intermediate: 90,
				numExperts: 32,
				topK: 4,
				storage: "columns",
				normalize: true,
				bias: true,
				gating: { kind: "clamped_swiglu", limit: 7 },
			},
		]),
	},
	{
		name: "as Granite and Qwen3 mixtures",
		hidden: 96,
		vocab: 151,
		blockSize: 16,
		embedScale: 12,
		logitScale: 1 / 6,
		blocks: ([true, undefined] as const).flatMap((normalize): Block[] => [
			{
				kind: "attention",
				heads: [6, 2, 32],
				qkNorm: "head",
				scale: 0.22,
			},
			{
				kind: "experts",
				intermediate: 48,
				numExperts: 128,
				topK: 8,
				storage: "parts",
				normalize,
				scale: 0.22,
			},
		]),
	},
	{
		name: "as SmolLM3 and Phi",
		hidden: 56,
		vocab: 127,
		blockSize: 3,
		blocks: [
			{ kind: "attention", heads: [4, 1, 14], rope: null },
			{ kind: "mlp", intermediate: 57 },
			{ kind: "attention", heads: [2, 2, 32], rope: [6, 1], bias: true },
			{ kind: "mlp", intermediate: 64, bias: true, activation: "gelu_tanh" },
		],
	},
];

export const FEATURES: readonly FeatureCase[] = [
	{
		name: "one of everything",
		hidden: 1,
		vocab: 3,
		blockSize: 1,
		embedScale: 3,
		logitScale: 2,
		logitCap: 1.5,
		blocks: [
			{
				kind: "experts",
				intermediate: 1,
				numExperts: 1,
				topK: 1,
				storage: "parts",
				bias: true,
			},
			{
				kind: "attention",
				heads: [1, 1, 2],
				rope: [1, 0.5],
				sinks: true,
				softCap: 2,
				postNorm: true,
			},
			{ kind: "mlp", intermediate: 1, bias: true, activation: "gelu_tanh" },
		],
	},
	{
		name: "scaled embeddings, scaled and capped logits",
		hidden: 17,
		vocab: 131,
		blockSize: 3,
		embedScale: 17 ** 0.5,
		logitScale: 7,
		logitCap: 3,
		blocks: [{ kind: "attention", heads: [3, 1, 6] }],
	},
	{
		name: "no norms before, norms after, additions scaled",
		hidden: 33,
		vocab: 65,
		blockSize: 16,
		blocks: [
			{
				kind: "attention",
				heads: [2, 1, 10],
				norm: false,
				postNorm: true,
				scale: 0.5,
				bias: true,
			},
			{ kind: "mlp", intermediate: 31, norm: false, postNorm: true },
			{ kind: "attention", heads: [2, 2, 8], norm: false, scale: 0.22 },
			{ kind: "mlp", intermediate: 17, scale: -0.7, bias: true },
		],
	},
	{
		name: "gelu, biases of gate and up",
		hidden: 65,
		vocab: 33,
		blockSize: 16,
		blocks: [
			{
				kind: "mlp",
				intermediate: 129,
				activation: "gelu_tanh",
				bias: true,
			},
			{ kind: "attention", heads: [5, 1, 20], bias: true },
			{ kind: "mlp", intermediate: 15, activation: "gelu_tanh" },
			{ kind: "mlp", intermediate: 16, bias: true },
		],
	},
	{
		name: "partial, scaled and no rope",
		hidden: 31,
		vocab: 67,
		blockSize: 3,
		blocks: [
			{ kind: "attention", heads: [4, 2, 20], rope: [5, 1] },
			{ kind: "attention", heads: [3, 3, 10], rope: null, qkNorm: "head" },
			{ kind: "attention", heads: [2, 1, 64], rope: [16, 1.3] },
			{ kind: "attention", heads: [1, 1, 7], rope: [1, 1] },
			{ kind: "attention", heads: [2, 1, 130], rope: [64, 0.7] },
		],
	},
	{
		name: "norms over all heads",
		hidden: 40,
		vocab: 100,
		blockSize: 16,
		blocks: [
			{ kind: "attention", heads: [5, 1, 6], qkNorm: "all" },
			{ kind: "attention", heads: [6, 3, 16], qkNorm: "all", rope: null },
			{ kind: "attention", heads: [1, 1, 34], qkNorm: "all" },
			{ kind: "attention", heads: [8, 2, 64], qkNorm: "all", rope: [8, 1] },
		],
	},
	{
		name: "soft caps, sinks and windows",
		hidden: 48,
		vocab: 129,
		blockSize: 16,
		blocks: [
			{ kind: "attention", heads: [3, 1, 8], softCap: 0.5 },
			{ kind: "attention", heads: [8, 2, 16], sinks: true, window: 5 },
			{ kind: "attention", heads: [1, 1, 128], softCap: 50, window: 70 },
			{
				kind: "attention",
				heads: [7, 1, 24],
				softCap: 1,
				sinks: true,
				window: 1,
			},
			{ kind: "attention", heads: [12, 4, 6], sinks: true, softCap: 2 },
		],
	},
	...(
		[
			[7, 5, 3, 2, "parts"],
			[33, 17, 8, 3, "stack"],
			[64, 16, 5, 5, "columns"],
			[129, 48, 130, 8, "stack"],
			[80, 96, 2, 1, "parts"],
		] as const
	).flatMap(([hidden, intermediate, numExperts, topK, storage], i) => {
		const block: Block = {
			kind: "experts",
			intermediate,
			numExperts,
			topK,
			storage,
			...(i % 2 === 0 ? { normalize: true } : { bias: true, scale: 0.5 }),
			gating: [undefined, CLAMPED, GELU][i % 3],
		};
		return {
			name: `${topK} of ${numExperts} experts, ${hidden} → ${intermediate}, in ${storage}`,
			hidden,
			vocab: 61,
			blockSize: 16,
			blocks: [block, PLAIN],
		};
	}),
	...FAMILIES,
];
