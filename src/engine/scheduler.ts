/**
 * Decides which sequences run in the next step and how many of their tokens. Knows numbers only: no device, no text.
 * Continuous batching (Yu et al. 2022, Orca) with chunked prefill (Agrawal et al. 2023), after vLLM's V1 scheduler:
 * every running sequence has tokens to compute, one for a decode, many for a prompt; decodes go first, prompts share the
 * rest of the token budget. When blocks run out the last sequence in order gives up its own and is computed again later.
 */
import { assert } from "../errors.ts";
import { AdapterSlots } from "./adapters.ts";
import type { BlockManager } from "./block-manager.ts";
import {
	type FinishReason,
	RUNNING,
	type Sequence,
	type SequenceStatus,
	WAITING,
} from "./sequence.ts";
import { inOrder, WaitingQueue } from "./waiting-queue.ts";

export interface SchedulerConfig {
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	readonly enableChunkedPrefill: boolean;
}

/** Tokens [start, start + numTokens) of `seq` are computed in a step; `samples` where that reaches its last token. */
export interface ScheduledSequence {
	readonly seq: Sequence;
	readonly start: number;
	readonly numTokens: number;
	readonly samples: boolean;
}

/** One step's work: decodes first. */
export interface Batch {
	readonly scheduled: readonly ScheduledSequence[];
	readonly numDecodes: number;
	readonly numTokens: number;
}

type StepStarts = Map<Sequence, number>;

export class Scheduler {
	readonly #config: SchedulerConfig;
	readonly #blocks: BlockManager;
	readonly #adapters: AdapterSlots;
	readonly #waiting: WaitingQueue;
	/** In order of priority and arrival; those that ended or were preempted since the last step are dropped by the next. */
	#running: Sequence[] = [];
	#numRunning = 0;
	/** Waiting sequences that ended before they ran stay in the queue until they come up; they do not count. */
	#numWaiting = 0;
	numPreemptions = 0;
	numPrefixQueryTokens = 0;
	numPrefixHitTokens = 0;

	constructor(
		config: SchedulerConfig,
		blocks: BlockManager,
		adapters = new AdapterSlots(0),
	) {
		this.#config = config;
		this.#blocks = blocks;
		this.#adapters = adapters;
		this.#waiting = new WaitingQueue(adapters);
	}

	get numWaiting(): number {
		return this.#numWaiting;
	}

	get numRunning(): number {
		return this.#numRunning;
	}

	/** In order. O(running) */
	running(): Sequence[] {
		return this.#running.filter((s) => s.status === RUNNING).sort(inOrder);
	}

	/** Those that run next, `most` of them, in order. O(waiting · log most) */
	nextWaiting(most: number): Sequence[] {
		return this.#waiting.first(most);
	}

	/** O(waiting), where there are slots. */
	adapterNames(): { runningAdapters: string[]; waitingAdapters: string[] } {
		const runningAdapters = this.#adapters.running();
		const waitingAdapters = new Set<string>();
		if (this.#adapters.numSlots > 0)
			for (const { adapter, isFinished } of this.#waiting)
				if (adapter !== null && !isFinished) waitingAdapters.add(adapter.name);
		return { runningAdapters, waitingAdapters: [...waitingAdapters] };
	}

	add(seq: Sequence): void {
		this.#waiting.push(seq);
		this.#numWaiting++;
	}

	/** Ends a sequence in whatever state it is and frees its blocks at once: steps run in order, so nothing reads them before they are written anew. */
	finish(
		seq: Sequence,
		reason: FinishReason,
		stopReason: number | string | null = null,
	): void {
		this.#end(seq, { kind: "finished", reason, stopReason });
	}

	fail(seq: Sequence, error: Error): void {
		this.#end(seq, { kind: "failed", error });
	}

	#end(seq: Sequence, status: SequenceStatus): void {
		if (seq.isFinished) return;
		if (seq.status.kind === "running") this.#leave(seq);
		else this.#numWaiting--;
		seq.status = status;
		this.#blocks.release(seq);
	}

	/** What no longer runs counts no more and holds no adapter. */
	#leave(seq: Sequence): void {
		this.#numRunning--;
		this.#adapters.release(seq.adapter);
	}

