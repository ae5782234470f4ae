/** What the worker does for each method a page may call: LLM's methods, under their names. Knows no messages. */
import type { SamplingParamsInput } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import {
	type ChatOptions,
	type GenerateOptions,
	LLM,
	type LoadOptions,
	type RequestOptions,
} from "../llm.ts";
import type { LoraRequest } from "../lora.ts";
import type { Prompt } from "../prompt.ts";
import type { ChatMessage, RenderOptions } from "../tokenizer/chat-template.ts";
import { type FileMap, fileMap } from "../weights/source.ts";

/** The worker's one model. */
export interface Host {
	llm: LLM | null;
}

export interface CallContext {
	readonly signal: AbortSignal;
	/** Sends what a call has come to so far: a delta, an event, a count of bytes. */
	readonly tell: (value: unknown) => void;
}

/** A model as it crosses threads: a name, or a FileMap's contents. */
export type PortableModel = string | Pick<FileMap, "label" | "contents">;

export type PortableLoadOptions = Omit<LoadOptions, "signal" | "onProgress">;

export interface PortableLora {
	readonly name: string;
	readonly path?: PortableModel;
}

/** `progress`: whether the page wants to hear of it. */
type Portable<Options extends RequestOptions | GenerateOptions> = Omit<
	Options,
	"signal" | "progress" | "loraRequest"
> & {
	readonly progress?: boolean;
	readonly loraRequest?: OneOrMany<PortableLora | null>;
};

type OneOrMany<T> = T | readonly T[];

/** What does not change while the model is loaded. */
export type ModelFacts = Pick<
	LLM,
	| "device"
	| "deviceReason"
	| "modelName"
	| "modelConfig"
	| "numParameters"
	| "maxModelLen"
	| "engineConfig"
	| "defaultSamplingParams"
	| "hasChatTemplate"
>;

export const METHODS = {
	async load(
		host: Host,
		{ signal, tell }: CallContext,
		model: PortableModel,
		options: PortableLoadOptions,
	): Promise<ModelFacts> {
		const source = unpackModel(model);
		const onProgress = tell;
		host.llm = await LLM.load(source, { ...options, signal, onProgress });
		return factsOf(host.llm);
	},
	generate: (
		host: Host,
		context: CallContext,
		prompts: OneOrMany<Prompt>,
		samplingParams: OneOrMany<SamplingParamsInput> | undefined,
		options: Portable<GenerateOptions>,
	) =>
		modelOf(host).generate(
			prompts,
			samplingParams,
			withContext(options, context),
		),
	chat: (
		host: Host,
		context: CallContext,
		messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
		samplingParams: OneOrMany<SamplingParamsInput> | undefined,
		options: Portable<ChatOptions>,
	) =>
		modelOf(host).chat(messages, samplingParams, withContext(options, context)),
	stream: (
		host: Host,
		context: CallContext,
		prompt: Prompt,
		samplingParams: SamplingParamsInput | undefined,
		options: Portable<RequestOptions>,
	) =>
		tellAll(
			modelOf(host).stream(prompt, samplingParams, forOne(options, context)),
			context.tell,
		),
	streamChat: (
		host: Host,
		context: CallContext,
		messages: readonly ChatMessage[],
		samplingParams: SamplingParamsInput | undefined,
		options: Portable<RequestOptions & Pick<ChatOptions, "template">>,
	) =>
		tellAll(
			modelOf(host).streamChat(
				messages,
				samplingParams,
				forOne(options, context),
			),
			context.tell,
		),
	renderChat: (
		host: Host,
		_: CallContext,
		messages: readonly ChatMessage[],
		template: RenderOptions,
	) => modelOf(host).renderChat(messages, template),
	encode: (
		host: Host,
		_: CallContext,
		text: string,
		options: { addSpecialTokens?: boolean },
	) => modelOf(host).tokenizer.encode(text, options),
	decode: (
		host: Host,
		_: CallContext,
		ids: ArrayLike<number>,
		options: { skipSpecialTokens?: boolean },
	) => modelOf(host).tokenizer.decode(ids, options),
	abort: (host: Host, _: CallContext, requestId: string) =>
		modelOf(host).abort(requestId),
	loadLoraAdapter: (
		host: Host,
		_: CallContext,
		name: string,
		path: PortableModel,
	) => modelOf(host).loadLoraAdapter(name, unpackModel(path)),
	unloadLoraAdapter: (host: Host, _: CallContext, name: string) =>
		modelOf(host).unloadLoraAdapter(name),
	listLoraAdapters: (host: Host) => modelOf(host).listLoraAdapters(),
	stats: (host: Host) => modelOf(host).stats(),
	resetPrefixCache: (host: Host) => modelOf(host).resetPrefixCache(),
	/** Until it is aborted. */
	observe(host: Host, { signal, tell }: CallContext): Promise<void> {
		const stop = modelOf(host).observe(tell);
		return new Promise((resolve) => {
			const end = () => {
				stop();
				resolve();
			};
			signal.addEventListener("abort", end, { once: true });
		});
	},
	pause: (host: Host) => modelOf(host).pause(),
	resume: (host: Host) => modelOf(host).resume(),
	step: (host: Host) => modelOf(host).step(),
	close: async (host: Host) => {
		await host.llm?.close();
	},
};

export type Methods = typeof METHODS;

/** What a page gives to a method. */
export type ArgsOf<M extends keyof Methods> =
	Parameters<Methods[M]> extends [Host, CallContext, ...infer Args] ? Args : [];

export type ResultOf<M extends keyof Methods> = Awaited<ReturnType<Methods[M]>>;

function modelOf({ llm }: Host): LLM {
	if (llm !== null) return llm;
	throw new NanoVllmError(
		"engine_closed",
		"no model is loaded. Load one first.",
	);
}

function factsOf(llm: LLM): ModelFacts {
	return {
		device: llm.device,
		deviceReason: llm.deviceReason,
		modelName: llm.modelName,
		modelConfig: llm.modelConfig,
		numParameters: llm.numParameters,
		maxModelLen: llm.maxModelLen,
		engineConfig: llm.engineConfig,
		defaultSamplingParams: llm.defaultSamplingParams,
		hasChatTemplate: llm.hasChatTemplate,
	};
}

const unpackModel = (model: PortableModel): string | FileMap =>
	typeof model === "string" ? model : fileMap(model.label, model.contents);

function unpackLora(request: PortableLora | null): LoraRequest | null {
	if (request?.path === undefined) return request as LoraRequest | null;
	return { ...request, path: unpackModel(request.path) };
}

function withContext<Options extends Portable<GenerateOptions>>(
	{ progress, loraRequest, ...options }: Options,
	{ signal, tell }: CallContext,
) {
	const isMany = Array.isArray(loraRequest);
	return {
		...options,
		signal,
		progress: progress ? tell : undefined,
		loraRequest: isMany
			? loraRequest.map(unpackLora)
			: unpackLora((loraRequest as PortableLora | null | undefined) ?? null),
	};
}

function forOne<Options extends Portable<RequestOptions>>(
	options: Options,
	context: CallContext,
) {
	const { progress, loraRequest, ...rest } = withContext(options, context);
	return { ...rest, loraRequest: loraRequest as LoraRequest | null };
}

async function tellAll<Delta, Result>(
	deltas: AsyncGenerator<Delta, Result, void>,
	tell: (delta: Delta) => void,
): Promise<Result> {
	for (;;) {
		const { done, value } = await deltas.next();
		if (done) return value;
		tell(value);
	}
}
