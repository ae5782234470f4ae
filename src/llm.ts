/** The library: load a model, generate, chat, stream. The one place where text, engine and device meet. After vLLM's LLM class. */
import {
	type EngineConfig,
	resolveEngineConfig,
	resolveSamplingParams,
	type SamplingParams,
	type SamplingParamsInput,
	show,
} from "./config.ts";
import type { Adapter } from "./engine/adapters.ts";
import type { EngineStats } from "./engine/engine-stats.ts";
import type { EngineListener } from "./engine/events.ts";
import { LlmEngine } from "./engine/llm-engine.ts";
import {
	type CompletionDelta,
	createCollector,
	type RequestOutput,
} from "./engine/output.ts";
import type { SequenceParams } from "./engine/sequence.ts";
import { type ModelFacts, sequenceParams } from "./engine/sequence-params.ts";
import { NanoVllmError } from "./errors.ts";
import {
	type LoadContext,
	type LoadedModel,
	loadModel,
	platformFor,
} from "./load.ts";
import type { LoraAdapter, LoraAdapters, LoraRequest } from "./lora.ts";
import type { ModelConfig } from "./models/config.ts";
import { loadPlatform } from "./platform/detect.ts";
import type { Platform } from "./platform/platform.ts";
import { type Prompt, type TokenizedPrompt, tokenizePrompt } from "./prompt.ts";
import type { Grammar } from "./structured/grammars.ts";
import type { Structured } from "./structured/structured.ts";
import { afterThought, checkThought } from "./structured/thought.ts";
import type { StructuredOutputs, Thought } from "./structured-outputs.ts";
import type { ChatMessage, RenderOptions } from "./tokenizer/chat-template.ts";
import { createDetokenizer } from "./tokenizer/detokenizer.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";
import type { ModelFiles } from "./weights/source.ts";

export type LoadOptions = Partial<EngineConfig> & LoadContext;

export interface RequestOptions {
	readonly signal?: AbortSignal;
	/** With schedulingPolicy "priority": smaller runs first. */
	readonly priority?: number;
	/** With enableLora: the adapter to go through. */
	readonly loraRequest?: LoraRequest | null;
	/** Cached prefixes are shared with requests of the same salt alone, so that nobody else can find out by the time an answer takes. */
	readonly cacheSalt?: string | null;
	/** With structuredOutputs: the thought they do not bind; null or absent: they bind all that is said. */
	readonly thought?: Thought | null;
}

export interface GenerateOptions extends Omit<RequestOptions, "loraRequest"> {
	/** With enableLora: one adapter for all prompts, or one (or null) per prompt. */
	readonly loraRequest?: OneOrMany<LoraRequest | null>;
	/** Called when a request ends, and at most ten times a second between. */
	readonly progress?: (progress: GenerateProgress) => void;
}

export interface GenerateProgress {
	readonly numFinished: number;
	readonly numRequests: number;
	readonly numPromptTokens: number;
	readonly numGenerationTokens: number;
	readonly elapsedMs: number;
}

export interface ChatOptions extends GenerateOptions {
	/** Passed to the chat template: tools, documents, enable_thinking … */
	readonly template?: RenderOptions;
}

type OneOrMany<T> = T | readonly T[];

/** What the options say of every request of a call. */
interface Manner {
	readonly priority: number;
	readonly cacheSalt: string | null;
	readonly thought: Thought | null;
}

interface Submission {
	readonly prompt: TokenizedPrompt;
	readonly params: SequenceParams;
	readonly manner: Manner;
	/** null: the answer may have any form. */
	readonly form: StructuredOutputs | null;
}

/** What a request keeps in use until it is over. */
interface Held {
	readonly grammar: Grammar | null;
	readonly adapter: Adapter | null;
}

interface Started {
	readonly requestId: string;
	readonly done: Promise<RequestOutput>;
}

const PROGRESS_INTERVAL_MS = 100;

