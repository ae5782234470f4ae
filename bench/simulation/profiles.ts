/** Engines as they were measured: the simulation's service times. */
import type { EngineProfile } from "./step-time.ts";

/**
 * Qwen3-0.6B shape, f16, one H100. bench/results/2026-11-25-webgpu-h100.json: decode of 1, 16 and 256 sequences by bench/gpu/run.ts
 * (512-token prompts, tokens 64 to 128); 64 and 128 by bench/gpu/profile.ts (64 tokens out), the busy time of a step and the idle share
 * behind it; attention's kernel at 256 × 512 cached tokens, 182 µs a layer, 28 layers; prefill of 256 × 512.
 */
const h100: EngineProfile = {
	name: "h100",
	source: "bench/results/2026-11-25-webgpu-h100.json",
	decodeSteps: [
		{ batch: 1, contextLen: 608, ms: 1000 / 790.8 },
		{ batch: 16, contextLen: 608, ms: 16_000 / 8_980.7 },
		{ batch: 64, contextLen: 544, ms: 3.146 / (1 - 0.02) },
		{ batch: 128, contextLen: 544, ms: 4.981 / (1 - 0.013) },
		{ batch: 256, contextLen: 608, ms: 256_000 / 26_629.2 },
	],
	nsPerCachedToken: (28 * 182e3) / (256 * 512),
	prefillTokensPerSecond: 206_073,
	maxNumSeqs: 256,
	maxNumBatchedTokens: 8192,
	loadSeconds: 10.6,
};

/**
 * Qwen3-0.6B shape, q8_0, two cores. bench/results/2026-11-24-cpu-peers.json: one stream (512-token prompt, 128 out), 16 streams (128-token
 * prompts, 64 out), prefill; what attention takes is inside these figures. Loading: bench/results/2026-11-26-load.json.
 */
const cpu: EngineProfile = {
	name: "cpu",
	source: "bench/results/2026-11-24-cpu-peers.json",
	decodeSteps: [
		{ batch: 1, contextLen: 576, ms: 1000 / 49.05 },
		{ batch: 16, contextLen: 160, ms: 16_000 / 250.17 },
	],
	nsPerCachedToken: 0,
	prefillTokensPerSecond: 483.2,
	maxNumSeqs: 16,
	maxNumBatchedTokens: 2048,
	loadSeconds: 3.2,
};

export const PROFILES: Readonly<Record<string, EngineProfile>> = { h100, cpu };
