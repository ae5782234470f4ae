/** The engine's own counts as vLLM's gauges and counters, read when somebody asks. Knows no requests. */
import type { ServedEngine } from "./engine.ts";
import type { Labels, Registry } from "./prometheus.ts";

const STEP_BOUNDS = [
	1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
];

export function addEngineMetrics(
	registry: Registry,
	engine: ServedEngine,
	now: () => number,
): void {
	type Stats = ReturnType<ServedEngine["stats"]>;
	const add = (
		kind: "counter" | "gauge",
		name: string,
		help: string,
		read: (stats: Stats) => number,
		labels?: () => Labels,
	) =>
		registry.computed(
			kind,
			`vllm:${name}`,
			help,
			() => read(engine.stats()),
			labels,
		);
	add(
		"gauge",
		"num_requests_running",
		"Sequences in the running batch.",
		(s) => s.numRequestsRunning,
	);
	add(
		"gauge",
		"num_requests_waiting",
		"Sequences waiting to run.",
		(s) => s.numRequestsWaiting,
	);
	add(
		"gauge",
		"num_requests_waiting_by_reason",
		"Sequences waiting to run, by reason.",
		(s) => s.numRequestsWaiting,
		() => ({ reason: "capacity" }),
	);
	for (const name of ["kv_cache_usage_perc", "gpu_cache_usage_perc"])
		add(
			"gauge",
			name,
			"Share of KV cache blocks in use, 0 to 1.",
			(s) => s.kvCacheUsage,
		);
	for (const name of ["prefix_cache", "gpu_prefix_cache"]) {
		add(
			"counter",
			`${name}_queries_total`,
			"Prompt tokens looked up in the prefix cache.",
			(s) => s.prefixCacheQueries,
		);
		add(
			"counter",
			`${name}_hits_total`,
			"Prompt tokens found in the prefix cache.",
			(s) => s.prefixCacheHits,
		);
	}
	add(
		"counter",
		"prompt_tokens_total",
		"Prompt tokens computed.",
		(s) => s.numPromptTokens,
	);
	add(
		"counter",
		"generation_tokens_total",
		"Tokens generated.",
		(s) => s.numGenerationTokens,
	);
	add(
		"counter",
		"num_preemptions_total",
		"Sequences that gave up their blocks to be computed again.",
		(s) => s.numPreemptions,
	);
	add(
		"gauge",
		"engine_sleep_state",
		"Whether the engine is in this state.",
		() => 1,
		() => ({ sleep_state: "awake" }),
	);
	registry.computedHistogram(
		"vllm:iteration_tokens_total",
		"Tokens of a step.",
		STEP_BOUNDS,
		() => stepSizes(engine.stats()),
	);
	const { enableLora, maxLoras } = engine.engineConfig;
	const { blockSize, enablePrefixCaching, gpuMemoryUtilization, kvCacheDtype } =
		engine.engineConfig;
	add(
		"gauge",
		"cache_config_info",
		"How the KV cache is laid out.",
		() => 1,
		() => ({
			block_size: String(blockSize),
			cache_dtype: kvCacheDtype,
			enable_prefix_caching: enablePrefixCaching ? "True" : "False",
			gpu_memory_utilization: String(gpuMemoryUtilization),
			num_gpu_blocks: String(engine.stats().numBlocks),
		}),
	);
	add(
		"gauge",
		"lora_requests_info",
		"Adapters in use, and when that was.",
		() => now() / 1000,
		() => {
			const { runningAdapters, waitingAdapters } = engine.stats();
			return {
				max_lora: String(enableLora ? maxLoras : 0),
				running_lora_adapters: runningAdapters.join(","),
				waiting_lora_adapters: waitingAdapters.join(","),
			};
		},
	);
}

/** The engine counts steps by powers of two; the bounds are powers of two. */
function stepSizes({
	numStepsBySize,
	numStepTokens,
}: ReturnType<ServedEngine["stats"]>) {
	const counts = new Array<number>(STEP_BOUNDS.length + 1).fill(0);
	for (let i = 0; i < numStepsBySize.length; i++) {
		const at = STEP_BOUNDS.findIndex((bound) => 2 ** i <= bound);
		counts[at === -1 ? STEP_BOUNDS.length : at] += numStepsBySize[i];
	}
	return { counts, sum: numStepTokens };
}
