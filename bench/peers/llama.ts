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
import { type Shape, speedsOf } from "./measures.ts";

/** The part of node-llama-cpp 3.22 used here; the package is not installed where the project is checked. */
interface Binding {
	readonly AddonSampler: new (model: unknown) => Sampler;
	systemInfo(): string;
}
interface Sampler {
	applyConfig(config: { readonly temperature: number }): void;
}
interface NativeContext {
	initBatch(numTokens: number): void;
	/** @returns where the logits asked for stand in the batch */
	addToBatch(
		sequence: number,
		firstPosition: number,
		tokens: Uint32Array,
		logitsOf: Uint32Array,
	): Uint32Array;
	decodeBatch(): Promise<void>;
	sampleToken(at: number, sampler: Sampler): Promise<number>;
	disposeSequence(sequence: number): void;
	getThreads(): number;
}

/** llama.cpp's own default for one pass. */
const BATCH_TOKENS = 512;

await serveEngine(async ({ model, threads }: EngineStart): Promise<Engine> => {
	// Not a literal, so that the type checker does not look for the package.
	const name: string = "node-llama-cpp";
	const { getLlama } = await import(name);
	const llama = await getLlama({
		gpu: false,
		build: "never",
		skipDownload: true,
		progressLogs: false,
		logLevel: "error",
		maxThreads: threads,
	});
	const loaded = await llama.loadModel({ modelPath: model, gpuLayers: 0 });
	const binding: Binding = llama._bindings;
	const random = createRandom(0);
	return {
		about: binding.systemInfo().trim(),
		async run(shape) {
			const prompts = Array.from({ length: shape.batchSize }, () =>
				randomPrompt(shape.inputLen, Number.POSITIVE_INFINITY, random),
			);
			const context = await loaded.createContext({
				threads,
				sequences: shape.batchSize,
				contextSize: shape.inputLen + shape.outputLen,
				batchSize: BATCH_TOKENS,
				ignoreMemorySafetyChecks: true,
			});
			const native: NativeContext = context._ctx;
			if (native.getThreads() !== threads)
				throw new Error(`llama.cpp took ${native.getThreads()} threads`);
			const samplers = prompts.map(() => {
				const sampler = new binding.AddonSampler(loaded._model);
				sampler.applyConfig({ temperature: 0 });
				return sampler;
			});
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
		async close() {
			await loaded.dispose();
			await llama.dispose();
		},
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
