/**
 * llama.cpp as a process that run.ts starts, by way of node-llama-cpp: greedy, no end of text. Batches are handed to llama.cpp
 * directly, so that node-llama-cpp's own queue costs nothing.
 */
import { createRandom, randomPrompt } from "../../src/cli/workload.ts";
import {
	type Engine,
	type EngineStart,
	serveEngine,
} from "./engine-process.ts";
import {
	greedySampler,
	type NativeContext,
	openLlama,
	type Sampler,
} from "./llama-binding.ts";
import { type Shape, speedsOf } from "./measures.ts";

/** llama.cpp's own default for one pass. */
const BATCH_TOKENS = 512;

await serveEngine(async ({ model, threads }: EngineStart): Promise<Engine> => {
	const llama = await openLlama(model, threads);
	const random = createRandom(0);
	return {
		about: llama.binding.systemInfo().trim(),
		async run(shape) {
			const prompts = Array.from({ length: shape.batchSize }, () =>
				randomPrompt(shape.inputLen, Number.POSITIVE_INFINITY, random),
			);
			const context = await llama.model.createContext({
				threads,
				sequences: shape.batchSize,
				contextSize: shape.inputLen + shape.outputLen,
				batchSize: BATCH_TOKENS,
				ignoreMemorySafetyChecks: true,
			});
			const native = context._ctx;
			if (native.getThreads() !== threads)
				throw new Error(`llama.cpp took ${native.getThreads()} threads`);
			const samplers = prompts.map(() => greedySampler(llama));
			const decode = (pieces: readonly Piece[]) =>
				onePass(native, samplers, pieces);
			try {
				return await runBatch(
					shape,
					prompts.map((p) => Uint32Array.from(p.promptTokenIds)),
					decode,
				);
			} finally {
				await context.dispose();
			}
		},
		close: () => llama.close(),
	};
});

async function runBatch(
	shape: Shape,
	prompts: readonly Uint32Array[],
	decode: (pieces: readonly Piece[]) => Promise<number[]>,
) {
	const { inputLen, outputLen, batchSize } = shape;
	const start = performance.now();
	let tokens: number[] = [];
	for (const part of promptParts(prompts))
		tokens = tokens.concat(await decode(part));
	const firstMs = performance.now() - start;
	for (let position = inputLen; position < inputLen + outputLen - 1; position++)
		tokens = await decode(
			tokens.map((token, sequence) => ({
				sequence,
				position,
				tokens: Uint32Array.of(token),
				isLast: true,
			})),
		);
	const endMs = performance.now() - start;
	const numDecoded = batchSize * (outputLen - 1);
	return speedsOf(shape, { firstMs, endMs, numDecoded });
}

/** Tokens of one sequence in one pass. */
interface Piece {
	readonly sequence: number;
	/** Of the first token. */
	readonly position: number;
	readonly tokens: Uint32Array;
	/** Whether the prompt ends here, so that the next token is due. */
	readonly isLast: boolean;
}

/** All prompts, as many tokens at a time as one pass takes. */
function promptParts(prompts: readonly Uint32Array[]): Piece[][] {
	const parts: Piece[][] = [[]];
	let room = BATCH_TOKENS;
	for (const [sequence, prompt] of prompts.entries())
		for (let position = 0; position < prompt.length; ) {
			if (room === 0) {
				parts.push([]);
				room = BATCH_TOKENS;
			}
			const tokens = prompt.subarray(position, position + room);
			const isLast = position + tokens.length === prompt.length;
			parts[parts.length - 1].push({ sequence, position, tokens, isLast });
			room -= tokens.length;
			position += tokens.length;
		}
	return parts;
}

/** The next token of every piece that ends its prompt, in order. */
async function onePass(
	native: NativeContext,
	samplers: readonly Sampler[],
	pieces: readonly Piece[],
): Promise<number[]> {
	native.initBatch(pieces.reduce((sum, p) => sum + p.tokens.length, 0));
	const ends: { at: number; sequence: number }[] = [];
	for (const { sequence, position, tokens, isLast } of pieces) {
		const rows = Uint32Array.from(isLast ? [tokens.length - 1] : []);
		for (const at of native.addToBatch(sequence, position, tokens, rows))
			ends.push({ at, sequence });
	}
	await native.decodeBatch();
	return Promise.all(
		ends.map(({ at, sequence }) => native.sampleToken(at, samplers[sequence])),
	);
}
