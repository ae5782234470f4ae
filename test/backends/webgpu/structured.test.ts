/** Masks that change with every token, on the WebGPU device: overlapped steps, mixed with requests that have none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText } from "../../support/text-model.ts";

test("constrained answers obey, on WebGPU as on the reference; the others are what they are alone", async () => {
	await using llm = await loadText({
		device: "webgpu",
		maxModelLen: 64,
		maxNumSeqs: 4,
		maxNumBatchedTokens: 8,
	});
	const regex = "[a-f]{2,5}-\\d{3}";
	const params = [0, 1, 2, 3].map((i) => ({
		temperature: 1,
		seed: i,
		maxTokens: 24,
		...(i % 2 === 0 && { structuredOutputs: { regex } }),
	}));
	const prompts = ["Once", "The dog", "A", "Two cats"];
	const results = await llm.generate(prompts, params);
	for (const i of [0, 2]) {
		const { text, finishReason } = results[i].outputs[0];
		assert.match(text, /^[a-f]{2,5}-\d{3}$/);
		assert.equal(finishReason, "stop");
	}
	for (const i of [1, 3]) {
		const [alone] = await llm.generate(prompts[i], params[i]);
		assert.deepEqual(results[i].outputs, alone.outputs);
	}
});
