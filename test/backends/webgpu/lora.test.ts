/**
 * Adapters on the GPU: beside weights of every kind they give what they give merged, within what halves of keys and values cost. Small
 * steps, since each size of step has kernels of its own.
 */
import { eachRow } from "../../support/lora-adapter.ts";
import {
	LORA_CASES,
	type LoraCase,
	loraMixTest,
	loraTests,
} from "../../support/lora-case.ts";
import { quantizeRow } from "../cpu/plain-quantization.ts";

const named = (...names: string[]): LoraCase[] =>
	LORA_CASES.filter(({ model }) => names.includes(model));
const small = { maxNumBatchedTokens: 2, maxNumSeqs: 2 };

loraMixTest("webgpu", 2, {
	tolerance: 0.02,
	load: { maxNumBatchedTokens: 20, dtype: "f32" },
});
loraTests("webgpu", {
	tolerance: 0.04,
	load: { ...small, dtype: "f16" },
	cases: named("gemma2-caps"),
});
loraTests("webgpu", {
	tolerance: 0.02,
	load: { ...small, quantization: "q8_0" },
	asUsed: eachRow((row) => quantizeRow(row, "q8_0").values),
	cases: named("bias-group8"),
});
