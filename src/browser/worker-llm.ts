/**
 * LLM in a worker: the same methods, answered from a thread of their own, so that a page stays responsive and all its requests share
 * one batch. What LLM gives at once, this gives as a promise.
 */
import type { SamplingParamsInput } from "../config.ts";
import type { EngineStats } from "../engine/engine-stats.ts";
import type { EngineEvent } from "../engine/events.ts";
import type { CompletionDelta, RequestOutput } from "../engine/output.ts";
import { NanoVllmError } from "../errors.ts";
import type { LoadOptions } from "../llm.ts";
import type { LoadProgress } from "../load.ts";
import type { LoraAdapter } from "../lora.ts";
import { askToPersist } from "../platform/opfs.ts";
import type { Prompt } from "../prompt.ts";
import type {
	ChatOptions,
	GenerateOptions,
	GenerateProgress,
	RequestOptions,
} from "../requests/options.ts";
import { createRelay } from "../requests/relay.ts";
import type { ChatMessage, RenderOptions } from "../tokenizer/chat-template.ts";
import type { ModelFiles } from "../weights/source.ts";
import { packModel, packOptions } from "./portable.ts";
import type {
	ArgsOf,
	Methods,
	ModelFacts,
	ResultOf,
} from "./worker-methods.ts";
import { startThread, type Thread } from "./worker-thread.ts";

export interface WorkerLoadOptions extends LoadOptions {
	/**
	 * Makes the worker, where it does not lie beside this file as `llm-worker.js`: `() => new Worker(url, { type: "module" })`. Bundlers that know
	 * `new Worker(new URL(…))` need no help.
	 */
	readonly createWorker?: () => Worker;
}

type OneOrMany<T> = T | readonly T[];

/** The tokenizer, a thread away. */
export interface WorkerTokenizer {
	encode(
		text: string,
		options?: { addSpecialTokens?: boolean },
	): Promise<number[]>;
	decode(
		ids: ArrayLike<number>,
		options?: { skipSpecialTokens?: boolean },
	): Promise<string>;
}

export class WorkerLLM {
	readonly device: ModelFacts["device"];
	/** Why that device, for people. */
	readonly deviceReason: string;
	readonly modelName: string;
	readonly modelConfig: ModelFacts["modelConfig"];
	readonly numParameters: number;
	readonly maxModelLen: number;
	readonly engineConfig: ModelFacts["engineConfig"];
	readonly defaultSamplingParams: SamplingParamsInput;
	readonly hasChatTemplate: boolean;
	readonly tokenizer: WorkerTokenizer;
	/** Resolves when the model is good for nothing any more: its worker crashed, its device was lost, a step failed. Never rejects. */
	readonly lost: Promise<NanoVllmError>;
	readonly #thread: Thread;
	#failure: NanoVllmError | null = null;

	private constructor(thread: Thread, facts: ModelFacts) {
		this.#thread = thread;
		this.device = facts.device;
		this.deviceReason = facts.deviceReason;
		this.modelName = facts.modelName;
		this.modelConfig = facts.modelConfig;
		this.numParameters = facts.numParameters;
		this.maxModelLen = facts.maxModelLen;
		this.engineConfig = facts.engineConfig;
		this.defaultSamplingParams = facts.defaultSamplingParams;
		this.hasChatTemplate = facts.hasChatTemplate;
		this.lost = thread.lost;
		this.tokenizer = {
			encode: (text, options = {}) => this.#call("encode", [text, options]),
			decode: (ids, options = {}) => this.#call("decode", [ids, options]),
		};
		void thread.lost.then((error) => {
			this.#failure ??= error;
		});
	}

	/**
	 * @param model as LLM.load's; files must be those of fileMap or droppedFiles, which can be sent
	 * @throws as LLM.load; worker_lost where the worker cannot be started or ends
	 */
	static async load(
		model: string | ModelFiles,
		options: WorkerLoadOptions = {},
	): Promise<WorkerLLM> {
		const { signal, onProgress, createWorker, ...engineOptions } = options;
		signal?.throwIfAborted();
		if (options.cache !== false) void askToPersist();
		const loading = new AbortController();
		const stop = () => loading.abort();
		signal?.addEventListener("abort", stop, { once: true });
		try {
			const thread = await startThread(createWorker, loading.signal);
			const facts = await thread.calls.call(
				"load",
				[packModel(model), engineOptions],
				{ onNews: (news) => onProgress?.(news as LoadProgress) },
			);
			return new WorkerLLM(thread, facts as ModelFacts);
		} catch (error) {
			loading.abort();
			signal?.throwIfAborted();
			throw error;
		} finally {
			signal?.removeEventListener("abort", stop);
		}
	}

