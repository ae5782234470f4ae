/** The WebGPU backend against the reference, over the cases every backend must pass: each storage and format of weights. */
import {
	createWebgpuBackend,
	type WebgpuOptions,
} from "../../../src/backends/webgpu/backend.ts";
import { platform } from "../../../src/platform/node.ts";
import { runBackendCases } from "../../support/backend-cases.ts";
import { quantizedSource } from "../cpu/plain-quantization.ts";

const webgpu = (options: Partial<WebgpuOptions>) => async () => {
	const gpu = await platform.gpu();
	if (gpu === null) throw new Error("the package webgpu is not installed");
	return createWebgpuBackend({
		gpu,
		quantization: null,
		dtype: "auto",
		...options,
	});
};

/** As the backend keeps embeddings and the output head. */
const isVocabulary = (tensor: string) => /embed_tokens|lm_head/.test(tensor);

runBackendCases("webgpu", webgpu({}), [
	{ weights: "f32", cache: "f16", atol: 0.02, rtol: 0.002 },
	{ weights: "bf16", cache: "f16", atol: 0.05, rtol: 0.005, models: "odd" },
]);
runBackendCases("webgpu", webgpu({ quantization: "q8_0" }), [
	{
		weights: "bf16",
		cache: "f16",
		atol: 0.05,
		rtol: 0.005,
		label: "q8_0",
		models: "even",
		asUsed: (source) => quantizedSource(source, () => "q8_0"),
	},
]);
runBackendCases("webgpu", webgpu({ quantization: "q4_0" }), [
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
]);
