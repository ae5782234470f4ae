/** Adapters on the CPU: beside weights of every kind they give what they give merged. */

import type { Tensors } from "../../support/lora-adapter.ts";
import { LORA_CASES, loraTests } from "../../support/lora-case.ts";
import { quantizeRow } from "./plain-quantization.ts";

const load = { kvCacheDtype: "f32", threads: 2 } as const;

loraTests("cpu", { tolerance: 1e-4, load: { ...load, dtype: "f32" } });

loraTests("cpu", {
	tolerance: 1e-4,
	load: { ...load, dtype: "f16" },
	asUsed: matrices((row) => row.map(Math.f16round)),
	cases: LORA_CASES.slice(2, 4),
});

loraTests("cpu", {
	tolerance: 5e-2, // activations are blocks of eight bits as well
	load: { ...load, quantization: "q8_0" },
	asUsed: matrices((row) => quantizeRow(row, "q8_0").values),
	cases: [LORA_CASES[1], LORA_CASES[4]],
});

/** Row by row; vectors stay as they are. */
function matrices(change: (row: Float32Array) => Float32Array) {
	return (tensors: Tensors): Tensors => {
		const changed = Object.entries(tensors).map(([name, tensor]) => {
			const [rows, columns] = tensor.shape;
			if (columns === undefined) return [name, tensor] as const;
			const data = new Float32Array(tensor.data.length);
			for (let r = 0; r < rows; r++) {
				const row = tensor.data.subarray(r * columns, (r + 1) * columns);
				data.set(change(row), r * columns);
			}
			return [name, { ...tensor, data }] as const;
		});
		return Object.fromEntries(changed);
	};
}
