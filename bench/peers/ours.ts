/** nano-vllm on the CPU as a process that run.ts starts: what `nano-vllm bench latency --temperature 0` does, loaded once. */
import { fixedLength } from "../../src/cli/bench-common.ts";
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import { LLM } from "../../src/index.ts";
import {
	type Engine,
	type EngineStart,
	serveEngine,
} from "./engine-process.ts";
import { type Shape, speedsOf } from "./measures.ts";

await serveEngine(async (start: EngineStart): Promise<Engine> => {
	const { model, format, threads, longest, revectorize } = start;
	const isQuantized = format === "q8_0" || format === "q4_0";
	const isFloat = format === "f16" || format === "bf16" || format === "f32";
	const llm = await LLM.load(model, {
		device: "cpu",
		loadFormat: "dummy",
		skipTokenizerInit: true,
		threads,
		maxNumSeqs: longest.batchSize,
		wasmRevectorize: revectorize,
		quantization: isQuantized ? format : null,
		dtype: isFloat ? format : "auto",
	});
	const random = createRandom(0);
	const { vocabSize } = llm.modelConfig;
	return {
		about: `nano-vllm, device ${llm.device}, Node ${process.version}`,
		async run(shape: Shape) {
			const { batchSize, inputLen, outputLen } = shape;
			const prompts = Array.from({ length: batchSize }, () =>
				randomPrompt(inputLen, vocabSize, random),
			);
			const params = fixedLength(outputLen, 0);
			const start = performance.now();
			let numStarted = 0;
			let firstMs = 0;
			let numDecoded = 0;
			const consume = async (prompt: (typeof prompts)[0]) => {
				let isFirst = true;
				for await (const { tokenIds } of llm.stream(prompt, params)) {
					if (tokenIds.length === 0) continue;
					if (numStarted === batchSize) numDecoded += tokenIds.length;
					if (isFirst && ++numStarted === batchSize)
						firstMs = performance.now() - start;
					isFirst = false;
				}
			};
			await Promise.all(prompts.map(consume));
			const endMs = performance.now() - start;
			return speedsOf(shape, { firstMs, endMs, numDecoded });
		},
		close: () => llm.close(),
	};
});
