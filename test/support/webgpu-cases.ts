/** The op cases the WebGPU backend is held to, in Node and in a browser: each storage and format of weights. */
import type { WeightSource } from "../../src/backends/backend.ts";
import type { WebgpuOptions } from "../../src/backends/webgpu/backend.ts";
import { quantizedSource } from "../backends/cpu/plain-quantization.ts";
import type { BackendBounds } from "./backend-case.ts";
import type { FeatureBounds } from "./backend-cases.ts";
import { FAMILIES } from "./feature-cases.ts";

export interface WebgpuCases {
	readonly quantization: WebgpuOptions["quantization"];
	readonly bounds: readonly BackendBounds[];
	/** For the features no Qwen3 has. A software device compiles for seconds: each format has a few of them. */
	readonly features: readonly FeatureBounds[];
}

/** As the backend keeps embeddings and the output head. */
const isVocabulary = (tensor: string) => /embed_tokens|lm_head/.test(tensor);

const isRouter = (tensor: string) => tensor.includes("router");

const F32 = { weights: "f32", cache: "f16", atol: 0.02, rtol: 0.002 } as const;
const BF16 = {
	weights: "bf16",
	cache: "f16",
	atol: 0.05,
	rtol: 0.005,
} as const;
const Q8_0 = {
	...BF16,
	label: "q8_0",
	asUsed: (source: WeightSource) =>
		quantizedSource(source, (tensor) => (isRouter(tensor) ? null : "q8_0")),
};
const Q4_0 = {
	...BF16,
	weights: "f32",
	label: "q4_0",
	asUsed: (source: WeightSource) =>
		quantizedSource(source, (tensor) => {
			if (isRouter(tensor)) return null;
			return isVocabulary(tensor) ? "q8_0" : "q4_0";
		}),
} as const;

export const WEBGPU_CASES: readonly WebgpuCases[] = [
	{
		quantization: null,
		bounds: [F32, { ...BF16, models: "odd" }],
		features: [
			{
				...F32,
				exact: true,
				only: ["one of everything", ...FAMILIES.map(({ name }) => name)],
			},
			{ ...BF16, only: ["3 of 8 experts, 33 → 17, in stack"] },
		],
	},
	{
		quantization: "q8_0",
		bounds: [{ ...Q8_0, models: "even" }],
		features: [{ ...Q8_0, only: ["8 of 130 experts, 129 → 48, in stack"] }],
	},
	{
		quantization: "q4_0",
		bounds: [{ ...Q4_0, models: "odd" }],
		features: [{ ...Q4_0, only: ["2 of 3 experts, 7 → 5, in parts"] }],
	},
];
