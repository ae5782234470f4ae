/**
 * The step loop: schedule, pack, submit, read, hand tokens out. Knows requests as token ids; what they are told is request-book.ts's.
 * Where the backend can, step n+1 is scheduled and submitted while step n runs, and ids are read one step late (vLLM's async
 * scheduling): a row of a sequence that turned out finished is dropped.
 */
import type { Executable, StepOutput } from "../backends/backend.ts";
import { asNanoVllmError, assert, NanoVllmError } from "../errors.ts";
import { type Adapter, AdapterSlots } from "./adapters.ts";
import { createPacker, type PackedStep } from "./batch.ts";
import { BlockManager } from "./block-manager.ts";
import { type EngineStats, engineStats, StepCounts } from "./engine-stats.ts";
import type { EngineListener, SnapshotEvent } from "./events.ts";
import { newSequences } from "./new-sequences.ts";
import { Observer } from "./observer.ts";
import type { EngineRequest, RequestMetrics } from "./request.ts";
import { RequestBook } from "./request-book.ts";
import { logprobsOf, rowError } from "./row-results.ts";
import { SaltedRoots } from "./salted-roots.ts";
import { Scheduler } from "./scheduler.ts";
import type { StepRow } from "./sequence.ts";
import { type Observed, takeSnapshot } from "./snapshot.ts";
import { StepGate, type StepWaiter } from "./step-gate.ts";

export interface LlmEngineConfig {
	readonly blockSize: number;
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	readonly enablePrefixCaching: boolean;
	readonly enableChunkedPrefill: boolean;
	readonly asyncScheduling: boolean;
	readonly seed: number;
	readonly vocabSize: number;
	/** Adapters that may run in one step; absent: the program has no room for any. */
	readonly maxLoras?: number;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
	/** Lets timers, sockets and signals run between steps of a backend that computes on this thread. */
	readonly yieldToEventLoop: () => Promise<void>;
}

interface Flight {
	readonly step: number;
	/** Who asked for this step of a paused engine. */
	readonly waiter: StepWaiter | null;
	readonly rows: readonly StepRow[];
	readonly output: Promise<StepOutput>;
}

export class LlmEngine {
	readonly #config: LlmEngineConfig;
	readonly #executable: Executable;
	readonly #blocks: BlockManager;
	readonly #adapters: AdapterSlots;
	readonly #salts: SaltedRoots;
	readonly #scheduler: Scheduler;
	readonly #pack: ReturnType<typeof createPacker>;
	readonly #book: RequestBook;
	readonly #gate = new StepGate();
	/** What it is that listeners are told about. */
	readonly #observed: Observed;
	/** null: nobody listens. */
	#observer: Observer | null = null;
	#loop: Promise<void> | null = null;
	/** Why no request is taken any more; null while open. */
	#closed: NanoVllmError | null = null;
	#numArrivals = 0;
	readonly #counts = new StepCounts();

