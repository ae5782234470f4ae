/** What every backend checks of a weight before it uses it. */
import { NanoVllmError } from "../errors.ts";
import type { TensorInfo, WeightSource } from "./backend.ts";

/** @throws missing_tensor, shape_mismatch */
export function checkTensor(
	source: WeightSource,
	name: string,
	shape: readonly number[],
): TensorInfo {
	const info = source.tensors.get(name);
	if (info === undefined)
		throw new NanoVllmError(
			"missing_tensor",
			`the checkpoint has no tensor ${name}. Its config.json asks for it: is this the checkpoint of that config?`,
		);
	if (info.shape.join() !== shape.join())
		throw new NanoVllmError(
			"shape_mismatch",
			`tensor ${name}: config.json wants shape [${shape.join(", ")}], the checkpoint has [${info.shape.join(", ")}].`,
		);
	return info;
}

/** @throws nan_weights */
export function checkFinite(data: Float32Array, tensor: string): void {
	const index = data.findIndex((v) => !Number.isFinite(v));
	if (index !== -1)
		throw new NanoVllmError(
			"nan_weights",
			`tensor ${tensor}: element ${index} is ${data[index]}. The checkpoint is damaged; download it again.`,
		);
}
