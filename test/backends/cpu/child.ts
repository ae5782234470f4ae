/** A process that loads a model and never closes it: that it ends is what threads.test.ts waits for. Prints JSON. */
import type { Worker } from "node:worker_threads";
import type { NanoVllmError } from "../../../src/errors.ts";
import { LLM } from "../../../src/llm.ts";
import { goldenCheckpoint, greedy } from "./tiny-model.ts";

const [scenario, simd] = process.argv.slice(2);
const threads: Worker[] = [];
process.on("worker", (worker) => threads.push(worker));
const { folder, cases } = goldenCheckpoint("bf16-group3");
const llm = await LLM.load(folder, {
	device: "cpu",
	threads: 2,
	skipTokenizerInit: true,
	wasmRevectorize: simd === "joined",
});
const prompts = cases.slice(0, 2).map(({ promptTokenIds }) => promptTokenIds);
if (scenario === "unused") console.log("{}");
else if (scenario === "idle")
	console.log(JSON.stringify({ output: await greedy(llm, prompts, 64) }));
else {
	const running = greedy(llm, prompts, 500);
	setTimeout(() => threads[1].terminate(), 20);
	await running.catch(({ code }: NanoVllmError) =>
		console.log(JSON.stringify({ code })),
	);
}