	constructor(executable: Executable, config: LlmEngineConfig) {
		this.#config = config;
		this.#executable = executable;
		this.#blocks = new BlockManager(
			executable.numBlocks,
			config.blockSize,
			config,
		);
		this.#adapters = new AdapterSlots(config.maxLoras ?? 0);
		this.#salts = new SaltedRoots(executable.numBlocks);
		this.#scheduler = new Scheduler(config, this.#blocks, this.#adapters);
		this.#pack = createPacker(config, (it) => this.#adapters.slotOf(it));
		this.#book = new RequestBook({
			scheduler: this.#scheduler,
			counts: this.#counts,
			observer: () => this.#observer,
			now: config.now,
		});
		this.#observed = this.#whatIsObserved();
	}

	/** Queues a request and starts the loop if it rests. Prompt and parameters are checked by the caller. @throws engine_closed */
	add(request: EngineRequest): RequestMetrics {
		if (this.#closed !== null) throw this.#closed;
		const { adapter = null, cacheSalt = null } = request;
		const saltedRoot =
			cacheSalt === null ? null : this.#salts.rootOf(adapter, cacheSalt);
		const { seed } = this.#config;
		const arrival = this.#numArrivals;
		const sequences = newSequences(request, arrival, saltedRoot, seed);
		this.#numArrivals += sequences.length;
		const metrics = this.#book.add(request, sequences);
		this.#loop ??= this.#run();
		this.#book.masks.stop();
		return metrics;
	}

	/** Ends a request now with what it has; unknown and finished ids are ignored. */
	abort(requestId: string): void {
		this.#book.abort(requestId);
	}

	/** Tells a listener everything as it is, then what changes. One that throws is dropped. @returns a function that ends it */
	observe(listener: EngineListener): () => void {
		this.#observer ??= new Observer(this.#observed, () => {
			this.#observer = null;
		});
		return this.#observer.add(listener);
	}

	/** Everything as it is, in the words of events.ts. */
	snapshot(): SnapshotEvent {
		return takeSnapshot(this.#observed);
	}

	get isPaused(): boolean {
		return this.#gate.isShut;
	}

	/** Schedules nothing more; requests are taken and wait. Resolves when no step runs. */
	async pause(): Promise<void> {
		if (!this.#gate.isShut) {
			this.#gate.shut();
			this.#observer?.paused(true);
		}
		if (this.#loop === null) return;
		const rest = this.#gate.rest();
		this.#book.masks.stop();
		await rest;
	}

	resume(): void {
		if (!this.#gate.isShut) return;
		this.#gate.open();
		this.#observer?.paused(false);
		this.#book.masks.stop();
	}

	/** Runs one step of a paused engine. Resolves when its results were read, at once where there is nothing to run. @throws not_paused, and why a step failed */
	async step(): Promise<void> {
		if (this.#closed !== null) throw this.#closed;
		if (!this.#gate.isShut)
			throw new NanoVllmError(
				"not_paused",
				"step runs one step of a paused engine, and this one runs by itself. Call pause first.",
			);
		if (this.#loop === null) return;
		const accepted = this.#gate.step();
		this.#book.masks.stop();
		await accepted;
	}

	stats(): EngineStats {
		return engineStats(this.#counts, this.#scheduler, this.#blocks);
	}

	/** Why no request is taken any more: the engine was closed, or a step failed; null while all is well. */
	get failure(): NanoVllmError | null {
		return this.#closed;
	}

	resetPrefixCache(): void {
		this.#blocks.resetPrefixCache();
		this.#observer?.refresh();
	}

	/** An adapter that no request uses any more leaves its slot. */
	forgetAdapter(adapter: Adapter): void {
		this.#adapters.forget(adapter);
	}

	/** Fails what is running, lets the step in flight end, and frees the device. */
	async close(): Promise<void> {
		this.#closed ??= new NanoVllmError(
			"engine_closed",
			"the engine was closed. Load the model again.",
		);
		this.#book.failAll(this.#closed);
		await this.#loop;
		await this.#executable.close();
	}

	#whatIsObserved(): Observed {
		const { numBlocks } = this.#executable;
		const config = this.#config;
		return {
			info: {
				blockSize: config.blockSize,
				numBlocks,
				maxNumSeqs: config.maxNumSeqs,
				maxNumBatchedTokens: config.maxNumBatchedTokens,
				enablePrefixCaching: config.enablePrefixCaching,
				enableChunkedPrefill: config.enableChunkedPrefill,
				overlaps: this.#overlaps,
			},
			blocks: this.#blocks,
			scheduler: this.#scheduler,
			now: config.now,
			arrivalMsOf: (seq) => this.#book.arrivalMsOf(seq) ?? config.now(),
			progress: () => ({
				numSteps: this.#counts.numSteps,
				isPaused: this.#gate.isShut,
				numPromptTokens: this.#counts.numPromptTokens,
				numGenerationTokens: this.#counts.numGenerationTokens,
			}),
		};
	}

	get #overlaps(): boolean {
		return this.#config.asyncScheduling && this.#executable.overlaps;
	}

	async #run(): Promise<void> {
		const overlap = this.#overlaps;
		let flight: Flight | null = null;
		try {
			await null; // so that requests added together share the first step
			for (;;) {
				if (flight !== null && this.#book.masks.size > 0)
					await Promise.race([this.#book.masks.next(), settled(flight.output)]);
				const step = this.#gate.letsThrough ? this.#prepare() : null;
				for (const { slot, adapter } of this.#adapters.takeWrites())
					await this.#executable.writeAdapter(slot, adapter.weights);
				const next = step && this.#launch(step);
				if (next === null && flight === null) {
					if (this.#book.size === 0) break;
					if (!this.#gate.letsThrough) this.#gate.rests();
					else if (this.#book.masks.size === 0) break;
					await this.#book.masks.next();
					continue;
				}
				const due: Flight | null = overlap ? flight : next;
				flight = overlap ? next : null;
				if (due !== null) this.#accept(due, await due.output);
				if (!this.#executable.overlaps) await this.#config.yieldToEventLoop();
			}
			assert(this.#book.size === 0, "an idle engine has no unfinished request");
			this.#scheduler.checkIntegrity();
			this.#salts.checkIntegrity();
		} catch (cause) {
			await flight?.output.catch(() => {});
			this.#observer?.submitted();
			this.#closed = asNanoVllmError(cause, "a step failed");
			this.#book.failAll(this.#closed);
		} finally {
			this.#loop = null;
			this.#gate.ended(this.#closed);
		}
	}

	/** Schedules and packs one step; null where there is nothing to run now. */
	#prepare(): PackedStep | null {
		this.#observer?.scheduling();
		const batch = this.#scheduler.schedule();
		if (batch === null) {
			this.#observer?.scheduledNothing();
			return null;
		}
		this.#counts.count(batch);
		for (const { seq, start, numTokens, samples } of batch.scheduled) {
			const prompt = Math.min(numTokens, seq.numPromptTokens - start);
			if (prompt > 0) this.#book.prefilled(seq, prompt, samples);
		}
		this.#observer?.scheduled(batch);
		return this.#pack(batch);
	}

	#launch({ input, rows }: PackedStep): Flight {
		const output = this.#executable.submit(input);
		output.catch(() => {}); // heard where it is awaited
		this.#observer?.submitted();
		this.#book.submitted();
		return {
			step: this.#counts.numSteps,
			waiter: this.#gate.begin(),
			rows,
			output,
		};
	}

	#accept({ step, waiter, rows }: Flight, output: StepOutput): void {
		const observer = this.#observer;
		observer?.accepting(step);
		this.#acceptRows(rows, output);
		observer?.accepted();
		if (this.#observer !== observer) this.#observer?.refresh();
		this.#gate.accepted(waiter);
	}

	#acceptRows(rows: readonly StepRow[], output: StepOutput): void {
		const numSampleRows = output.tokenIds.length;
		for (let r = numSampleRows; r < rows.length; r++) {
			const { seq, position } = rows[r];
			const entries = logprobsOf(output.logprobs, r) ?? [];
			const failure = output.failedRows.get(r);
			if (failure !== undefined) this.#book.fail(seq, rowError(failure));
			else this.#book.scored(seq, position, entries);
		}
		for (let r = 0; r < numSampleRows; r++) {
			const { seq } = rows[r];
			if (seq.pendingRow === rows[r]) seq.pendingRow = null;
			if (seq.isFinished) continue;
			const failure = output.failedRows.get(r);
			if (failure !== undefined) this.#book.fail(seq, rowError(failure));
			else
				this.#book.append(
					seq,
					output.tokenIds[r],
					logprobsOf(output.logprobs, r),
				);
		}
	}
}

/** Resolves when the promise is settled, however. */
async function settled(promise: Promise<unknown>): Promise<void> {
	await promise.catch(() => {});
}
