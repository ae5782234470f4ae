/** The random checkpoint a backend case loads. Knows no backend. */
import type { TensorDtype, WeightSource } from "../../src/backends/backend.ts";
import { checkpointTensors, type Program } from "../../src/backends/program.ts";
import {
	float32ToBfloat16,
	float32ToFloat16,
	toFloat32,
} from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";

/** Dummy weights with outliers: every 101st element of a matrix is six times as large. Sinks and the like are made to count. */
export function checkpoint(
	program: Program,
	dtype: TensorDtype,
	seed: number,
): WeightSource {
	const tensors = checkpointTensors(program);
	const source = dummyWeights(tensors, { seed, dtype });
	return {
		...source,
		async read(name, rowStart, rowEnd, signal) {
			const bytes = await source.read(name, rowStart, rowEnd, signal);
			const shape = source.tensors.get(name)?.shape ?? [];
			const values = toFloat32(bytes, dtype).slice();
			if (isLoud(name))
				return encode(
					values.map((v) => v * 50),
					dtype,
				);
			if (shape.length < 2) return bytes;
			const rowLength = values.length / (rowEnd - rowStart);
			for (let i = 0; i < values.length; i++)
				if ((rowStart * rowLength + i) % 101 === 50) values[i] *= 6;
			return encode(values, dtype);
		},
	};
}

/** Vectors of feature-program.ts that would be near zero. */
const isLoud = (name: string) => /^\d+\.(sinks|\w+\.bias)$/.test(name);

export function encode(values: Float32Array, dtype: TensorDtype): Uint8Array {
	if (dtype === "f32") return new Uint8Array(values.buffer);
	return new Uint8Array(
		dtype === "bf16"
			? float32ToBfloat16(values).buffer
			: float32ToFloat16(values).values.buffer,
	);
}
