/**
 * What the pages know of an engine: one interface, and behind it this tab's own model (engine-tab.ts) or a server (engine-server.ts).
 * Pages name neither.
 */
import type { EngineEvent, LoadOptions } from "nano-vllm";

export interface ChatMessage {
	readonly role: "system" | "user" | "assistant";
	readonly content: string;
}

/** What the controls offer; absent: the model's own default. */
export interface Sampling {
	readonly temperature?: number;
	readonly topP?: number;
	readonly topK?: number;
	readonly minP?: number;
	readonly repetitionPenalty?: number;
	readonly seed?: number;
	readonly maxTokens?: number;
}

/** One token of an answer and what else it might have been, most probable first. */
export interface AnswerToken {
	readonly text: string;
	/** Natural logarithm; null where it is not known. */
	readonly logprob: number | null;
	readonly alternatives: readonly {
		readonly text: string;
		readonly logprob: number;
	}[];
}

export interface AnswerDelta {
	readonly text: string;
	readonly tokens: readonly AnswerToken[];
	/** Of the last delta alone. */
	readonly finishReason: "stop" | "length" | "abort" | null;
}

export interface EngineFacts {
	/** "tab": the model runs in this page's worker; "server": behind an address. */
	readonly place: "tab" | "server";
	readonly modelName: string;
	/** "webgpu", "cpu" …; null where a server does not say. */
	readonly device: string | null;
	/** Why this device: shown beside it. */
	readonly deviceReason: string | null;
	readonly maxModelLen: number;
	readonly hasChatTemplate: boolean;
	/** Whether pause, resume and step work here. */
	readonly canPause: boolean;
}

export interface Engine {
	readonly facts: EngineFacts;
	streamChat(
		messages: readonly ChatMessage[],
		sampling: Sampling,
		signal: AbortSignal,
	): AsyncIterable<AnswerDelta>;
	/** Continues a text. `ignoreEos`: exactly maxTokens tokens. */
	streamText(
		prompt: string | readonly number[],
		sampling: Sampling & { readonly ignoreEos?: boolean },
		signal: AbortSignal,
	): AsyncIterable<AnswerDelta>;
	/** Tells the engine's events, a snapshot first. @returns what ends that. `onEnd`: the source is gone, and why. */
	observe(
		listener: (event: EngineEvent) => void,
		onEnd: (reason: string) => void,
	): () => void;
	pause(): Promise<void>;
	resume(): Promise<void>;
	/** Runs one step of a paused engine. */
	step(): Promise<void>;
	/** Text of tokens, for the inspector; special tokens included. */
	detokenize(tokenIds: readonly number[]): Promise<string>;
	/** Resolves with the reason when the engine is lost: the worker crashed, the device went away, the server does not answer. */
	readonly lost: Promise<string>;
	close(): Promise<void>;
}

/** What the playground sets anew. The model is loaded again, from the cache. */
export type EngineSettings = Pick<
	LoadOptions,
	| "maxNumBatchedTokens"
	| "maxNumSeqs"
	| "blockSize"
	| "kvCacheMemoryBytes"
	| "enableChunkedPrefill"
	| "enablePrefixCaching"
	| "maxModelLen"
>;
