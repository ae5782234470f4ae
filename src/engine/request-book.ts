/**
 * The requests an engine has taken, until each sequence's end was told: what they are handed, what ends them, what fails them. Knows no
 * steps: the loop (llm-engine.ts) says what came of each sequence.
 */
import { asNanoVllmError, assert, type NanoVllmError } from "../errors.ts";
import type { StepCounts } from "./engine-stats.ts";
import { MaskWait } from "./mask-wait.ts";
import type { Observer } from "./observer.ts";
import type {
	EngineRequest,
	LogprobEntry,
	RequestMetrics,
	RequestSink,
} from "./request.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";

export interface RequestBookParts {
	readonly scheduler: Scheduler;
	readonly counts: StepCounts;
	/** null: nobody listens. */
	readonly observer: () => Observer | null;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
}

interface RequestState extends EngineRequest {
	readonly sequences: readonly Sequence[];
	readonly metrics: RequestMetrics;
	/** Sequences handed to the scheduler: the first at once, the others when it has computed the prompt. */
	numStarted: number;
	/** Sequences whose end the sink was not told yet. */
	readonly unfinished: Set<Sequence>;
}

export class RequestBook {
	/** Constrained sequences whose next mask is being worked out. */
	readonly masks = new MaskWait((seq, cause) =>
		this.fail(seq, asNanoVllmError(cause, "a constraint failed")),
	);
	readonly #parts: RequestBookParts;
	readonly #requests = new Map<string, RequestState>();
	/** Those whose prompt the step about to run completes: their other sequences follow it. */
	readonly #computed: RequestState[] = [];

	constructor(parts: RequestBookParts) {
		this.#parts = parts;
	}

	/** Requests that are not over. */
	get size(): number {
		return this.#requests.size;
	}

	/** Enters a request and queues its first sequence. */
	add(request: EngineRequest, sequences: readonly Sequence[]): RequestMetrics {
		const { requestId } = request;
		assert(!this.#requests.has(requestId), `request id ${requestId} is new`);
		const metrics: RequestMetrics = {
			arrivalMs: this.#parts.now(),
			firstScheduledMs: null,
			firstTokenMs: null,
			finishedMs: null,
			numPreemptions: 0,
		};
		const unfinished = new Set(sequences);
		const state = { ...request, sequences, metrics, unfinished };
		this.#requests.set(requestId, { ...state, numStarted: 1 });
		this.#queue(sequences[0]);
		return metrics;
	}

	/** When its request came, in milliseconds; null once that is over. */
	arrivalMsOf({ requestId }: Sequence): number | null {
		return this.#requests.get(requestId)?.metrics.arrivalMs ?? null;
	}

	/** Ends a request now with what it has; unknown and finished ids are ignored. */
	abort(requestId: string): void {
		const request = this.#requests.get(requestId);
		if (request === undefined) return;
		this.#start(request);
		for (const seq of request.sequences) {
			if (seq.isFinished) continue;
			this.#parts.scheduler.finish(seq, "abort");
			this.#finished(request, seq);
		}
	}

	/** The next step computes some of a sequence's prompt; `isLast`: what was left of it. */
	prefilled(seq: Sequence, numTokens: number, isLast: boolean): void {
		this.#parts.counts.numPromptTokens += numTokens;
		const request = this.#requests.get(seq.requestId);
		if (request === undefined) return;
		request.metrics.firstScheduledMs ??= this.#parts.now();
		if (isLast && request.numStarted < request.sequences.length)
			this.#computed.push(request);
	}

	/** The step was submitted: sequences that waited for a prompt in it are queued. */
	submitted(): void {
		if (this.#computed.length === 0) return;
		for (const request of this.#computed.splice(0)) this.#start(request);
	}

	/** Logprobs of the prompt's token at a position. */
	scored(seq: Sequence, position: number, entries: readonly LogprobEntry[]) {
		this.#deliver(seq, (sink) => sink.onPromptLogprobs(position, entries));
	}

	/** A sequence's next token, and its end where that is one. */
	append(
		seq: Sequence,
		tokenId: number,
		logprobs: readonly LogprobEntry[] | null,
	): void {
		const { counts, now, observer, scheduler } = this.#parts;
		const { params, numPromptTokens } = seq;
		seq.appendToken(tokenId);
		observer()?.token(seq, tokenId);
		counts.numGenerationTokens++;
		const numOutput = seq.numTokens - numPromptTokens;
		const mayStop = numOutput >= params.minTokens;
		const isEos = mayStop && params.eosTokenIds.includes(tokenId);
		const isStop = isEos || (mayStop && params.stopTokenIds.includes(tokenId));
		this.#deliver(seq, (sink, { metrics }) => {
			if (metrics.firstTokenMs === null) metrics.firstTokenMs = now();
			const text = sink.onToken(seq, tokenId, isStop, logprobs);
			if (isStop) scheduler.finish(seq, "stop", isEos ? null : tokenId);
			else if (text !== null) scheduler.finish(seq, "stop", text);
			else if (numOutput >= params.maxOutputTokens)
				scheduler.finish(seq, "length");
		});
		if (seq.isFinished || seq.constraint === null) return;
		seq.constraint.accept(tokenId);
		this.masks.add(seq);
	}

	/** Fails the whole request of a sequence. */
	fail(seq: Sequence, error: NanoVllmError): void {
		const request = this.#requests.get(seq.requestId);
		if (request === undefined) return;
		this.#start(request);
		for (const each of request.sequences) {
			if (each.isFinished) continue;
			this.#parts.scheduler.fail(each, error);
			this.#finished(request, each);
		}
	}

	failAll(error: NanoVllmError): void {
		this.#computed.length = 0;
		for (const { sequences } of [...this.#requests.values()])
			this.fail(sequences[0], error);
	}

	/** Queues the sequences that wait for the first one's prompt. */
	#start(request: RequestState): void {
		while (request.numStarted < request.sequences.length)
			this.#queue(request.sequences[request.numStarted++]);
	}

	#queue(seq: Sequence): void {
		this.#parts.scheduler.add(seq);
		this.#parts.observer()?.arrived(seq);
	}

	/** Hands something to the sequence's sink and closes the books if that ended it. */
	#deliver(
		seq: Sequence,
		hand: (sink: RequestSink, request: RequestState) => void,
	): void {
		const request = this.#requests.get(seq.requestId);
		if (request === undefined || seq.isFinished) return;
		try {
			hand(request.sink, request);
		} catch (cause) {
			this.fail(seq, asNanoVllmError(cause, "a request's listener failed"));
			return;
		}
		if (seq.isFinished) this.#finished(request, seq);
	}

	/** Once per sequence: a sink that aborts its own request has closed the books already. */
	#finished(request: RequestState, seq: Sequence): void {
		const { metrics, unfinished } = request;
		if (!unfinished.delete(seq)) return;
		metrics.numPreemptions += seq.numPreemptions;
		this.masks.delete(seq);
		this.masks.stop();
		this.#parts.observer()?.ended(seq);
		seq.constraint?.dispose();
		if (unfinished.size === 0) {
			metrics.finishedMs = this.#parts.now();
			this.#requests.delete(request.requestId);
		}
		try {
			request.sink.onFinish(seq);
		} catch {
			// The request is over and its owner was told; there is nobody else to tell.
		}
	}
}
