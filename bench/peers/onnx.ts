/**
 * ONNX Runtime as a process that run.ts starts: greedy, no end of text. Keys and values stay in buffers as long as the request,
 * written in place; all prompts are one batch, which ONNX Runtime can only run because they are equally long.
 */
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import {
	type Engine,
	type EngineStart,
	serveEngine,
} from "./engine-process.ts";
import { type Shape, speedsOf } from "./measures.ts";
import { loadOrt, type Session, type Tensor } from "./ort.ts";

await serveEngine(async ({ model, threads }: EngineStart): Promise<Engine> => {
	const ort = await loadOrt(threads);
	const session = await ort.open(model);
	const random = createRandom(0);
	return {
		about: `onnxruntime-node ${ort.version}, cpu`,
		async run(shape) {
			const { batchSize, inputLen } = shape;
			const ids = Array.from({ length: batchSize }, () =>
				randomPrompt(inputLen, Number.POSITIVE_INFINITY, random),
			).flatMap(({ promptTokenIds }) => promptTokenIds);
			const caches = allocateCaches(session, shape, ort.tensor);
			const pass = createPass(session, caches, batchSize, ort.tensor);
			return runBatch(shape, BigInt64Array.from(ids, BigInt), pass);
		},
		close: () => session.release(),
	};
});

type MakeTensor = Awaited<ReturnType<typeof loadOrt>>["tensor"];

/** The next token of every sequence, given tokens [batch, any number of them] that end at `contextLen`. */
type Pass = (ids: BigInt64Array, contextLen: number) => Promise<BigInt64Array>;

/** Every cache input, and under its output's name the same tensor: ONNX Runtime then writes in place. */
function allocateCaches(
	session: Session,
	{ batchSize, inputLen, outputLen }: Shape,
	tensor: MakeTensor,
) {
	const past: Record<string, Tensor> = {};
	const present: Record<string, Tensor> = {};
	for (const { name, shape } of session.inputMetadata) {
		if (!name.startsWith("past.")) continue;
		const [, numHeads, , headDim] = shape.map(Number);
		const dims = [batchSize, numHeads, inputLen + outputLen, headDim];
		const values = new Float32Array(dims.reduce((a, b) => a * b)).fill(0);
		past[name] = tensor("float32", values, dims);
		present[name.replace("past", "present")] = past[name];
	}
	return { past, present };
}

function createPass(
	session: Session,
	{ past, present }: ReturnType<typeof allocateCaches>,
	batchSize: number,
	tensor: MakeTensor,
): Pass {
	return async (ids, contextLen) => {
		const last = new Int32Array(batchSize).fill(contextLen - 1);
		const next = new BigInt64Array(batchSize);
		await session.run(
			{
				...past,
				ids: tensor("int64", ids, [batchSize, ids.length / batchSize]),
				lastPositions: tensor("int32", last, [batchSize]),
				contextLen: tensor("int32", Int32Array.of(contextLen), []),
			},
			{ ...present, next: tensor("int64", next, [batchSize]) },
		);
		return next;
	};
}

async function runBatch(shape: Shape, prompts: BigInt64Array, pass: Pass) {
	const { batchSize, inputLen, outputLen } = shape;
	const start = performance.now();
	let next = await pass(prompts, inputLen);
	const firstMs = performance.now() - start;
	for (let done = 1; done < outputLen; done++)
		next = await pass(next, inputLen + done);
	const endMs = performance.now() - start;
	const numDecoded = batchSize * (outputLen - 1);
	return speedsOf(shape, { firstMs, endMs, numDecoded });
}
