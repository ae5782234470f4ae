/**
 * One output being generated: its tokens, its place in the KV cache, its state. Knows no scheduler, device or text.
 * After nano-vllm's sequence.py; a request with n > 1 holds n of them.
 */
import type { SamplingParams } from "../config.ts";
import type { Adapter } from "./adapters.ts";
import type { TokenConstraint } from "./constraint.ts";

export type FinishReason = "stop" | "length" | "abort";

export type SequenceStatus =
	| { readonly kind: "waiting" }
	| { readonly kind: "running" }
	| {
			readonly kind: "finished";
			readonly reason: FinishReason;
			/** The stop token or stop string; null for end-of-sequence, length and abort. */
			readonly stopReason: number | string | null;
	  }
	| { readonly kind: "failed"; readonly error: Error };

export const WAITING: SequenceStatus = { kind: "waiting" };
export const RUNNING: SequenceStatus = { kind: "running" };

/** What the engine needs of a request's sampling beyond SamplingParams: ids already looked up. */
export interface SequenceParams extends SamplingParams {
	/** Tokens that may be sampled at most. */
	readonly maxOutputTokens: number;
	/** End-of-sequence ids that end this sequence; empty with ignoreEos. */
	readonly eosTokenIds: readonly number[];
	/** Token id → added logit. */
	readonly biasTokens: Int32Array;
	readonly biasValues: Float32Array;
	/** Bit mask of allowedTokenIds, ⌈V/32⌉ words; null allows all. */
	readonly allowedMask: Uint32Array | null;
	/** badWords as token ids. */
	readonly badWordIds: readonly (readonly number[])[];
}

/** A row of a step that needs logits: it samples, or scores, the token at `position` of `seq`. */
export interface StepRow {
	readonly seq: Sequence;
	readonly row: number;
	readonly position: number;
}

export class Sequence {
	readonly requestId: string;
	/** Order of arrival, over all sequences of an engine. */
	readonly arrival: number;
	/** Smaller runs first; 0 for all under fcfs. */
	readonly priority: number;
	/** Which of the request's n outputs. */
	readonly index: number;
	readonly params: SequenceParams;
	readonly seedLow: number;
	readonly seedHigh: number;
	readonly numPromptTokens: number;
	/** A sequence of the same request whose prompt blocks this one takes over while they are there. */
	readonly sibling: Sequence | null;
	/** What its next token must obey, beyond params; null: nothing. */
	readonly constraint: TokenConstraint | null;
	/** null: the model as it is. */
	readonly adapter: Adapter | null;

	status: SequenceStatus = WAITING;
	/** Known tokens are tokenIds[0 .. numTokens-1]: prompt, then output. */
	tokenIds: Int32Array;
	numTokens: number;
	/** The row of the step in flight that samples this sequence's next token; null when every token is known. */
	pendingRow: StepRow | null = null;
	/** Tokens whose keys and values are in the cache, or will be once the steps submitted have run. */
	numComputedTokens = 0;
	/** Prompt tokens found in the prefix cache when first scheduled; null before. */
	numCachedTokens: number | null = null;
	numPreemptions = 0;
	/** Prompt tokens whose logprobs are asked for already (a preempted prompt is computed twice); the first has none. */
	numScoredTokens = 1;

	/** Blocks blockTable[0 .. numBlocks-1] hold the tokens, blockSize each, in order. */
	blockTable = new Int32Array(8);
	numBlocks = 0;
	/** The first numRegisteredBlocks are in the prefix cache; lastContentId names the prefix they hold. */
	numRegisteredBlocks = 0;
	lastContentId: number;
	/**
	 * Names the empty prefix: the model's own is 0, and each adapter's and each salt's are others, as keys and values behind them are, or
	 * may not be shared. Blocks have ids above 0.
	 */
	readonly rootContentId: number;

	constructor(init: {
		requestId: string;
		arrival: number;
		priority: number;
		index: number;
		params: SequenceParams;
		seed: number;
		promptTokenIds: Int32Array;
		sibling: Sequence | null;
		constraint?: TokenConstraint | null;
		adapter?: Adapter | null;
		/** Of a request with a salt (salted-roots.ts). */
		saltedRoot?: number | null;
	}) {
		this.requestId = init.requestId;
		this.arrival = init.arrival;
		this.priority = init.priority;
		this.index = init.index;
		this.params = init.params;
		this.seedLow = init.seed >>> 0;
		this.seedHigh = Math.floor(init.seed / 2 ** 32) >>> 0;
		this.numPromptTokens = init.promptTokenIds.length;
		this.numTokens = this.numPromptTokens;
		this.tokenIds = init.promptTokenIds;
		this.sibling = init.sibling;
		this.constraint = init.constraint ?? null;
		this.adapter = init.adapter ?? null;
		const ownRoot = this.adapter === null ? 0 : -this.adapter.id;
		this.rootContentId = init.saltedRoot ?? ownRoot;
		this.lastContentId = this.rootContentId;
	}

	/** Output tokens, the one in flight included. */
	get numOutputTokens(): number {
		return this.numTotalTokens - this.numPromptTokens;
	}

	/** Known tokens and the one in flight. */
	get numTotalTokens(): number {
		return this.numTokens + (this.pendingRow === null ? 0 : 1);
	}

	/** The token after the known ones may not be asked for yet: what it must obey is being worked out. */
	get awaitsMask(): boolean {
		return this.constraint !== null && this.constraint.pending !== null;
	}

	get isFinished(): boolean {
		return this.status.kind === "finished" || this.status.kind === "failed";
	}

	appendToken(tokenId: number): void {
		if (this.numTokens === this.tokenIds.length)
			this.tokenIds = grown(this.tokenIds, this.numTokens);
		this.tokenIds[this.numTokens++] = tokenId;
	}

	appendBlock(block: number): void {
		if (this.numBlocks === this.blockTable.length)
			this.blockTable = grown(this.blockTable, this.numBlocks);
		this.blockTable[this.numBlocks++] = block;
	}
}

function grown(array: Int32Array, used: number): Int32Array<ArrayBuffer> {
	const larger = new Int32Array(Math.max(16, Math.ceil(used * 1.5)));
	larger.set(array.subarray(0, used));
	return larger;
}
