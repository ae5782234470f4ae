/** What a call may say of its requests beside prompts and sampling parameters. */
import type { LoraRequest } from "../lora.ts";
import type { Thought } from "../structured-outputs.ts";
import type { RenderOptions } from "../tokenizer/chat-template.ts";

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

export type OneOrMany<T> = T | readonly T[];

export function isList<T>(
	value: OneOrMany<T> | undefined,
): value is readonly T[] {
	return Array.isArray(value);
}
