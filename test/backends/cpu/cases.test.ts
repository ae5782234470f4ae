/** The CPU backend against the reference, over the cases every backend must pass: each type of weights and cache, each number of threads. */
import {
	type CpuOptions,
	createCpuBackend,
} from "../../../src/backends/cpu/backend.ts";
import { platform } from "../../../src/platform/node.ts";
import {
	runBackendCases,
	runFeatureCases,
} from "../../support/backend-cases.ts";
import { type QuantizedFormat, quantizedSource } from "./plain-quantization.ts";

const cpu = (options: Partial<CpuOptions>) => () =>
	createCpuBackend({
		platform,
		threads: 2,
		quantization: null,
		dtype: "auto",
		revectorize: true,
		...options,
	});

runBackendCases("cpu", cpu({}), [
	{ weights: "f32", cache: "f32", atol: 2e-5, rtol: 2e-6 },
]);
runBackendCases("cpu, one thread", cpu({ threads: 1 }), [
	{ weights: "bf16", cache: "f16", atol: 0.02, rtol: 0.002 },
]);
runBackendCases("cpu", cpu({}), [
	{ weights: "f16", cache: "bf16", atol: 0.1, rtol: 0.01, models: "odd" },
]);

/** As the backend keeps embeddings and the output head. */
const isVocabulary = (tensor: string) => /embed_tokens|lm_head/.test(tensor);

/** Activations are rounded to 8 bits, and these models have outliers. kernels.test.ts bounds the sums of the rounded numbers. */
const ROUNDED = { atol: 0.7, rtol: 0.02 };

runBackendCases("cpu", cpu({ quantization: "q8_0", threads: 3 }), [
	{
		weights: "bf16",
		cache: "f32",
		...ROUNDED,
		label: "q8_0",
		models: "odd",
		asUsed: (source) => quantizedSource(source, () => "q8_0"),
	},
]);
runBackendCases("cpu", cpu({ quantization: "q4_0" }), [
	{
		weights: "f32",
		cache: "f32",
		...ROUNDED,
		models: "even",
		label: "q4_0",
		asUsed: (source) =>
			quantizedSource(source, (tensor) =>
				isVocabulary(tensor) ? "q8_0" : "q4_0",
			),
	},
]);

runFeatureCases("cpu", cpu({ threads: 3 }), [
	{ weights: "f32", cache: "f32", atol: 3e-5, rtol: 3e-6, exact: true },
]);
runFeatureCases("cpu", cpu({}), [
	{ weights: "bf16", cache: "f16", atol: 0.02, rtol: 0.002, models: "odd" },
]);
runFeatureCases("cpu, one thread", cpu({ threads: 1 }), [
	{ weights: "f16", cache: "bf16", atol: 0.1, rtol: 0.01, models: "even" },
]);

/** A router keeps f32. */
const quantizedAs = (tensor: string, format: QuantizedFormat) =>
	/router/.test(tensor) ? null : isVocabulary(tensor) ? "q8_0" : format;

for (const [format, models] of [
	["q8_0", "even"],
	["q4_0", "odd"],
] as const)
	runFeatureCases("cpu", cpu({ quantization: format }), [
		{
			weights: "f32",
			cache: "f32",
			...ROUNDED,
			byRows: true,
			models,
			label: format,
			asUsed: (source) =>
				quantizedSource(source, (tensor) => quantizedAs(tensor, format)),
		},
	]);
