/**
 * A model in GGUF: one file, or the parts of a split one, as config, tokenizer and WeightSource. Only headers are read here; what they
 * mean is in the sibling files.
 */
import type { WeightSource } from "../backends/backend.ts";
import { NanoVllmError } from "../errors.ts";
import { decode } from "./ggml-blocks.ts";
import { ggufArchitecture, ggufConfig } from "./gguf-config.ts";
import { invalid } from "./gguf-cursor.ts";
import { ggufParts, missingPart } from "./gguf-files.ts";
import {
	type GgufHeader,
	type GgufTensor,
	readGgufHeader,
} from "./gguf-header.ts";
import { nameTensors } from "./gguf-names.ts";
import { ggufWeightSource } from "./gguf-source.ts";
import { type GgufTokenizer, ggufTokenizer } from "./gguf-tokenizer.ts";
import { show } from "./safetensors-header.ts";
import type { ModelFiles, RandomAccessFile } from "./source.ts";

export interface GgufModel {
	/** Of its first file. */
	readonly name: string;
	/** As config.json of a Hugging Face checkpoint. */
	readonly config: Readonly<Record<string, unknown>>;
	/** @throws invalid_tokenizer */
	tokenizer(): GgufTokenizer;
	readonly weights: WeightSource;
	/** The tensors of all parts as their headers have them. */
	readonly stored: readonly GgufTensor[];
	/** Closes `weights` too; a second time does nothing. */
	close(): Promise<void>;
}

/** Vectors that belong to the config: a number for every other dimension of a head. */
const ROPE_VECTORS = [
	"rope_freqs.weight",
	"rope_factors_long.weight",
	"rope_factors_short.weight",
];
const MAX_ROPE_VECTOR = 65_536;

/**
 * @param name a file among `files`; any part of a split model
 * @throws model_not_found, invalid_weights, unsupported_model, invalid_model_config, aborted
 */
export async function openGguf(
	files: ModelFiles,
	name: string,
	signal?: AbortSignal,
): Promise<GgufModel> {
	const opened: RandomAccessFile[] = [];
	const close = async () => {
		await Promise.allSettled(opened.splice(0).map((file) => file.close()));
	};
	try {
		const headers: GgufHeader[] = [];
		for (const part of ggufParts(name)) {
			const file = await files.open(part);
			if (file === null) throw missingPart(files.label, part, name);
			opened.push(file);
			headers.push(await readGgufHeader(file, signal));
		}
		checkParts(headers, name);
		return await assemble(files.label, headers, [...opened], close);
	} catch (error) {
		await close();
		throw error;
	}
}

/** What a split model's metadata say of their place. @throws invalid_weights, missing_tensor */
function checkParts(headers: readonly GgufHeader[], name: string): void {
	for (const [i, { metadata }] of headers.entries()) {
		const count = metadata.number("split.count") ?? 0;
		const number = metadata.number("split.no") ?? 0;
		if (count <= 1 && headers.length === 1) continue;
		if (count !== headers.length || number !== i)
			throw invalid(
				metadata.file,
				`wanted part ${i + 1} of ${headers.length}, as ${name} says, the metadata say part ${number + 1} of ${count}. Give the files the names they were written with.`,
			);
	}
	const total = headers[0].metadata.number("split.tensors.count");
	const found = headers.reduce((sum, { tensors }) => sum + tensors.length, 0);
	if (total !== undefined && headers.length > 1 && total !== found)
		throw new NanoVllmError(
			"missing_tensor",
			`${name}: wanted ${total} tensors in all parts, found ${found}. The parts are of different models; download them again.`,
		);
}

async function assemble(
	label: string,
	headers: readonly GgufHeader[],
	files: readonly RandomAccessFile[],
	close: () => Promise<void>,
): Promise<GgufModel> {
	const [{ metadata }] = headers;
	const architecture = ggufArchitecture(metadata);
	const fileOf = new Map<GgufTensor, RandomAccessFile>();
	const byName = new Map<string, GgufTensor>();
	for (const [i, { tensors }] of headers.entries())
		for (const tensor of tensors) {
			if (byName.has(tensor.name)) throw twice(files[i].name, tensor.name);
			byName.set(tensor.name, tensor);
			fileOf.set(tensor, files[i]);
		}
	const locate = (tensor: GgufTensor) => fileOf.get(tensor) as RandomAccessFile;
	const ropeVectors = await readRopeVectors(byName, locate);
	const config = ggufConfig(metadata, {
		shape: (name) => byName.get(name)?.shape,
		ropeVectors,
	});
	const named = nameTensors(architecture, metadata, byName.values());
	const weights = ggufWeightSource(label, named, locate, close);
	return {
		name: metadata.file,
		config,
		tokenizer: () => ggufTokenizer(metadata),
		weights,
		stored: [...byName.values()],
		close: () => weights.close(),
	};
}

function twice(file: string, tensor: string): NanoVllmError {
	return invalid(
		file,
		`tensor ${show(tensor)} is in another part too. The parts are of different models; download them again.`,
	);
}

async function readRopeVectors(
	tensors: ReadonlyMap<string, GgufTensor>,
	locate: (tensor: GgufTensor) => RandomAccessFile,
): Promise<Map<string, readonly number[]>> {
	const vectors = new Map<string, readonly number[]>();
	for (const name of ROPE_VECTORS) {
		const tensor = tensors.get(name);
		if (tensor === undefined) continue;
		const { dtype, shape, offset, byteLength } = tensor;
		const file = locate(tensor);
		if (dtype !== "f32" || shape.length !== 1 || shape[0] > MAX_ROPE_VECTOR)
			throw invalid(
				file.name,
				`${name}: wanted at most ${MAX_ROPE_VECTOR} numbers in f32, got ${tensor.type} ${show(shape)}. Convert the model again with a current llama.cpp.`,
			);
		const bytes = await file.read(offset, byteLength);
		vectors.set(name, Array.from(decode(bytes, dtype)));
	}
	return vectors;
}
