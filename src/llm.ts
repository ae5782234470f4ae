/** The library: load a model, generate, chat, stream. The one place where text, engine and device meet. After vLLM's LLM class. */
import {
	type EngineConfig,
	resolveEngineConfig,
	type SamplingParamsInput,
} from "./config.ts";
import type { EngineStats } from "./engine/engine-stats.ts";
import type { EngineListener } from "./engine/events.ts";
import { LlmEngine } from "./engine/llm-engine.ts";
import type { CompletionDelta, RequestOutput } from "./engine/output.ts";
import type { ModelFacts } from "./engine/sequence-params.ts";
import { NanoVllmError } from "./errors.ts";
import {
	type LoadContext,
	type LoadedModel,
	loadModel,
	platformFor,
} from "./load.ts";
import type { LoraAdapter, LoraAdapters } from "./lora.ts";
import type { ModelConfig } from "./models/config.ts";
import { loadPlatform } from "./platform/detect.ts";
import type { Platform } from "./platform/platform.ts";
import { type Prompt, type TokenizedPrompt, tokenizePrompt } from "./prompt.ts";
import {
	type ChatOptions,
	type GenerateOptions,
	isList,
	type OneOrMany,
	type RequestOptions,
} from "./requests/options.ts";
import { RequestRunner } from "./requests/runner.ts";
import type { Structured } from "./structured/structured.ts";
import type { ChatMessage, RenderOptions } from "./tokenizer/chat-template.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";
import type { ModelFiles } from "./weights/source.ts";

export type LoadOptions = Partial<EngineConfig> & LoadContext;

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
	readonly #platform: Platform;
	/** null until a request asks for a form. */
	#structured: Promise<Structured> | null = null;
	/** null without enableLora. */
	readonly #adapters: LoraAdapters | null;
	readonly #runner: RequestRunner;

	private constructor(
		model: LoadedModel,
		config: EngineConfig,
		platform: Platform,
		Adapters: typeof LoraAdapters | null,
	) {
		this.#model = model;
		this.#platform = platform;
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
		this.#runner = new RequestRunner({
			engine: this.#engine,
			rules: {
				facts: this.#facts,
				schedulingPolicy: config.schedulingPolicy,
				hasTokenizer: tokenizer !== null,
				defaultSamplingParams: this.defaultSamplingParams,
			},
			structured: () => {
				this.#structured ??= this.#openStructured().catch((error) => {
					// A page that was offline may try again.
					this.#structured = null;
					throw error;
				});
				return this.#structured;
			},
			adapters: () => this.#lora(),
			tokenizer,
			now: platform.now,
		});
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
		return this.#runner.runAll(list, tokenize, samplingParams, options);
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
		return this.#runner.runAll(list, tokenize, samplingParams, options);
	}

	/** One prompt, token by token; with n > 1 the deltas of the outputs alternate. Leaving the loop aborts the request. */
	stream(
		prompt: Prompt,
		samplingParams?: SamplingParamsInput,
		options: RequestOptions = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const tokenize = () => this.#tokenize(prompt);
		return this.#runner.stream(tokenize, samplingParams, options);
	}

	/** The answer to a conversation, token by token. */
	streamChat(
		messages: readonly ChatMessage[],
		samplingParams?: SamplingParamsInput,
		options: RequestOptions & Pick<ChatOptions, "template"> = {},
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const tokenize = () => this.#tokenizeChat(messages, options.template);
		return this.#runner.stream(tokenize, samplingParams, options);
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
		await this.#structured?.then((it) => it.close()).catch(() => {}); // it never opened
		await closing;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	async #openStructured(): Promise<Structured> {
		const { vocabSize, eosTokenIds } = this.#facts;
		const { tokenizer } = this;
		const platform = this.#platform;
		const { openStructured } = await import("./structured/structured.ts");
		if (this.failure !== null) throw this.failure;
		return openStructured({ platform, tokenizer, vocabSize, eosTokenIds });
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
}