export class LLM {
	/** The device the model runs on. */
	readonly device: LoadedModel["device"];
	/** Why that device, for people. */
	readonly deviceReason: string;
	readonly modelName: string;
	readonly modelConfig: ModelConfig;
	readonly numParameters: number;
	readonly maxModelLen: number;
	/** The options it was loaded with, defaults filled in. */
	readonly engineConfig: EngineConfig;
	/** The model authors' sampling advice (generation_config.json) over vLLM's defaults: used where a call gives no parameters. */
	readonly defaultSamplingParams: SamplingParamsInput;
	readonly #model: LoadedModel;
	readonly #engine: LlmEngine;
	readonly #facts: ModelFacts;
	readonly #schedulingPolicy: EngineConfig["schedulingPolicy"];
	readonly #platform: Platform;
	/** null until a request asks for a form. */
	#structured: Promise<Structured> | null = null;
	/** null without enableLora. */
	readonly #adapters: LoraAdapters | null;
	#numRequests = 0;

	private constructor(
		model: LoadedModel,
		config: EngineConfig,
		platform: Platform,
		Adapters: typeof LoraAdapters | null,
	) {
		this.#model = model;
		this.#platform = platform;
		this.#schedulingPolicy = config.schedulingPolicy;
		this.device = model.device;
		this.deviceReason = model.deviceReason;
		this.modelName = model.name;
		this.modelConfig = model.modelConfig;
		this.numParameters = model.numParameters;
		this.maxModelLen = model.maxModelLen;
		this.engineConfig = config;
		this.defaultSamplingParams = model.generation.sampling;
		const { vocabSize } = model.modelConfig;
		const tokenizer = model.text?.tokenizer ?? null;
		const eos = new Set([
			...model.modelConfig.eosTokenIds,
			...model.generation.eosTokenIds,
			...(tokenizer?.eosTokenId === undefined ? [] : [tokenizer.eosTokenId]),
		]);
		this.#facts = {
			vocabSize,
			maxModelLen: model.maxModelLen,
			maxLogprobs: config.maxLogprobs,
			eosTokenIds: [...eos].filter((id) => id < vocabSize),
			encode:
				tokenizer &&
				((text) => tokenizer.encode(text, { addSpecialTokens: false })),
		};
		this.#engine = new LlmEngine(model.executable, {
			...config,
			maxNumBatchedTokens: model.maxNumBatchedTokens,
			vocabSize,
			maxLoras: config.enableLora ? config.maxLoras : 0,
			now: platform.now,
			yieldToEventLoop: platform.yieldToEventLoop,
		});
		this.#adapters = Adapters
			? new Adapters({
					room: { targets: model.adapterTargets, maxRank: config.maxLoraRank },
					maxHeld: config.maxCpuLoras ?? config.maxLoras,
					platform,
					onDropped: (adapter) => this.#engine.forgetAdapter(adapter),
				})
			: null;
	}

	/**
	 * @param model a directory with config.json and *.safetensors, a *.gguf (any part of a split one), an http(s) URL of either, a model of the
	 * Hugging Face hub ("org/name", "org/name@revision", "org/name:Q4_K_M"), or files in memory
	 * @throws invalid_option, model_not_found, access_denied, download_failed, unsupported_model, invalid_weights, out_of_memory and others; see ErrorCode
	 */
	static async load(
		model: string | ModelFiles,
		options: LoadOptions = {},
	): Promise<LLM> {
		const { signal, onProgress, hub, cache, ...engineOptions } = options ?? {};
		const config = resolveEngineConfig(engineOptions);
		signal?.throwIfAborted();
		const context = { signal, onProgress, hub, cache };
		const platform = platformFor(await loadPlatform(), context);
		const loaded = await loadModel(model, config, platform, context);
		const Adapters = config.enableLora
			? (await import("./lora.ts")).LoraAdapters
			: null;
		return new LLM(loaded, config, platform, Adapters);
	}

	/** @throws invalid_tokenizer when loaded with skipTokenizerInit */
	get tokenizer(): Tokenizer {
		return this.#text().tokenizer;
	}

	/**
	 * Continues every prompt, in one batch, and returns the results in the order of the prompts. Nothing is started when one
	 * of them is wrong.
	 * @param samplingParams for all prompts, or one per prompt; the model's own defaults where left out
	 * @throws invalid_prompt, prompt_too_long, invalid_sampling_params; device_unavailable for structuredOutputs without XGrammar;
	 * signal.reason when aborted
	 */
	async generate(
		prompts: OneOrMany<Prompt>,
		samplingParams?: OneOrMany<SamplingParamsInput>,
		options: GenerateOptions = {},
	): Promise<RequestOutput[]> {
		const list = isList(prompts) ? prompts : [prompts];
		const tokenize = (prompt: Prompt) => this.#tokenize(prompt);
		return this.#runAll(list, tokenize, samplingParams, options);
	}

	/** Answers one conversation or a list of them, through the model's chat template. @throws as generate, and invalid_chat_template */
	async chat(
		messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
		samplingParams?: OneOrMany<SamplingParamsInput>,
		options: ChatOptions = {},
	): Promise<RequestOutput[]> {
		const many = Array.isArray(messages) && Array.isArray(messages[0]);
		const list = (many ? messages : [messages]) as (readonly ChatMessage[])[];
		const tokenize = (conversation: readonly ChatMessage[]) =>
			this.#tokenizeChat(conversation, options.template);
		return this.#runAll(list, tokenize, samplingParams, options);
	}

	/** One prompt, token by token; with n > 1 the deltas of the outputs alternate. Leaving the loop aborts the request. */
	stream(
		prompt: Prompt,
		samplingParams?: SamplingParamsInput,
		options: RequestOptions = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const tokenize = () => this.#tokenize(prompt);
		return this.#stream(tokenize, samplingParams, options);
	}

	/** The answer to a conversation, token by token. */
	streamChat(
		messages: readonly ChatMessage[],
		samplingParams?: SamplingParamsInput,
		options: RequestOptions & Pick<ChatOptions, "template"> = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const tokenize = () => this.#tokenizeChat(messages, options.template);
		return this.#stream(tokenize, samplingParams, options);
	}

	/** What `chat` gives the model to continue. Special tokens are in the text: encode it without adding any. @throws invalid_prompt, invalid_chat_template */
	renderChat(
		messages: readonly ChatMessage[],
		template: RenderOptions = {},
	): string {
		const { chatTemplate } = this.#text();
		if (chatTemplate === null)
			throw new NanoVllmError(
				"invalid_chat_template",
				`${this.modelName} has no chat template. Use generate, or add a chat_template.jinja.`,
			);
		const options = { addGenerationPrompt: true, ...template };
		return chatTemplate.render(messages, options);
	}

	/** Ends a request with what it has: finishReason "abort". */
	abort(requestId: string): void {
		this.#engine.abort(requestId);
	}

	/** Why no request is taken any more: closed, or a step failed and the model must be loaded again; null while all is well. */
	get failure(): NanoVllmError | null {
		return this.#engine.failure;
	}

	/** Resolves when the device is lost, even while nothing runs on it; never rejects. */
	get lost(): Promise<NanoVllmError> {
		return this.#model.executable.lost ?? new Promise(() => {});
	}

	/** Whether `chat` can be used. */
	get hasChatTemplate(): boolean {
		return this.#model.text?.chatTemplate != null;
	}

	/**
	 * Reads a LoRA adapter, so that requests may name it. Others generate meanwhile.
	 * @param path a PEFT folder, a URL of one, an id of the hub, or files in memory
	 * @throws adapter_not_found, invalid_adapter, unsupported_adapter, shape_mismatch; invalid_option without enableLora
	 */
	async loadLoraAdapter(
		name: string,
		path: string | ModelFiles,
	): Promise<void> {
		await this.#lora().load(name, path);
	}

	/** Forgets an adapter: no new request finds it, and when those it has are done its memory is free. @throws adapter_not_found */
	unloadLoraAdapter(name: string): void {
		this.#lora().unload(name);
	}

	listLoraAdapters(): LoraAdapter[] {
		return this.#adapters?.list() ?? [];
	}

	stats(): EngineStats {
		return this.#engine.stats();
	}

	/**
	 * Tells what the engine does: everything as it is now, then each arrival, step, output and end (engine/events.ts). A listener is called
	 * between steps: one that takes long delays them, one that throws is dropped. While nobody listens it costs nothing.
	 * @returns a function that ends it
	 */
	observe(listener: EngineListener): () => void {
		return this.#engine.observe(listener);
	}

	/** Whether `pause` was called last, or `resume`. */
	get isPaused(): boolean {
		return this.#engine.isPaused;
	}

	/** Runs no more steps; requests are taken and wait, and may be aborted. Resolves when no step is running. */
	pause(): Promise<void> {
		return this.#engine.pause();
	}

	async resume(): Promise<void> {
		this.#engine.resume();
	}

	/** Runs one step of a paused engine. Resolves when its tokens were handed out; at once where nothing waits to run. @throws not_paused */
	step(): Promise<void> {
		return this.#engine.step();
	}

	/** Forgets cached prefixes that no running request uses. */
	resetPrefixCache(): void {
		this.#engine.resetPrefixCache();
	}

	/** Fails what still runs (engine_closed) and frees weights and cache. */
	async close(): Promise<void> {
		const closing = this.#engine.close();
		await (await this.#structured)?.close();
		await closing;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	#lora(): LoraAdapters {
		if (this.#adapters !== null) return this.#adapters;
		throw new NanoVllmError(
			"invalid_option",
			"the model was loaded without room for adapters. Load it with enableLora.",
		);
	}

	#text(): NonNullable<LoadedModel["text"]> {
		if (this.#model.text !== null) return this.#model.text;
		throw new NanoVllmError(
			"invalid_tokenizer",
			"the model was loaded with skipTokenizerInit: there is no tokenizer. Load without it.",
		);
	}

	#tokenize(prompt: Prompt, addSpecialTokens = true): TokenizedPrompt {
		const tokenizer = this.#model.text?.tokenizer ?? null;
		return tokenizePrompt(prompt, tokenizer, this.#facts, addSpecialTokens);
	}

	#tokenizeChat(
		messages: readonly ChatMessage[],
		template?: RenderOptions,
	): TokenizedPrompt {
		return this.#tokenize(this.renderChat(messages, template), false);
	}

	#prepare<P>(
		list: readonly P[],
		tokenize: (prompt: P) => TokenizedPrompt,
		samplingParams: OneOrMany<SamplingParamsInput> | undefined,
		options: GenerateOptions,
	): Submission[] {
		const perPrompt = isList(samplingParams) ? samplingParams : null;
		if (perPrompt !== null && perPrompt.length !== list.length)
			throw new NanoVllmError(
				"invalid_sampling_params",
				`${perPrompt.length} sampling parameters for ${list.length} prompts. Give one for all, or one for each.`,
			);
		const manner = this.#manner(options);
		const resolve = (params: SamplingParamsInput | undefined) =>
			resolveSamplingParams(params ?? this.defaultSamplingParams);
		const shared = isList(samplingParams) ? null : resolve(samplingParams);
		return list.map((item, i) =>
			labelled(list.length > 1 ? `prompt ${i}: ` : "", () => {
				const prompt = tokenize(item);
				const params = shared ?? resolve(perPrompt?.[i]);
				const length = prompt.tokenIds.length;
				return {
					prompt,
					params: sequenceParams(params, length, this.#facts),
					manner,
					form: this.#formOf(params),
				};
			}),
		);
	}

	#manner({
		priority = 0,
		cacheSalt = null,
		thought = null,
	}: GenerateOptions): Manner {
		if (!Number.isSafeInteger(priority))
			throw new NanoVllmError(
				"invalid_option",
				`priority must be an integer, got ${show(priority)}.`,
			);
		if (priority !== 0 && this.#schedulingPolicy !== "priority")
			throw new NanoVllmError(
				"invalid_option",
				`priority ${priority} has no meaning under schedulingPolicy "fcfs". Load with schedulingPolicy "priority", or leave it out.`,
			);
		if (cacheSalt !== null && (typeof cacheSalt !== "string" || !cacheSalt))
			throw new NanoVllmError(
				"invalid_option",
				`cacheSalt must be a non-empty string, got ${show(cacheSalt)}.`,
			);
		if (thought !== null) checkThought(thought, this.#facts.vocabSize);
		return { priority, cacheSalt, thought };
	}

	#formOf({ structuredOutputs }: SamplingParams): StructuredOutputs | null {
		if (structuredOutputs === null) return null;
		if (this.#model.text === null)
			throw new NanoVllmError(
				"invalid_sampling_params",
				"structuredOutputs are about text, and no tokenizer is loaded. Use allowedTokenIds, or load without skipTokenizerInit.",
			);
		if (this.#facts.eosTokenIds.length === 0)
			throw new NanoVllmError(
				"invalid_sampling_params",
				"structuredOutputs end with an end-of-sequence token, and neither the model nor its tokenizer names one. Add eos_token_id to its config.json.",
			);
		return structuredOutputs;
	}

	async #openStructured(): Promise<Structured> {
		const { vocabSize, eosTokenIds } = this.#facts;
		const { tokenizer } = this;
		const platform = this.#platform;
		const { openStructured } = await import("./structured/structured.ts");
		if (this.failure !== null) throw this.failure;
		return openStructured({ platform, tokenizer, vocabSize, eosTokenIds });
	}

	/** Every submission's grammar, or the first error and none. The caller releases them. */
	async #compile(
		submissions: readonly Submission[],
		signal: AbortSignal | undefined,
	): Promise<(Grammar | null)[]> {
		this.#structured ??= this.#openStructured();
		const structured = await this.#structured;
		const compiling = Promise.allSettled(
			submissions.map(({ form }) => form && structured.compile(form)),
		);
		try {
			const results = await unlessAborted(compiling, signal);
			return results.map((result, i) =>
				labelled(results.length > 1 ? `prompt ${i}: ` : "", () => {
					if (result.status === "rejected") throw result.reason;
					return result.value;
				}),
			);
		} catch (error) {
			void compiling.then((results) => {
				for (const result of results)
					if (result.status === "fulfilled") result.value?.release();
			});
			throw error;
		}
	}

	/** Queues the submissions together, once what constrains them is compiled. */
	async #submitAll(
		submissions: readonly Submission[],
		{ signal, loraRequest }: GenerateOptions,
		onDelta?: (delta: CompletionDelta) => void,
	): Promise<Started[]> {
		const plain = submissions.every(({ form }) => form === null);
		const grammars = plain ? [] : await this.#compile(submissions, signal);
		try {
			const adapters = loraRequest
				? await this.#lora().acquire(loraRequest, submissions.length)
				: [];
			return submissions.map((submission, i) => {
				const held = {
					grammar: grammars[i] ?? null,
					adapter: adapters[i] ?? null,
				};
				return this.#submit(submission, held, onDelta);
			});
		} finally {
			for (const grammar of grammars) grammar?.release();
		}
	}

	async #runAll<P>(
		list: readonly P[],
		tokenize: (prompt: P) => TokenizedPrompt,
		samplingParams: OneOrMany<SamplingParamsInput> | undefined,
		options: GenerateOptions,
	): Promise<RequestOutput[]> {
		const { signal, progress } = options;
		signal?.throwIfAborted();
		const start = this.#platform.now();
		const before = this.#engine.stats();
		let numFinished = 0;
		let lastReport = start;
		const report = (always: boolean) => {
			const now = this.#platform.now();
			if (!always && now - lastReport < PROGRESS_INTERVAL_MS) return;
			lastReport = now;
			const stats = this.#engine.stats();
			progress?.({
				numFinished,
				numRequests: list.length,
				numPromptTokens: stats.numPromptTokens - before.numPromptTokens,
				numGenerationTokens:
					stats.numGenerationTokens - before.numGenerationTokens,
				elapsedMs: now - start,
			});
		};
		const submissions = this.#prepare(list, tokenize, samplingParams, options);
		const started = await this.#submitAll(
			submissions,
			options,
			progress && (() => report(false)),
		);
		const stop = () => {
			for (const { requestId } of started) this.abort(requestId);
		};
		signal?.addEventListener("abort", stop, { once: true });
		if (signal?.aborted) stop();
		try {
			const results = await Promise.allSettled(
				started.map(async ({ done }) => {
					const output = await done;
					numFinished++;
					report(true);
					return output;
				}),
			);
			signal?.throwIfAborted();
			return unwrap(results);
		} finally {
			signal?.removeEventListener("abort", stop);
		}
	}

	async *#stream(
		tokenize: () => TokenizedPrompt,
		samplingParams: SamplingParamsInput | undefined,
		options: RequestOptions,
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const { signal } = options;
		signal?.throwIfAborted();
		const submissions = this.#prepare(
			[null],
			tokenize,
			samplingParams,
			options,
		);
		const deltas: CompletionDelta[] = [];
		let wake = () => {};
		const onDelta = (delta: CompletionDelta) => {
			deltas.push(delta);
			wake();
		};
		const [{ requestId, done }] = await this.#submitAll(
			submissions,
			options,
			onDelta,
		);
		let settled = false;
		const end = () => {
			settled = true;
			wake();
		};
		done.then(end, end);
		const stop = () => this.abort(requestId);
		signal?.addEventListener("abort", stop, { once: true });
		try {
			for (let at = 0; ; ) {
				signal?.throwIfAborted();
				if (at < deltas.length) {
					yield deltas[at++];
					if (at === deltas.length) deltas.length = at = 0;
				} else if (settled) return await done;
				else
					await new Promise<void>((resolve) => {
						wake = resolve;
					});
			}
		} finally {
			signal?.removeEventListener("abort", stop);
			stop();
		}
	}

	#submit(
		{ prompt, params, manner }: Submission,
		{ grammar, adapter }: Held,
		onDelta?: (delta: CompletionDelta) => void,
	): Started {
		const requestId = `req-${this.#numRequests++}`;
		const { tokenizer } = this.#model.text ?? {};
		const { tokenIds: promptTokenIds, text } = prompt;
		const { skipSpecialTokens } = params;
		const { priority, cacheSalt, thought } = manner;
		const createTextStream =
			tokenizer !== undefined && params.detokenize
				? () =>
						createDetokenizer(tokenizer, { skipSpecialTokens, promptTokenIds })
				: null;
		const done = new Promise<RequestOutput>((resolve, reject) => {
			const metrics = this.#engine.add({
				requestId,
				promptTokenIds,
				params,
				priority,
				startConstraint:
					grammar && thought
						? () => afterThought(thought, grammar.start)
						: grammar?.start,
				adapter,
				cacheSalt,
				sink: createCollector({
					requestId,
					params,
					createTextStream,
					tokenText: (id) => tokenizer?.tokenText(id) ?? "",
					onDelta,
					onDone: (result) =>
						resolve({
							requestId,
							prompt: text,
							promptTokenIds: Array.from(promptTokenIds),
							metrics,
							...result,
						}),
					onError: reject,
				}),
			});
		});
		const release = () => adapter && this.#adapters?.release(adapter);
		done.then(release, release); // an error is heard where it is awaited
		return { requestId, done };
	}
}

function isList<T>(value: OneOrMany<T> | undefined): value is readonly T[] {
	return Array.isArray(value);
}

/** The promise, or signal.reason when that comes first. */
async function unlessAborted<T>(
	promise: Promise<T>,
	signal: AbortSignal | undefined,
): Promise<T> {
	const aborted = Promise.withResolvers<never>();
	const abort = () => aborted.reject(signal?.reason);
	signal?.addEventListener("abort", abort, { once: true });
	try {
		signal?.throwIfAborted();
		return await Promise.race([promise, aborted.promise]);
	} finally {
		signal?.removeEventListener("abort", abort);
	}
}

/** The same error, saying which of many inputs it is about. */
function labelled<T>(label: string, make: () => T): T {
	try {
		return make();
	} catch (cause) {
		if (!(cause instanceof NanoVllmError) || label === "") throw cause;
		throw new NanoVllmError(cause.code, label + cause.message, { cause });
	}
}

/** Every result, or the first error once all have ended. */
function unwrap<T>(results: readonly PromiseSettledResult<T>[]): T[] {
	return results.map((result) => {
		if (result.status === "rejected") throw result.reason;
		return result.value;
	});
}