	/** As LLM.generate. */
	generate(
		prompts: OneOrMany<Prompt>,
		samplingParams?: OneOrMany<SamplingParamsInput>,
		options: GenerateOptions = {},
	): Promise<RequestOutput[]> {
		const { signal, progress } = options;
		return this.#call(
			"generate",
			[prompts, samplingParams, packOptions(options)],
			signal,
			progress && ((news) => progress(news as GenerateProgress)),
		);
	}

	/** As LLM.chat. */
	chat(
		messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
		samplingParams?: OneOrMany<SamplingParamsInput>,
		options: ChatOptions = {},
	): Promise<RequestOutput[]> {
		const { signal, progress } = options;
		return this.#call(
			"chat",
			[messages, samplingParams, packOptions(options)],
			signal,
			progress && ((news) => progress(news as GenerateProgress)),
		);
	}

	/** As LLM.stream. */
	stream(
		prompt: Prompt,
		samplingParams?: SamplingParamsInput,
		options: RequestOptions = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const packed = packOptions(options);
		return this.#stream(
			"stream",
			[prompt, samplingParams, packed],
			options.signal,
		);
	}

	/** As LLM.streamChat. */
	streamChat(
		messages: readonly ChatMessage[],
		samplingParams?: SamplingParamsInput,
		options: RequestOptions & Pick<ChatOptions, "template"> = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const packed = packOptions(options);
		return this.#stream(
			"streamChat",
			[messages, samplingParams, packed],
			options.signal,
		);
	}

	/** As LLM.renderChat. */
	renderChat(
		messages: readonly ChatMessage[],
		template: RenderOptions = {},
	): Promise<string> {
		return this.#call("renderChat", [messages, template]);
	}

	/** Ends a request with what it has: finishReason "abort". */
	abort(requestId: string): Promise<void> {
		return this.#call("abort", [requestId]);
	}

	/** Why no request is taken any more; null while all is well. */
	get failure(): NanoVllmError | null {
		return this.#failure;
	}

	/** As LLM.loadLoraAdapter. */
	loadLoraAdapter(name: string, path: string | ModelFiles): Promise<void> {
		return this.#call("loadLoraAdapter", [name, packModel(path)]);
	}

	unloadLoraAdapter(name: string): Promise<void> {
		return this.#call("unloadLoraAdapter", [name]);
	}

	listLoraAdapters(): Promise<LoraAdapter[]> {
		return this.#call("listLoraAdapters", []);
	}

	stats(): Promise<EngineStats> {
		return this.#call("stats", []);
	}

	resetPrefixCache(): Promise<void> {
		return this.#call("resetPrefixCache", []);
	}

	/** Tells the engine's events, a snapshot first. @returns what ends that */
	observe(listener: (event: EngineEvent) => void): () => void {
		const controller = new AbortController();
		const { signal } = controller;
		const tell = (event: unknown) => {
			if (!signal.aborted) listener(event as EngineEvent);
		};
		// Ends with the listener's wish or with the model, whose end `lost` and `close` tell.
		this.#call("observe", [], signal, tell).catch(() => {});
		return () => controller.abort();
	}

	/** No step is begun until resume or step. */
	pause(): Promise<void> {
		return this.#call("pause", []);
	}

	resume(): Promise<void> {
		return this.#call("resume", []);
	}

	/** Runs one step of a paused engine. */
	step(): Promise<void> {
		return this.#call("step", []);
	}

	/** Fails what still runs (engine_closed), frees weights and cache, and ends the worker. */
	async close(): Promise<void> {
		const closed = new NanoVllmError(
			"engine_closed",
			"the model was closed. Load it again.",
		);
		const wasWell = this.#failure === null;
		this.#failure ??= closed;
		// A worker that is gone has nothing left to close.
		if (wasWell) await this.#thread.calls.call("close", []).catch(() => {});
		await this.#thread.end(closed);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	async #call<M extends keyof Methods>(
		method: M,
		args: ArgsOf<M>,
		signal?: AbortSignal,
		onNews?: (news: unknown) => void,
	): Promise<ResultOf<M>> {
		if (this.#failure !== null) throw this.#failure;
		const options = { signal, onNews };
		const value = await this.#thread.calls.call(method, args, options);
		return value as ResultOf<M>;
	}

	async *#stream<M extends "stream" | "streamChat">(
		method: M,
		args: ArgsOf<M>,
		signal: AbortSignal | undefined,
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const left = new AbortController();
		const signals = signal ? [signal, left.signal] : [left.signal];
		const deltas = createRelay<CompletionDelta>();
		const onNews = (news: unknown) => deltas.push(news as CompletionDelta);
		const either = AbortSignal.any(signals);
		const done = this.#call(method, args, either, onNews);
		try {
			return yield* deltas.read(done, signal);
		} finally {
			left.abort(); // nothing to a call that is over
		}
	}
}
