/** Finds a model's files, reads what they say, and puts it on a device. The only file that knows every weight format. */
import type {
	Backend,
	Executable,
	MemoryNeed,
	WeightSource,
} from "./backends/backend.ts";
import {
	type AdapterTarget,
	adapterTargets,
	checkpointTensors,
	type Program,
	weightsOf,
} from "./backends/program.ts";
import { checkWeights } from "./backends/read-weight.ts";
import {
	type ChosenDevice,
	chooseDevice,
	isRefusal,
	openCpu,
} from "./choose-device.ts";
import { type EngineConfig, resolveEngineConfig } from "./config.ts";
import { NanoVllmError } from "./errors.ts";
import { findModel, readJson } from "./find-model.ts";
import { adaptable } from "./models/adaptable.ts";
import { buildProgram } from "./models/architectures.ts";
import { type ModelConfig, parseModelConfig } from "./models/config.ts";
import {
	type GenerationConfig,
	parseGenerationConfig,
} from "./models/generation-config.ts";
import type { Platform } from "./platform/platform.ts";
import type { ChatTemplate } from "./tokenizer/chat-template.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";
import type { GgufModel } from "./weights/gguf.ts";
import { quantizationEntry } from "./weights/quantization-entry.ts";
import { openSafetensors } from "./weights/safetensors.ts";
import type { ModelFiles } from "./weights/source.ts";

export interface LoadProgress {
	/** A model of the hub is downloaded first, where it is not yet here; then its weights are put on the device. */
	readonly stage: "download" | "load";
	readonly loadedBytes: number;
	readonly totalBytes: number;
}

export interface LoadContext {
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: LoadProgress) => void;
	/** The Hugging Face hub's address and a token for it, where HF_ENDPOINT and HF_TOKEN cannot be set. */
	readonly hub?: { readonly endpoint?: string; readonly token?: string };
	/** false: downloads nothing; what is not here is read in place, by ranges. */
	readonly cache?: boolean;
}

/** The platform as a load's context would have it. */
export function platformFor(
	platform: Platform,
	{ hub = {}, cache = true }: LoadContext,
): Platform {
	const said = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: hub.token };
	const environment = { ...platform.environment };
	for (const [name, value] of Object.entries(said))
		if (value !== undefined) environment[name] = value;
	return { ...platform, environment, files: cache ? platform.files : null };
}

export interface TextTools {
	readonly tokenizer: Tokenizer;
	/** null where the model has no chat template. */
	readonly chatTemplate: ChatTemplate | null;
}

export interface LoadedModel {
	readonly name: string;
	readonly device: Backend["name"];
	/** Why this device, for people. */
	readonly deviceReason: string;
	readonly modelConfig: ModelConfig;
	readonly generation: GenerationConfig;
	readonly text: TextTools | null;
	readonly executable: Executable;
	readonly numParameters: number;
	readonly maxModelLen: number;
	readonly maxNumBatchedTokens: number;
	/** What adapters may change; nothing without enableLora. */
	readonly adapterTargets: readonly AdapterTarget[];
}

/** A step of this many tokens takes about a second or less on the device. */
const DEFAULT_BATCHED_TOKENS: Readonly<Record<Backend["name"], number>> = {
	reference: 256,
	cpu: 512,
	webgpu: 8192,
};

export async function loadModel(
	model: string | ModelFiles,
	config: EngineConfig,
	platform: Platform,
	context: LoadContext,
): Promise<LoadedModel> {
	const { files, gguf } = await findModel(model, config, platform, {
		signal: context.signal,
		onDownload: (loadedBytes, totalBytes) =>
			context.onProgress?.({ stage: "download", loadedBytes, totalBytes }),
	});
	try {
		return await loadFrom(files, gguf, config, platform, context);
	} finally {
		await gguf?.close();
	}
}

