/** The engine's options as flags of every command: one row each, in vLLM's spelling. */
import type { Command } from "commander";
import { ENGINE_DEFAULTS, type EngineConfig } from "../config.ts";
import { addFlags, type Flag, givenFlags } from "./flags.ts";
import { parseCount, parseInteger, parseNumber } from "./values.ts";

const count = (about: string): Flag => ({
	about,
	value: "n",
	parse: parseCount,
});

export const ENGINE_FLAGS: Readonly<Record<keyof EngineConfig, Flag>> = {
	device: {
		about: "where to run",
		choices: ["auto", "webgpu", "cpu", "reference"],
	},
	dtype: {
		about: "type weights are computed in",
		choices: ["auto", "f32", "f16", "bf16"],
	},
	quantization: {
		about: "quantize weights while loading",
		choices: ["q8_0", "q4_0"],
	},
	loadFormat: {
		about: "dummy: seeded random weights, config.json is enough",
		choices: ["auto", "safetensors", "gguf", "dummy"],
	},
	revision: {
		about: "branch, tag or commit of a model on the hub (default: main)",
		value: "name",
	},
	maxModelLen: count("longest prompt + output, e.g. 4096, 4K, 25.6k"),
	maxNumSeqs: count("sequences running at once"),
	maxNumBatchedTokens: count("tokens of one step"),
	blockSize: count("tokens of one KV block"),
	kvCacheMemoryBytes: {
		about: "size of the KV cache, e.g. 512M, 2G",
		value: "bytes",
		parse: parseCount,
	},
	gpuMemoryUtilization: {
		about: "share of the device's memory to use",
		value: "share",
		parse: parseNumber,
	},
	kvCacheDtype: {
		about: "type of cached keys and values",
		choices: ["auto", "f32", "f16", "bf16"],
	},
	enablePrefixCaching: { about: "reuse the KV blocks of equal beginnings" },
	enableChunkedPrefill: { about: "split long prompts over several steps" },
	asyncScheduling: { about: "schedule step n + 1 while step n runs" },
	schedulingPolicy: {
		about: "order of waiting requests",
		choices: ["fcfs", "priority"],
	},
	enableLora: { about: "make room for LoRA adapters" },
	maxLoras: count("different adapters in one step"),
	maxLoraRank: count("largest rank of an adapter"),
	maxCpuLoras: count("adapters kept in memory (default: --max-loras)"),
	seed: {
		about: "seed of requests without one, and of dummy weights",
		value: "n",
		parse: parseInteger,
	},
	maxLogprobs: {
		about: "largest --logprobs; -1: no limit",
		value: "n",
		parse: parseInteger,
	},
	threads: {
		about: "compute threads of the cpu device (default: one per core)",
		value: "n",
		parse: parseInteger,
	},
	wasmRevectorize: {
		about: "let V8 join pairs of SIMD operations (cpu device, x64)",
	},
	skipTokenizerInit: { about: "load no tokenizer: token ids only" },
};

export const addEngineFlags = (command: Command): Command =>
	addFlags(command, "Engine options:", ENGINE_FLAGS, { ...ENGINE_DEFAULTS });

export const engineOptions = (
	options: Readonly<Record<string, unknown>>,
): Partial<EngineConfig> => givenFlags(ENGINE_FLAGS, options);
