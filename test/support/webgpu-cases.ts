/** The op cases the WebGPU backend is held to, in Node and in a browser: each storage and format of weights. */
import type { WebgpuOptions } from "../../src/backends/webgpu/backend.ts";
import { quantizedSource } from "../backends/cpu/plain-quantization.ts";
import type { BackendBounds } from "./backend-case.ts";

export interface WebgpuCases {
	readonly quantization: WebgpuOptions["quantization"];
	readonly bounds: readonly BackendBounds[];
}

/** As the backend keeps embeddings and the output head. */
const isVocabulary = (tensor: string) => /embed_tokens|lm_head/.test(tensor);

export const WEBGPU_CASES: readonly WebgpuCases[] = [
	{
		quantization: null,
		bounds: [
			{ weights: "f32", cache: "f16", atol: 0.02, rtol: 0.002 },
			{
				weights: "bf16",
				cache: "f16",
				atol: 0.05,
				rtol: 0.005,
				models: "odd",
			},
		],
	},
	{
		quantization: "q8_0",
		bounds: [
			{
				weights: "bf16",
				cache: "f16",
				atol: 0.05,
				rtol: 0.005,
				label: "q8_0",
				models: "even",
				asUsed: (source) => quantizedSource(source, () => "q8_0"),
			},
		],
	},
	{
		quantization: "q4_0",
		bounds: [
			{
				weights: "f32",
				cache: "f16",
				atol: 0.05,
				rtol: 0.005,
				models: "odd",
				label: "q4_0",
				asUsed: (source) =>
					quantizedSource(source, (tensor) =>
						isVocabulary(tensor) ? "q8_0" : "q4_0",
					),
			},
		],
	},
];
