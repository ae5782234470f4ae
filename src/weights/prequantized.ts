/**
 * A checkpoint of quantized weights as a WeightSource of full-precision ones: what a model asks for as X.weight is made of the tensors that
 * stand for it, rows at a time. Knows no format; one file for each method does.
 */
import type {
	TensorDtype,
	TensorInfo,
	WeightSource,
} from "../backends/backend.ts";
import { assert, NanoVllmError } from "../errors.ts";
import { awqTensors } from "./awq.ts";
import { compressedTensors } from "./compressed-tensors.ts";
import { fp8Tensors } from "./fp8.ts";
import { gptqTensors } from "./gptq.ts";
import { mxfp4Tensors } from "./mxfp4.ts";
import type { QuantizationConfig } from "./quantization-config.ts";
import type { RawTensors, SafetensorsSource } from "./safetensors.ts";
import { show } from "./safetensors-header.ts";
import { throwIfAborted } from "./source.ts";
import { createBandCache } from "./transposed-layer.ts";
import type { VirtualTensor, VirtualTensors } from "./virtual-tensor.ts";

/**
 * The files decide which layers are quantized; all other tensors stay as they are. As in openSafetensors, a layer that cannot be read
 * (a part is missing, or of a shape or dtype that does not fit) is an error only when it is asked for. Closes `source` with itself.
 */
export function prequantizedWeights(
	source: SafetensorsSource,
	config: QuantizationConfig,
): WeightSource<TensorDtype> {
	const tensors = new Map<string, TensorInfo<TensorDtype>>(source.tensors);
	const made = new Map<string, VirtualTensor>();
	const broken = new Map<string, NanoVllmError>();
	for (const [name, make] of virtualTensors(source, config)) {
		const tensor = source.tensors.has(name) ? twice(name) : attempt(make);
		if (tensor instanceof NanoVllmError) {
			broken.set(name, tensor);
			tensors.delete(name);
			continue;
		}
		for (const part of tensor.parts) tensors.delete(part);
		tensors.set(name, tensor.info);
		made.set(name, tensor);
	}
	return {
		tensors,
		async read(name, rowStart, rowEnd, signal) {
			throwIfAborted(signal, name);
			const error = broken.get(name);
			if (error) throw error;
			const tensor = made.get(name);
			if (!tensor) return source.read(name, rowStart, rowEnd, signal);
			assert(
				0 <= rowStart && rowStart <= rowEnd && rowEnd <= tensor.info.shape[0],
				`rows ${rowStart} to ${rowEnd} of ${name}, which has ${tensor.info.shape[0]}`,
			);
			return tensor.read(rowStart, rowEnd, signal);
		},
		close: () => source.close(),
	};
}

function virtualTensors(
	raw: RawTensors,
	config: QuantizationConfig,
): VirtualTensors {
	switch (config.method) {
		case "gptq":
			return gptqTensors(raw, config, createBandCache());
		case "awq":
			return awqTensors(raw, config, createBandCache());
		case "compressed-tensors":
			return compressedTensors(raw, config.schemes);
		case "fp8":
			return fp8Tensors(raw, config.blocks);
		case "mxfp4":
			return mxfp4Tensors(raw);
		default:
			return config satisfies never;
	}
}

function attempt(make: () => VirtualTensor): VirtualTensor | NanoVllmError {
	try {
		return make();
	} catch (error) {
		if (error instanceof NanoVllmError) return error;
		throw error;
	}
}

function twice(name: string): NanoVllmError {
	return new NanoVllmError(
		"invalid_weights",
		`${show(name)} is in the files twice, plain and quantized. Remove the files that are not part of this model.`,
	);
}
