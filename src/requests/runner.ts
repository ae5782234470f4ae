/**
 * Runs what calls ask for: compiles what constrains the requests, takes their adapters, queues them together, gathers what they become.
 * Knows the engine and the tokenizer, no model and no device.
 */
import type { SamplingParamsInput } from "../config.ts";
import type { Adapter } from "../engine/adapters.ts";
import type { LlmEngine } from "../engine/llm-engine.ts";
import {
	type CompletionDelta,
	createCollector,
	type RequestOutput,
} from "../engine/output.ts";
import type { LoraAdapters } from "../lora.ts";
import type { TokenizedPrompt } from "../prompt.ts";
import type { Grammar } from "../structured/grammars.ts";
import type { Structured } from "../structured/structured.ts";
import { afterThought } from "../structured/thought.ts";
import { createDetokenizer } from "../tokenizer/detokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { GenerateOptions, OneOrMany, RequestOptions } from "./options.ts";
import { createRelay } from "./relay.ts";
import {
	createSubmissions,
	labelled,
	type Submission,
	type SubmissionRules,
} from "./submission.ts";

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

export interface RunnerParts {
	readonly engine: LlmEngine;
	readonly rules: SubmissionRules;
	/** Opened by the first request that asks for a form. */
	readonly structured: () => Promise<Structured>;
	/** @throws invalid_option without room for adapters */
	readonly adapters: () => LoraAdapters;
	/** null where none is loaded. */
	readonly tokenizer: Tokenizer | null;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
}

export class RequestRunner {
	readonly #parts: RunnerParts;
	#numRequests = 0;

	constructor(parts: RunnerParts) {
		this.#parts = parts;
	}

	/** Every submission's grammar, or the first error and none. The caller releases them. */
	async #compile(
		submissions: readonly Submission[],
		signal: AbortSignal | undefined,
	): Promise<(Grammar | null)[]> {
		const structured = await this.#parts.structured();
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
				? await this.#parts.adapters().acquire(loraRequest, submissions.length)
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

	/** All prompts together; the outputs in their order. @throws signal.reason when aborted */
	async runAll<P>(
		list: readonly P[],
		tokenize: (prompt: P) => TokenizedPrompt,
		samplingParams: OneOrMany<SamplingParamsInput> | undefined,
		options: GenerateOptions,
	): Promise<RequestOutput[]> {
		const { signal, progress } = options;
		signal?.throwIfAborted();
		const start = this.#parts.now();
		const before = this.#parts.engine.stats();
		let numFinished = 0;
		let lastReport = start;
		const report = (always: boolean) => {
			const now = this.#parts.now();
			if (!always && now - lastReport < PROGRESS_INTERVAL_MS) return;
			lastReport = now;
			const stats = this.#parts.engine.stats();
			progress?.({
				numFinished,
				numRequests: list.length,
				numPromptTokens: stats.numPromptTokens - before.numPromptTokens,
				numGenerationTokens:
					stats.numGenerationTokens - before.numGenerationTokens,
				elapsedMs: now - start,
			});
		};
		const submissions = createSubmissions(
			list,
			tokenize,
			samplingParams,
			options,
			this.#parts.rules,
		);
		const started = await this.#submitAll(
			submissions,
			options,
			progress && (() => report(false)),
		);
		const stop = () => {
			for (const { requestId } of started) this.#parts.engine.abort(requestId);
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

	/** One prompt's deltas. Leaving the loop aborts the request. */
	async *stream(
		tokenize: () => TokenizedPrompt,
		samplingParams: SamplingParamsInput | undefined,
		options: RequestOptions,
	): AsyncGenerator<CompletionDelta, RequestOutput, void> {
		const { signal } = options;
		signal?.throwIfAborted();
		const submissions = createSubmissions(
			[null],
			tokenize,
			samplingParams,
			options,
			this.#parts.rules,
		);
		const deltas = createRelay<CompletionDelta>();
		const [{ requestId, done }] = await this.#submitAll(
			submissions,
			options,
			deltas.push,
		);
		const stop = () => this.#parts.engine.abort(requestId);
		signal?.addEventListener("abort", stop, { once: true });
		try {
			return yield* deltas.read(done, signal);
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
		const { tokenizer } = this.#parts;
		const { tokenIds: promptTokenIds, text } = prompt;
		const { skipSpecialTokens } = params;
		const { priority, cacheSalt, thought } = manner;
		const createTextStream =
			tokenizer !== null && params.detokenize
				? () =>
						createDetokenizer(tokenizer, { skipSpecialTokens, promptTokenIds })
				: null;
		const done = new Promise<RequestOutput>((resolve, reject) => {
			const metrics = this.#parts.engine.add({
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
		const release = () => adapter && this.#parts.adapters().release(adapter);
		done.then(release, release); // an error is heard where it is awaited
		return { requestId, done };
	}
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

/** Every result, or the first error once all have ended. */
function unwrap<T>(results: readonly PromiseSettledResult<T>[]): T[] {
	return results.map((result) => {
		if (result.status === "rejected") throw result.reason;
		return result.value;
	});
}
