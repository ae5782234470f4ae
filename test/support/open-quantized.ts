/** Tensors of a test → the source a model would read, and whole tensors read from it. */
import type { TensorDtype, WeightSource } from "../../src/backends/backend.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { prequantizedWeights } from "../../src/weights/prequantized.ts";
import { parseQuantizationConfig } from "../../src/weights/quantization-config.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap } from "../../src/weights/source.ts";
import { type Tensors, writeTensors } from "./quantized-layers.ts";

export async function openQuantized(
	tensors: Tensors,
	config: object,
): Promise<WeightSource<TensorDtype>> {
	const file = writeTensors(tensors);
	const files = fileMap("test-model", new Map([["model.safetensors", file]]));
	return prequantizedWeights(
		await openSafetensors(files),
		parseQuantizationConfig(config),
	);
}

/** All rows of a tensor, `step` at a time. */
export async function readAll(
	source: WeightSource<TensorDtype>,
	name: string,
	step = Number.POSITIVE_INFINITY,
): Promise<Float32Array> {
	const info = source.tensors.get(name);
	if (!info) {
		await source.read(name, 0, 0);
		throw new Error(`${name} is not there and may be read`);
	}
	const parts: number[] = [];
	for (let row = 0; row < info.shape[0]; row += step) {
		const end = Math.min(info.shape[0], row + step);
		const bytes = await source.read(name, row, end);
		parts.push(...toFloat32(bytes, info.dtype));
	}
	return Float32Array.from(parts);
}
