/** Adapters on the CPU: beside weights of every kind they give what they give merged. */

import { eachRow } from "../../support/lora-adapter.ts";
import { LORA_CASES, loraMixTest, loraTests } from "../../support/lora-case.ts";
import { quantizeRow } from "./plain-quantization.ts";

const load = { kvCacheDtype: "f32", threads: 2 } as const;

loraTests("cpu", { tolerance: 1e-4, load: { ...load, dtype: "f32" } });

loraTests("cpu", {
	tolerance: 1e-4,
	load: { ...load, dtype: "f16" },
	asUsed: eachRow((row) => row.map(Math.f16round)),
	cases: LORA_CASES.slice(2, 4),
});

loraTests("cpu", {
	tolerance: 5e-2, // activations are blocks of eight bits as well
	load: { ...load, quantization: "q8_0" },
	asUsed: eachRow((row) => quantizeRow(row, "q8_0").values),
	cases: [LORA_CASES[1], LORA_CASES[4]],
});

for (const maxLoras of [1, 3])
	loraMixTest("cpu", maxLoras, {
		tolerance: 1e-4,
		load: { ...load, dtype: "f32", maxNumBatchedTokens: 70 },
	});
