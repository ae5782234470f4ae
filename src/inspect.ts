/** What a model is, and whether this machine can hold it, from its headers alone. Reads no weights, needs no device. */
import { type Program, weightsOf } from "./backends/program.ts";
import { NanoVllmError } from "./errors.ts";
import { type FoundModel, readJson } from "./find-model.ts";
import { buildProgram } from "./models/architectures.ts";
import { type ModelConfig, parseModelConfig } from "./models/config.ts";
import type { MachineMemory, Platform } from "./platform/platform.ts";
import { storedBytes } from "./weights/ggml-blocks.ts";
import type { GgufModel } from "./weights/gguf.ts";
import { readHeaders } from "./weights/safetensors.ts";
import type { HeaderEntry } from "./weights/safetensors-header.ts";
import type { ModelFiles } from "./weights/source.ts";

export type WeightFormatName = "f16" | "q8_0" | "q4_0";

/** Bytes of 32 elements of a matrix; vectors stay in f32. The block formats are GGUF's. */
const BLOCK_BYTES: Readonly<Record<WeightFormatName, number>> = {
	f16: 64,
	q8_0: 34,
	q4_0: 18,
};

export interface Inspection {
	readonly name: string;
	/** As config.json names it, null where it does not. */
	readonly architecture: string | null;
	/** Why this engine does not run the model; null where it does. */
	readonly unsupported: string | null;
	readonly numParameters: number | null;
	readonly numLayers: number | null;
	readonly maxModelLen: number | null;
	/** Of the checkpoint, by dtype as its header spells it; null where there is no header to read. */
	readonly tensors: Readonly<Record<string, TensorGroup>> | null;
	/** What the weights take on a device. */
	readonly weightBytes: Readonly<Record<WeightFormatName, number>> | null;
	/** f16, as devices keep it. */
	readonly kvBytesPerToken: number | null;
	readonly memory: MachineMemory | null;
	readonly gpu: GpuFacts | null;
	readonly fits: readonly Fit[];
}

export interface TensorGroup {
	readonly count: number;
	readonly bytes: number;
}

export interface GpuFacts {
	readonly name: string;
	readonly maxBufferBytes: number;
	readonly maxBindingBytes: number;
}

export interface Fit {
	readonly device: "cpu" | "webgpu";
	readonly format: WeightFormatName;
	readonly fits: boolean;
	/** Tokens of KV cache beside the weights; null where nobody can say. */
	readonly kvTokens: number | null;
	/** What is lacking, or what is not known. */
	readonly reason: string | null;
}

/** The cpu device keeps all it has in one WebAssembly memory. */
const CPU_BYTES = 2 ** 32;
/** Step buffers of the cpu device, as load.ts sets them up where nobody says: tokens, and rows of logits made together. */
const STEP_TOKENS = 512;
const LOGIT_ROWS = 64;
const FORMATS = ["f16", "q8_0", "q4_0"] as const;

/** @throws model_not_found, invalid_model_config, invalid_weights; a model that is not supported is a result */
export async function inspectModel(
	{ files, gguf }: FoundModel,
	platform: Platform,
): Promise<Inspection> {
	const json = gguf ? gguf.config : await readJson(files, "config.json");
	const model = understand(json);
	const headers = gguf ? ggufTensors(gguf) : await readTensors(files);
	const weightShapes =
		model.program === null
			? headers?.map(({ shape }) => shape)
			: weightsOf(model.program).map(({ shape }) => shape);
	const weightBytes = weightShapes === undefined ? null : sizes(weightShapes);
	const kvBytesPerToken = model.config && kvBytes(model.config);
	const memory = platform.memory();
	const gpu = await gpuFacts(platform);
	const facts = { ...model, weightBytes, kvBytesPerToken, memory, gpu };
	return {
		name: files.label,
		architecture: architectureOf(json),
		unsupported: model.unsupported,
		numParameters: weightShapes?.reduce((n, s) => n + elements(s), 0) ?? null,
		numLayers: model.config?.numLayers ?? null,
		maxModelLen: model.config?.maxPositionEmbeddings ?? null,
		tensors: headers && group(headers),
		weightBytes,
		kvBytesPerToken,
		memory,
		gpu,
		fits: [...cpuFits(facts), ...gpuFits(facts)],
	};
}

interface Understood {
	readonly config: ModelConfig | null;
	readonly program: Program | null;
	readonly unsupported: string | null;
}

interface Facts extends Understood {
	readonly weightBytes: Inspection["weightBytes"];
	readonly kvBytesPerToken: number | null;
	readonly memory: MachineMemory | null;
	readonly gpu: GpuFacts | null;
}

/** As much of config.json as this engine can read. */
function understand(json: unknown): Understood {
	let config: ModelConfig | null = null;
	try {
		config = parseModelConfig(json);
		return { config, program: buildProgram(config), unsupported: null };
	} catch (error) {
		if (!(error instanceof NanoVllmError)) throw error;
		return { config, program: null, unsupported: error.message };
	}
}

