/** llama.cpp's greedy tokens for some prompts, in a process of its own that greedy.ts starts: a model it cannot run ends that process alone. */
import { greedySampler, type Llama, openLlama } from "./llama-binding.ts";

/** What the process is started with, as its only argument. */
export interface LlamaGreedyStart {
	readonly model: string;
	readonly threads: number;
	readonly contextSize: number;
	readonly prompts: readonly (readonly number[])[];
	readonly numTokens: number;
	/** Texts to be turned into token ids. */
	readonly texts: readonly string[];
}

export type LlamaGreedyAnswer =
	| {
			readonly kind: "tokens";
			readonly outputs: readonly (readonly number[])[];
			readonly tokenized: readonly (readonly number[])[];
			readonly about: string;
	  }
	| { readonly kind: "failed"; readonly message: string };

async function answer(start: LlamaGreedyStart): Promise<LlamaGreedyAnswer> {
	try {
		const llama = await openLlama(start.model, start.threads);
		const outputs: number[][] = [];
		for (const prompt of start.prompts)
			outputs.push(await greedy(llama, start, prompt));
		const tokenized = start.texts.map((text) => [
			...llama.model.tokenize(text, true),
		]);
		const about = llama.binding.systemInfo().trim();
		await llama.close();
		return { kind: "tokens", outputs, tokenized, about };
	} catch (error) {
		return { kind: "failed", message: String(error) };
	}
}

async function greedy(
	llama: Llama,
	{ threads, contextSize, numTokens }: LlamaGreedyStart,
	prompt: readonly number[],
): Promise<number[]> {
	const context = await llama.model.createContext({
		threads,
		sequences: 1,
		contextSize,
		batchSize: contextSize,
		ignoreMemorySafetyChecks: true,
	});
	const native = context._ctx;
	const sampler = greedySampler(llama);
	const output: number[] = [];
	let next = Uint32Array.from(prompt);
	try {
		for (let position = 0; output.length < numTokens; ) {
			native.initBatch(next.length);
			const last = Uint32Array.of(next.length - 1);
			const [at] = native.addToBatch(0, position, next, last);
			await native.decodeBatch();
			const token = await native.sampleToken(at, sampler);
			output.push(token);
			position += next.length;
			next = Uint32Array.of(token);
		}
		return output;
	} finally {
		await context.dispose();
	}
}

process.send?.(await answer(JSON.parse(process.argv[2])));
process.disconnect?.();