async function loadFrom(
	files: ModelFiles,
	gguf: GgufModel | null,
	config: EngineConfig,
	platform: Platform,
	context: LoadContext,
): Promise<LoadedModel> {
	const json = gguf ? gguf.config : await readJson(files, "config.json");
	const modelConfig = parseModelConfig(json);
	const generation = parseGenerationConfig(
		gguf ? null : await readJson(files, "generation_config.json", false),
	);
	const asCheckpoint = buildProgram(
		modelConfig,
		config.maxModelLen ?? modelConfig.maxPositionEmbeddings,
	);
	const plain = gguf
		? (await import("./weights/gguf-program.ts")).ggufProgram(asCheckpoint)
		: asCheckpoint;
	const { enableLora, maxLoras: numSlots, maxLoraRank: maxRank } = config;
	const program = enableLora ? adaptable(plain, { numSlots, maxRank }) : plain;
	const text = config.skipTokenizerInit ? null : await loadText(files, gguf);
	const compile = async (chosen: ChosenDevice, weights: WeightSource) => {
		const { backend, reason } = chosen;
		const limits = limitsOf(config, modelConfig, backend.name);
		const executable = await backend.compile(program, weights, {
			limits,
			kvCacheDtype: config.kvCacheDtype,
			signal: context.signal,
			onProgress: (loadedBytes, totalBytes) =>
				context.onProgress?.({ stage: "load", loadedBytes, totalBytes }),
		});
		return { executable, device: backend.name, reason, wanted: limits };
	};
	const chosen = await chooseDevice(config, platform);
	// Wrong options are told before anything is read.
	limitsOf(config, modelConfig, chosen.backend.name);
	const weights = await openWeights(files, gguf, json, program, config);
	let compiled: Awaited<ReturnType<typeof compile>>;
	try {
		await checkWeights(weights, weightsOf(program));
		compiled = await compile(chosen, weights).catch(async (error) => {
			if (!isRefusal(error, config, chosen)) throw error;
			const { message } = error;
			return compile(await openCpu(config, platform, message), weights);
		});
	} finally {
		await weights.close();
	}
	const { executable, device, reason, wanted } = compiled;
	try {
		const maxModelLen = fitModelLen(config, wanted.maxModelLen, executable);
		return {
			name: gguf ? `${files.label}/${gguf.name}` : files.label,
			device,
			deviceReason: reason,
			modelConfig,
			generation,
			text,
			executable,
			numParameters: countParameters(program),
			maxModelLen,
			maxNumBatchedTokens: wanted.maxNumBatchedTokens,
			adapterTargets: adapterTargets(program),
		};
	} catch (error) {
		await executable.close();
		throw error;
	}
}

async function loadText(
	files: ModelFiles,
	gguf: GgufModel | null,
): Promise<TextTools> {
	if (gguf) {
		const { tokenizerJson, tokenizerConfig } = gguf.tokenizer();
		return textTools(tokenizerJson, tokenizerConfig, null);
	}
	if (!(await files.list()).includes("tokenizer.json"))
		throw new NanoVllmError(
			"invalid_tokenizer",
			`${files.label} has no tokenizer.json. Add it, or load with skipTokenizerInit and pass token ids.`,
		);
	const [json, config, jinja] = await Promise.all([
		readJson(files, "tokenizer.json"),
		readJson(files, "tokenizer_config.json", false),
		files.readText("chat_template.jinja"),
	]);
	return textTools(json, config, jinja);
}

async function textTools(
	json: unknown,
	config: unknown,
	jinja: string | null,
): Promise<TextTools> {
	const tokenizer = createTokenizer(json, config ?? undefined);
	const templates = await import("./tokenizer/chat-template.ts");
	const source = templates.findChatTemplate(config, jinja);
	if (source === undefined) return { tokenizer, chatTemplate: null };
	const specialTokens = templates.specialTokensOf(config);
	const chatTemplate = templates.createChatTemplate(source, specialTokens);
	return { tokenizer, chatTemplate };
}

