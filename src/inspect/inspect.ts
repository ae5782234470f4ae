/** What a model is, and whether this machine can hold it, from its headers alone. Reads no weights, needs no device. */
import type { Program } from "../backends/program.ts";
import { type FoundModel, readJson } from "../find-model.ts";
import { buildProgram } from "../models/architectures.ts";
import { type ModelConfig, parseModelConfig } from "../models/config.ts";
import type { MachineMemory, Platform } from "../platform/platform.ts";
import { ggufProgram } from "../weights/gguf-program.ts";
import { findQuantizationConfig } from "../weights/quantization-config.ts";
import {
	messageOf,
	openTensors,
	type Stored,
	whyNotLoaded,
} from "./checkpoint.ts";
import { cpuFits, type Fit, type GpuFacts, gpuFacts, gpuFits } from "./fits.ts";
import {
	countOf,
	type Experts,
	expertsOf,
	programWeights,
	sizes,
	storedWeights,
	type WeightFormatName,
} from "./weights.ts";

export interface Inspection {
	readonly name: string;
	/** As config.json names it, null where it does not. */
	readonly architecture: string | null;
	/** Why this engine does not run the model; null where it does. */
	readonly unsupported: string | null;
	/** Numbers the model has; null where quantized tensors of a model that is not supported cannot be counted. */
	readonly numParameters: number | null;
	/** null without a mixture of experts. */
	readonly experts: Experts | null;
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

/** @throws model_not_found, invalid_model_config, invalid_weights; a model that is not supported is a result */
export async function inspectModel(
	found: FoundModel,
	platform: Platform,
): Promise<Inspection> {
	const { files, gguf } = found;
	const json = gguf ? gguf.config : await readJson(files, "config.json");
	const model = understand(json, gguf !== null);
	const checkpoint = await openTensors(found, json);
	const problem =
		model.unsupported ?? (await whyNotLoaded(model.program, checkpoint));
	await checkpoint?.source?.close();
	const weights = model.program
		? programWeights(model.program)
		: storedWeights(json, checkpoint?.stored ?? null);
	const weightBytes = weights && sizes(weights);
	const facts = {
		...model,
		unsupported: problem,
		weightBytes,
		memory: platform.memory(),
		gpu: await gpuFacts(platform),
	};
	return {
		name: files.label,
		architecture: architectureOf(json),
		unsupported: problem,
		numParameters: weights && countOf(weights),
		experts: weights && expertsOf(model.config, weights),
		numLayers: model.config?.numLayers ?? null,
		maxModelLen: model.config?.maxPositionEmbeddings ?? null,
		tensors: checkpoint && group(checkpoint.stored),
		weightBytes,
		kvBytesPerToken: model.config && kvBytes(model.config),
		memory: facts.memory,
		gpu: facts.gpu,
		fits: [...(await cpuFits(facts, platform)), ...gpuFits(facts)],
	};
}

interface Understood {
	readonly config: ModelConfig | null;
	readonly program: Program | null;
	readonly unsupported: string | null;
}

/** As much of config.json as this engine can read. */
function understand(json: unknown, isGguf: boolean): Understood {
	let config: ModelConfig | null = null;
	let program: Program | null = null;
	try {
		config = parseModelConfig(json);
		program = buildProgram(config);
		if (isGguf) program = ggufProgram(program);
		findQuantizationConfig(json);
		return { config, program, unsupported: null };
	} catch (error) {
		return { config, program, unsupported: messageOf(error) };
	}
}

function architectureOf(json: unknown): string | null {
	const list = (json as { architectures?: unknown } | null)?.architectures;
	const name = Array.isArray(list) ? list[0] : null;
	return typeof name === "string" ? name : null;
}

function group(headers: readonly Stored[]): Record<string, TensorGroup> {
	const groups: Record<string, TensorGroup> = {};
	for (const { dtype, byteLength } of headers) {
		const { count, bytes } = groups[dtype] ?? { count: 0, bytes: 0 };
		groups[dtype] = { count: count + 1, bytes: bytes + byteLength };
	}
	return groups;
}

const kvBytes = ({ numLayers, numKvHeads, headDim }: ModelConfig): number =>
	numLayers * 2 * numKvHeads * headDim * 2;
