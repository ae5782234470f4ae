/** The part of node-llama-cpp 3.22 that is used here, and how it is opened. The package is not installed where the project is checked. */

/** llama.cpp with one model. */
export interface Llama {
	readonly binding: Binding;
	readonly model: LlamaModel;
	close(): Promise<void>;
}

interface Binding {
	readonly AddonSampler: new (model: unknown) => Sampler;
	systemInfo(): string;
}

export interface Sampler {
	applyConfig(config: { readonly temperature: number }): void;
}

interface LlamaModel {
	readonly _model: unknown;
	/** `special`: names of special tokens stand for them. */
	tokenize(text: string, special: boolean): readonly number[];
	createContext(options: ContextOptions): Promise<LlamaContext>;
}

interface ContextOptions {
	readonly threads: number;
	readonly sequences: number;
	/** Tokens of one sequence. */
	readonly contextSize: number;
	readonly batchSize: number;
	readonly ignoreMemorySafetyChecks: true;
}

interface LlamaContext {
	readonly _ctx: NativeContext;
	dispose(): Promise<void>;
}

export interface NativeContext {
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

/** On the CPU, with what npm installed. @throws what node-llama-cpp throws, also where the package is missing */
export async function openLlama(
	modelPath: string,
	threads: number,
): Promise<Llama> {
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
	const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
	return {
		binding: llama._bindings,
		model,
		async close() {
			await model.dispose();
			await llama.dispose();
		},
	};
}

/** Always the likeliest token. */
export function greedySampler({ binding, model }: Llama): Sampler {
	const sampler = new binding.AddonSampler(model._model);
	sampler.applyConfig({ temperature: 0 });
	return sampler;
}