function architectureOf(json: unknown): string | null {
	const list = (json as { architectures?: unknown } | null)?.architectures;
	const name = Array.isArray(list) ? list[0] : null;
	return typeof name === "string" ? name : null;
}

/** A tensor as its header has it. */
type Stored = Pick<HeaderEntry, "shape" | "dtype" | "byteLength">;

const ggufTensors = ({ weights }: GgufModel): Stored[] =>
	[...weights.tensors.values()].map(({ shape, dtype }) => ({
		shape,
		dtype: dtype.toUpperCase(),
		byteLength: storedBytes(dtype, elements(shape)),
	}));

/** null where the repository has no safetensors: config.json alone is enough for dummy weights. */
async function readTensors(
	files: ModelFiles,
): Promise<readonly Stored[] | null> {
	const names = await files.list();
	const has = names.some((name) => /\.safetensors(\.index\.json)?$/.test(name));
	return has ? readHeaders(files) : null;
}

const elements = (shape: readonly number[]): number =>
	shape.reduce((product, n) => product * n, 1);

function group(headers: readonly Stored[]): Record<string, TensorGroup> {
	const groups: Record<string, TensorGroup> = {};
	for (const { dtype, byteLength } of headers) {
		const { count, bytes } = groups[dtype] ?? { count: 0, bytes: 0 };
		groups[dtype] = { count: count + 1, bytes: bytes + byteLength };
	}
	return groups;
}

function sizes(
	shapes: readonly (readonly number[])[],
): Record<WeightFormatName, number> {
	const bytesOf = (format: WeightFormatName) =>
		shapes.reduce((sum, shape) => {
			if (shape.length < 2) return sum + 4 * elements(shape);
			const columns = shape[shape.length - 1] ?? 0;
			const rows = columns === 0 ? 0 : elements(shape) / columns;
			return sum + rows * Math.ceil(columns / 32) * BLOCK_BYTES[format];
		}, 0);
	return { f16: bytesOf("f16"), q8_0: bytesOf("q8_0"), q4_0: bytesOf("q4_0") };
}

const kvBytes = ({ numLayers, numKvHeads, headDim }: ModelConfig): number =>
	numLayers * 2 * numKvHeads * headDim * 2;

async function gpuFacts(platform: Platform): Promise<GpuFacts | null> {
	const adapter = await (await platform.gpu())?.requestAdapter();
	// One in software is slower than the cpu device.
	if (!adapter || adapter.info.isFallbackAdapter) return null;
	const { limits, info } = adapter;
	return {
		name: info.description || info.device || info.vendor || "a GPU",
		maxBufferBytes: limits.maxBufferSize,
		maxBindingBytes: limits.maxStorageBufferBindingSize,
	};
}

/** Activations and RoPE tables of a step. */
function stepBytes({ config, program }: Understood): number {
	if (config === null || program === null) return 0;
	const widths = new Map<string, number>();
	for (const op of program.ops)
		for (const value of Object.values(op))
			if (value !== null && typeof value === "object" && "width" in value) {
				const rows = value.rows === "T" ? STEP_TOKENS : LOGIT_ROWS;
				widths.set(value.name, rows * value.width * 4);
			}
	const tables = config.maxPositionEmbeddings * config.headDim * 4;
	return [...widths.values()].reduce((sum, n) => sum + n, tables);
}

function cpuFits(facts: Facts): Fit[] {
	const { weightBytes, kvBytesPerToken, memory, unsupported } = facts;
	if (weightBytes === null || unsupported !== null) return [];
	const step = stepBytes(facts);
	const available = memory?.availableBytes ?? Infinity;
	return FORMATS.map((format) => {
		const needed = weightBytes[format] + step;
		const room = Math.min(CPU_BYTES, available) - needed;
		const kvTokens =
			kvBytesPerToken === null
				? null
				: Math.max(0, Math.floor(room / kvBytesPerToken));
		const fits = room > 0 && kvTokens !== 0;
		const lacking =
			needed > CPU_BYTES
				? `weights and step buffers take ${mib(needed)}, a WebAssembly memory holds ${mib(CPU_BYTES)}`
				: `weights and step buffers take ${mib(needed)}, ${mib(available)} of memory are available`;
		return {
			device: "cpu",
			format,
			fits,
			kvTokens,
			reason: fits ? null : lacking,
		};
	});
}

/** A GPU tells how large one buffer may be, never how much memory it has. */
function gpuFits(facts: Facts): Fit[] {
	const { weightBytes, gpu, config, unsupported } = facts;
	if (weightBytes === null || gpu === null || unsupported !== null) return [];
	if (config === null) return [];
	const layerBytes = config.numKvHeads * config.headDim * 2;
	// Keys of one layer are one binding.
	const kvTokens = Math.floor(gpu.maxBindingBytes / layerBytes);
	return FORMATS.map((format) => ({
		device: "webgpu",
		format,
		fits: true,
		kvTokens,
		reason: `if the GPU has ${mib(weightBytes[format])} for the weights, which it does not tell`,
	}));
}

const mib = (bytes: number): string =>
	`${Math.ceil(bytes / 2 ** 20).toLocaleString("en-US")} MiB`;
