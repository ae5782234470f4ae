/** Small models in memory for tests of the CPU backend as a whole. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type {
	CompileOptions,
	Executable,
	Limits,
	TensorDtype,
	WeightSource,
} from "../../../src/backends/backend.ts";
import {
	type CpuOptions,
	createCpuBackend,
} from "../../../src/backends/cpu/backend.ts";
import {
	checkpointTensors,
	type Program,
} from "../../../src/backends/program.ts";
import type { LLM } from "../../../src/llm.ts";
import { buildProgram } from "../../../src/models/architectures.ts";
import { parseModelConfig } from "../../../src/models/config.ts";
import { platform } from "../../../src/platform/node.ts";
import { dummyWeights } from "../../../src/weights/dummy.ts";
import { fileMap, type ModelFiles } from "../../../src/weights/source.ts";
import { TINY_CONFIG } from "../../support/engine-harness.ts";

export type ConfigJson = Record<string, unknown>;

/** A model folder of a config alone, for loadFormat "dummy". */
export function configOnly(config: ConfigJson): ModelFiles {
	return fileMap(
		"tiny",
		new Map([
			["config.json", new TextEncoder().encode(JSON.stringify(config))],
		]),
	);
}

export const tinyConfig = (changes: ConfigJson = {}): ConfigJson => ({
	...TINY_CONFIG,
	...changes,
});

export function programOf(config: ConfigJson): Program {
	return buildProgram(parseModelConfig(config));
}

export function dummiesOf(
	program: Program,
	seed = 3,
	dtype: TensorDtype = "bf16",
): WeightSource {
	const tensors = checkpointTensors(program);
	return dummyWeights(tensors, { seed, dtype });
}

export const LIMITS: Limits = {
	blockSize: 4,
	maxModelLen: 64,
	maxNumSeqs: 4,
	maxNumBatchedTokens: 32,
	kvCacheBytes: 2 ** 20,
	memoryUtilization: 1,
};

export function compileCpu(
	program: Program,
	cpu: Partial<CpuOptions> = {},
	options: Partial<CompileOptions> = {},
	source: WeightSource = dummiesOf(program),
): Promise<Executable> {
	const backend = createCpuBackend({
		platform,
		threads: 2,
		quantization: null,
		dtype: "auto",
		revectorize: true,
		...cpu,
	});
	const compileOptions = { limits: LIMITS, kvCacheDtype: "f32" as const };
	return backend.compile(program, source, { ...compileOptions, ...options });
}

export interface GoldenCase {
	readonly promptTokenIds: number[];
	readonly outputTokenIds: number[];
}

export function goldenCheckpoint(name: string) {
	const path = (file = "") =>
		fileURLToPath(
			new URL(`../../golden/qwen3/${name}/${file}`, import.meta.url),
		);
	const { cases }: { cases: GoldenCase[] } = JSON.parse(
		readFileSync(path("golden.json"), "utf8"),
	);
	return { folder: path(), path, cases };
}

/** Greedy tokens, their logprobs and the prompts', of prompts in one batch. */
export async function greedy(
	llm: LLM,
	prompts: readonly (readonly number[])[],
	maxTokens = 24,
) {
	const outputs = await llm.generate(
		prompts.map((ids) => ({ promptTokenIds: [...ids] })),
		{
			temperature: 0,
			maxTokens,
			ignoreEos: true,
			logprobs: 2,
			promptLogprobs: 0,
		},
	);
	return outputs.map(({ outputs: [output], promptLogprobs }) => ({
		tokenIds: output.tokenIds,
		logprobs: (output.logprobs ?? []).map(([chosen]) => chosen.logprob),
		/** The best and the second token's logprobs at each step. */
		best: (output.logprobs ?? []).map((list) => list.map((e) => e.logprob)),
		promptLogprobs: (promptLogprobs ?? []).map(
			(list) => list?.[0].logprob ?? null,
		),
	}));
}