	/** The next step, or null where nothing can run now. Counts the scheduled tokens as computed. */
	schedule(): Batch | null {
		this.#sortRunning();
		const decodes: ScheduledSequence[] = [];
		const prefills: ScheduledSequence[] = [];
		/** Who is in this step, and the first token it computes. */
		const step: StepStarts = new Map();
		const preemptionsBefore = this.numPreemptions;
		let budget = this.#config.maxNumBatchedTokens;

		const schedule = (
			list: ScheduledSequence[],
			seq: Sequence,
			numTokens: number,
		) => {
			const start = seq.numComputedTokens;
			const samples = start + numTokens === seq.numTotalTokens;
			list.push({ seq, start, numTokens, samples });
			step.set(seq, start);
			seq.numComputedTokens = start + numTokens;
			budget -= numTokens;
		};

		for (const seq of this.#running) {
			if (budget === 0) break;
			if (seq.status !== RUNNING || !isDecode(seq) || !isReady(seq)) continue;
			if (this.#makeRoom(seq, 1, step)) schedule(decodes, seq, 1);
		}
		for (const seq of this.#running) {
			if (seq.status !== RUNNING || step.has(seq) || isDecode(seq)) continue;
			if (seq.awaitsMask) continue;
			const numTokens = this.#chunk(seq, budget);
			if (numTokens > 0 && this.#makeRoom(seq, numTokens, step))
				schedule(prefills, seq, numTokens);
		}
		while (budget > 0 && this.numPreemptions === preemptionsBefore) {
			const seq = this.#admit(budget, step);
			if (seq === null) break;
			schedule(prefills, seq, this.#chunk(seq, budget));
		}

		if (step.size === 0) return null;
		for (const seq of step.keys()) this.#blocks.register(seq);
		return {
			scheduled: [...decodes, ...prefills],
			numDecodes: decodes.length,
			numTokens: this.#config.maxNumBatchedTokens - budget,
		};
	}

	#sortRunning(): void {
		this.#running = this.#running.filter((seq) => seq.status === RUNNING);
		for (let i = 1; i < this.#running.length; i++) {
			if (inOrder(this.#running[i - 1], this.#running[i]) <= 0) continue;
			this.#running.sort(inOrder);
			return;
		}
	}

	/** Prompt tokens to compute now: what the budget allows, all or nothing without chunking. */
	#chunk(seq: Sequence, budget: number): number {
		const remaining = seq.numTotalTokens - seq.numComputedTokens;
		if (!this.#config.enableChunkedPrefill && remaining > budget) return 0;
		return Math.min(remaining, budget);
	}

	/** Extends seq's blocks; where none are free, preempts sequences from the end of the order that are not in this step yet. */
	#makeRoom(seq: Sequence, numTokens: number, step: StepStarts): boolean {
		while (!this.#blocks.grow(seq, seq.numComputedTokens + numTokens)) {
			const victim = this.#running.findLast(
				(s) => s.status === RUNNING && !step.has(s),
			);
			if (victim === undefined || inOrder(victim, seq) < 0) return false;
			this.#preempt(victim);
			if (victim === seq) return false;
		}
		return true;
	}

	/** Recompute, not swap: the tokens are kept, the blocks go, and arrival puts the sequence at the head of its queue again. */
	#preempt(seq: Sequence): void {
		this.#blocks.release(seq);
		seq.status = WAITING;
		this.#leave(seq);
		seq.numPreemptions++;
		this.numPreemptions++;
		this.add(seq);
	}

	/** Takes the head of the queue into the running sequences if its first chunk fits; in order, so that nobody starves. */
	#admit(budget: number, step: StepStarts): Sequence | null {
		if (this.#numRunning >= this.#config.maxNumSeqs) return null;
		const seq = this.#waiting.peek();
		if (seq === undefined || seq.pendingRow !== null || seq.awaitsMask)
			return null;
		this.#attachPrefix(seq, step);
		const numTokens = this.#chunk(seq, budget);
		const fits =
			numTokens > 0 &&
			this.#blocks.grow(seq, seq.numComputedTokens + numTokens);
		if (!fits) {
			this.#blocks.release(seq);
			return null;
		}
		this.#waiting.pop();
		this.#numWaiting--;
		seq.status = RUNNING;
		this.#numRunning++;
		this.#adapters.acquire(seq.adapter);
		this.#running.push(seq);
		if (seq.numCachedTokens === null) {
			seq.numCachedTokens = seq.numComputedTokens;
			this.numPrefixQueryTokens += seq.numTokens;
			this.numPrefixHitTokens += seq.numCachedTokens;
		}
		return seq;
	}

	/** What is computed in this very step is not there to be read yet. */
	#attachPrefix(seq: Sequence, step: StepStarts): void {
		const { sibling } = seq;
		const numComputed = (s: Sequence) => step.get(s) ?? s.numComputedTokens;
		if (sibling !== null && numComputed(sibling) >= seq.numPromptTokens)
			this.#blocks.share(sibling, seq);
		else if (readsPrefixCache(seq)) this.#blocks.attachCached(seq);
	}

	/** The laws: sequences are counted, waiting ones hold no blocks, running ones hold what they computed; and the block manager's and the adapter slots'. */
	checkIntegrity(): void {
		const running = this.#running.filter((seq) => seq.status === RUNNING);
		assert(
			running.length === this.#numRunning,
			"running sequences are counted",
		);
		assert(
			running.length <= this.#config.maxNumSeqs,
			"no more sequences run than allowed",
		);
		const waiting = [...this.#waiting].filter((seq) => !seq.isFinished);
		assert(
			waiting.length === this.#numWaiting,
			"waiting sequences are counted",
		);
		for (const seq of waiting)
			assert(seq.numBlocks === 0, "waiting sequences hold no blocks");
		for (const seq of running)
			assert(
				seq.numBlocks * this.#blocks.blockSize >= seq.numComputedTokens,
				"computed tokens have blocks",
			);
		this.#blocks.checkIntegrity(running);
		this.#adapters.checkIntegrity(running);
	}
}

/** A sequence whose last token is still being sampled can go on unless that is its last, or must be looked at first. */
function isReady(seq: Sequence): boolean {
	if (seq.awaitsMask) return false;
	if (seq.pendingRow === null) return true;
	if (seq.constraint !== null) return false;
	const { maxOutputTokens, badWordIds } = seq.params;
	if (seq.numOutputTokens >= maxOutputTokens) return false;
	return badWordIds.every((ids) => ids.length === 1);
}

/** One token left to compute, behind tokens already computed. */
function isDecode(seq: Sequence): boolean {
	return (
		seq.numComputedTokens > 0 &&
		seq.numTotalTokens - seq.numComputedTokens === 1 &&
		seq.numComputedTokens >= seq.numPromptTokens
	);
}

/** Prompt logprobs need every prompt token computed. */
function readsPrefixCache(seq: Sequence): boolean {
	return (
		seq.params.promptLogprobs === null ||
		seq.numScoredTokens >= seq.numPromptTokens
	);
}
