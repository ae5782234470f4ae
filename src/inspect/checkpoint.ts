/** The tensors of a checkpoint, as stored and as a model would read them. Reads headers alone. */
import type { WeightSource } from "../backends/backend.ts";
import { type Program, weightsOf } from "../backends/program.ts";
import { checkWeights } from "../backends/read-weight.ts";
import { NanoVllmError } from "../errors.ts";
import type { FoundModel } from "../find-model.ts";
import { prequantizedWeights } from "../weights/prequantized.ts";
import { findQuantizationConfig } from "../weights/quantization-config.ts";
import { openSafetensors } from "../weights/safetensors.ts";

/** A tensor as its header has it. */
export interface Stored {
	readonly shape: readonly number[];
	readonly dtype: string;
	readonly byteLength: number;
}

export interface Checkpoint {
	readonly stored: readonly Stored[];
	/** null where the method of its quantization is not read. */
	readonly source: WeightSource | null;
}

/** null where the repository has no weights: config.json alone is enough for dummy ones. */
export async function openTensors(
	{ files, gguf }: FoundModel,
	json: unknown,
): Promise<Checkpoint | null> {
	if (gguf) {
		const stored = gguf.stored.map(({ shape, type, byteLength }) => ({
			shape,
			dtype: type.toUpperCase(),
			byteLength,
		}));
		return { stored, source: gguf.weights };
	}
	const names = await files.list();
	if (!names.some((name) => /\.safetensors(\.index\.json)?$/.test(name)))
		return null;
	const raw = await openSafetensors(files);
	const stored = [...raw.entries.values()];
	try {
		const quantization = findQuantizationConfig(json);
		const source = quantization ? prequantizedWeights(raw, quantization) : raw;
		return { stored, source };
	} catch (error) {
		await raw.close();
		messageOf(error);
		return { stored, source: null };
	}
}

/** What loading would stumble over: tensors that are missing, of another shape or of a type nobody runs. */
export async function whyNotLoaded(
	program: Program | null,
	checkpoint: Checkpoint | null,
): Promise<string | null> {
	if (program === null || !checkpoint?.source) return null;
	try {
		await checkWeights(checkpoint.source, weightsOf(program));
		return null;
	} catch (error) {
		return messageOf(error);
	}
}

/** Of an error that is an answer; others are thrown again. */
export function messageOf(error: unknown): string {
	if (error instanceof NanoVllmError) return error.message;
	throw error;
}