/** What the cpu device would take for a model, all other options left as they are. Reads and loads nothing. */
export async function measureOnCpu(
	program: Program,
	model: ModelConfig,
	platform: Platform,
	options: Pick<EngineConfig, "quantization" | "dtype">,
): Promise<MemoryNeed> {
	const { measureCpu } = await import("./backends/cpu/fit.ts");
	const limits = limitsOf(resolveEngineConfig({}), model, "cpu");
	return measureCpu(program, limits, platform.hardwareConcurrency, options);
}

function limitsOf(
	config: EngineConfig,
	model: ModelConfig,
	device: Backend["name"],
) {
	const longest = model.maxPositionEmbeddings;
	const maxModelLen = config.maxModelLen ?? longest;
	if (maxModelLen > longest)
		throw new NanoVllmError(
			"invalid_option",
			`maxModelLen is ${maxModelLen}, the model was made for at most ${longest} (max_position_embeddings, stretched by its rope scaling). Lower it.`,
		);
	const least = config.enableChunkedPrefill ? 1 : maxModelLen;
	const fallback = Math.max(
		DEFAULT_BATCHED_TOKENS[device],
		config.maxNumSeqs,
		least,
	);
	const maxNumBatchedTokens = config.maxNumBatchedTokens ?? fallback;
	if (maxNumBatchedTokens < least)
		throw new NanoVllmError(
			"invalid_option",
			`maxNumBatchedTokens is ${maxNumBatchedTokens}; without chunked prefill a step must hold a whole prompt, maxModelLen ${maxModelLen}. Raise it, or set enableChunkedPrefill.`,
		);
	return {
		blockSize: config.blockSize,
		maxModelLen,
		maxNumSeqs: config.maxNumSeqs,
		maxNumBatchedTokens,
		kvCacheBytes: config.kvCacheMemoryBytes,
		memoryUtilization: config.gpuMemoryUtilization,
	};
}

/** One sequence of maxModelLen must fit the cache, or it could never finish. */
function fitModelLen(
	config: EngineConfig,
	maxModelLen: number,
	{ numBlocks, kvCacheBytes }: Executable,
): number {
	const capacity = numBlocks * config.blockSize;
	if (capacity >= maxModelLen) return maxModelLen;
	if (config.maxModelLen === null && capacity >= 2) return capacity;
	const bytes =
		Math.ceil(maxModelLen / config.blockSize) * (kvCacheBytes / numBlocks);
	throw new NanoVllmError(
		"out_of_memory",
		`maxModelLen ${maxModelLen} does not fit the KV cache: ${kvCacheBytes} bytes hold ${capacity} tokens. Set maxModelLen to ${capacity} or less, or kvCacheMemoryBytes to ${Math.ceil(bytes)} or more.`,
	);
}

async function openWeights(
	files: ModelFiles,
	gguf: GgufModel | null,
	json: unknown,
	program: Program,
	config: EngineConfig,
): Promise<WeightSource> {
	switch (config.loadFormat) {
		case "dummy": {
			const { dummyWeights } = await import("./weights/dummy.ts");
			return dummyWeights(checkpointTensors(program), {
				seed: config.seed,
				dtype: config.dtype === "auto" ? "bf16" : config.dtype,
			});
		}
		case "auto":
		case "gguf":
		case "safetensors":
			return gguf?.weights ?? openCheckpoint(files, json);
		default:
			return config.loadFormat satisfies never;
	}
}

/** Safetensors, dequantized while they are read where config.json says they are quantized. */
async function openCheckpoint(
	files: ModelFiles,
	json: unknown,
): Promise<WeightSource> {
	const entry = quantizationEntry(json);
	if (entry === null) return openSafetensors(files);
	const [{ parseQuantizationConfig }, { prequantizedWeights }] =
		await Promise.all([
			import("./weights/quantization-config.ts"),
			import("./weights/prequantized.ts"),
		]);
	const quantization = parseQuantizationConfig(entry);
	return prequantizedWeights(await openSafetensors(files), quantization);
}

function countParameters(program: Program): number {
	const sizes = weightsOf(program).map(({ shape }) =>
		shape.reduce((product, n) => product * n, 1),
	);
	return sizes.reduce((sum, n) => sum + n, 0);
}
