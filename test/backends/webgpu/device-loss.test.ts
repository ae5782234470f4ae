/** A GPU that is lost under a model: what runs fails and says so, the model can be closed, and loaded again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LLM, type LoadOptions } from "../../../src/index.ts";
import { countBuffers } from "../../support/live-buffers.ts";

const MODEL = new URL("../../golden/qwen3/tied-group2", import.meta.url)
	.pathname;
const LOAD: LoadOptions = {
	device: "webgpu",
	skipTokenizerInit: true,
	maxNumSeqs: 4,
	maxNumBatchedTokens: 8,
	maxModelLen: 128,
};
const PROMPTS = [[1, 2, 3], [4, 5], [6]].map((promptTokenIds) => ({
	promptTokenIds,
}));
const LONG = { temperature: 0, maxTokens: 100, ignoreEos: true };

const live = await countBuffers();
const open = async () => {
	const llm = await LLM.load(MODEL, LOAD);
	return { llm, lose: () => live.device?.destroy() };
};

test("lost between two tokens: every request in flight and every later one is device_lost; a fresh load answers as before", async () => {
	const { llm, lose } = await open();
	const wanted = await llm.generate(PROMPTS, { ...LONG, maxTokens: 5 });
	const ended: string[] = [];
	const running = PROMPTS.map(async (prompt, i) => {
		try {
			for await (const _ of llm.stream(prompt, LONG)) if (i === 0) lose();
			ended.push("finished");
		} catch (error) {
			ended.push((error as { code: string }).code);
		}
	});
	await Promise.all(running);
	assert.deepEqual(ended, ["device_lost", "device_lost", "device_lost"]);
	await assert.rejects(llm.generate(PROMPTS, LONG), { code: "device_lost" });
	assert.equal(llm.stats().numRequestsRunning, 0);
	await llm.close();
	await using again = (await open()).llm;
	const outputs = await again.generate(PROMPTS, { ...LONG, maxTokens: 5 });
	assert.deepEqual(
		outputs.map((it) => it.outputs[0].tokenIds),
		wanted.map((it) => it.outputs[0].tokenIds),
	);
});

test("lost while nothing runs: the next request says so", async () => {
	const { llm, lose } = await open();
	lose();
	await new Promise((done) => setTimeout(done, 10));
	const lost = { code: "device_lost" };
	await assert.rejects(llm.generate(PROMPTS, LONG), lost);
	await assert.rejects(llm.generate(PROMPTS, LONG), lost);
	await llm.close();
});

test("lost in the same breath as a request", async () => {
	const { llm, lose } = await open();
	const answer = llm.generate(PROMPTS, LONG);
	lose();
	await assert.rejects(answer, { code: "device_lost" });
	await llm.close();
});

for (const [when, share] of [
	["its first weights come", 0],
	["its last weights come", 1],
] as const)
	test(`lost while a model is loaded: ${when}`, async () => {
		const load = LLM.load(MODEL, {
			...LOAD,
			onProgress: ({ loadedBytes, totalBytes }) => {
				if (loadedBytes >= share * totalBytes) live.device?.destroy();
			},
		});
		await assert.rejects(load, { code: "device_lost" });
	});

test("a model closed under its requests says engine_closed, not device_lost", async () => {
	const { llm } = await open();
	const answer = llm.generate(PROMPTS, LONG);
	await llm.close();
	await assert.rejects(answer, { code: "engine_closed" });
	await assert.rejects(llm.generate(PROMPTS, LONG), { code: "engine_closed" });
});
