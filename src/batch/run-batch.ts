/**
 * Answers the lines of a batch file, each once: reads ahead, keeps the engine full, and hands answers to the journal. Knows no files, no
 * model, and not whether the engine is here or on other machines.
 */
import type { NanoVllmError } from "../errors.ts";
import { Journal, type Sink } from "./journal.ts";
import type { LineSet } from "./line-set.ts";
import type { Line } from "./lines.ts";
import { LookAhead, type LookAheadLimits } from "./look-ahead.ts";
import {
	type BatchAnswer,
	type BatchRecord,
	errorLine,
	isFailed,
	outputLine,
	recordId,
} from "./records.ts";
import {
	type BadLine,
	type BatchRequest,
	type ParsedLine,
	parseRequestLine,
} from "./request-line.ts";
import { SeenIds } from "./seen-ids.ts";

/** What answers. */
export interface BatchEngine {
	/**
	 * What goes wrong with a request is its answer too.
	 * @param id of the answer's record
	 * @throws why the run cannot go on
	 */
	answer(request: BatchRequest, id: string): Promise<BatchAnswer>;
	/** Sequences to have in its hands at once. */
	credit(): number;
	/** Why it cannot go on; null while it can. */
	readonly failure: NanoVllmError | null;
	/** The answer to this line would survive the machine. */
	onWritten?(line: number): void;
}

export interface BatchJob {
	/** Names input, model and options: see records.ts. */
	readonly jobId: string;
	readonly lines: AsyncIterable<Line>;
	/** Lines the output answers already, and those the errors file tells. Both grow. */
	readonly answered: LineSet;
	readonly reported: LineSet;
	readonly output: Sink;
	readonly errors: Sink;
	readonly engine: BatchEngine;
	readonly sleep: (ms: number) => Promise<void>;
	readonly signal: AbortSignal;
	readonly onProgress?: (progress: BatchProgress) => void;
}

export interface BatchProgress {
	/** Lines of the input that need nothing more, empty ones too. */
	readonly numLines: number;
	/** Of these, answered or refused before this run. */
	readonly numEarlier: number;
	/** Answered or refused in this run. */
	readonly numDone: number;
	/** Of those of this run. */
	readonly numFailed: number;
	/** Sequences in the engine's hands, and the most there were at once. */
	readonly numInFlight: number;
	readonly maxInFlight: number;
}

/** 512 requests to choose a neighbour from, unless they are large. */
const LOOK_AHEAD: LookAheadLimits = {
	maxRequests: 512,
	maxBytes: 32 * 2 ** 20,
	maxPassed: 1024,
};

/** @throws what stopped it: signal.reason, output_failed, the engine's failure; what was answered by then is written */
export async function runBatch(job: BatchJob): Promise<BatchProgress> {
	return new BatchRun(job).run();
}

class BatchRun {
	readonly #job: BatchJob;
	readonly #journal: Journal;
	readonly #ahead = new LookAhead(LOOK_AHEAD);
	readonly #seen = new SeenIds();
	readonly #counts = {
		numLines: 0,
		numEarlier: 0,
		numDone: 0,
		numFailed: 0,
		numInFlight: 0,
		maxInFlight: 0,
	};
	#failure: { readonly reason: unknown } | null = null;
	#isRead = false;
	#wake = () => {};

	constructor(job: BatchJob) {
		this.#job = job;
		this.#journal = new Journal({
			output: job.output,
			errors: job.errors,
			sleep: job.sleep,
			onWritten: () => this.#wake(),
			onFailed: (error) => this.#stop(error),
		});
	}

	async run(): Promise<BatchProgress> {
		const { signal, lines } = this.#job;
		const abort = () => this.#stop(signal.reason);
		signal.addEventListener("abort", abort, { once: true });
		if (signal.aborted) abort();
		const reading = lines[Symbol.asyncIterator]();
		try {
			await this.#feed(reading);
		} catch (error) {
			this.#stop(error);
		} finally {
			signal.removeEventListener("abort", abort);
			await reading.return?.();
		}
		await this.#journal.close();
		if (this.#failure !== null) throw this.#failure.reason;
		return { ...this.#counts };
	}

	#stop(reason: unknown): void {
		this.#failure ??= { reason };
		this.#wake();
	}

	async #feed(reading: AsyncIterator<Line>): Promise<void> {
		while (this.#failure === null) {
			const change = new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
			await this.#readAhead(reading);
			this.#start();
			if (this.#isRead && this.#ahead.size + this.#counts.numInFlight === 0)
				return;
			await change;
		}
	}

	async #readAhead(reading: AsyncIterator<Line>): Promise<void> {
		while (!this.#isRead && !this.#ahead.isFull && !this.#journal.isFull) {
			if (this.#failure !== null) return;
			const { value, done } = await reading.next();
			if (done) this.#isRead = true;
			else this.#read(value);
		}
	}

	#read({ number, numBytes, text }: Line): void {
		if (text === null) this.#refuse(unreadable(number), false);
		else if (text.trim() === "") this.#settled();
		else this.#sort(parseRequestLine(number, text, numBytes));
	}

	#sort(parsed: ParsedLine): void {
		const { line, customId } =
			parsed.kind === "bad" ? parsed.bad : parsed.request;
		const isOwner = customId !== null && this.#seen.add(customId);
		if (customId !== null && !isOwner)
			this.#refuse(duplicate(line, customId), false);
		else if (parsed.kind === "bad") this.#refuse(parsed.bad, isOwner);
		else if (this.#job.answered.has(line)) this.#passOver();
		else this.#ahead.add(parsed.request);
	}

	/** @param isOwner this line is the one that answers its id */
	#refuse({ line, customId, code, message }: BadLine, isOwner: boolean): void {
		const { answered, jobId, reported } = this.#job;
		const isKnown = (isOwner ? answered : reported).has(line);
		if (isKnown) this.#passOver();
		else {
			const id = recordId(jobId, line);
			const error = { code, message };
			const record = { id, custom_id: customId, response: null, error };
			this.#write(line, record, isOwner);
		}
	}

	/** A line that an earlier run has dealt with. */
	#passOver(): void {
		this.#counts.numEarlier++;
		this.#settled();
	}

	/** As many as the engine can use. One runs in any case. */
	#start(): void {
		const { numInFlight } = this.#counts;
		if (this.#failure !== null || this.#ahead.size === 0) return;
		let room = Math.max(this.#job.engine.credit() - numInFlight, 0);
		if (numInFlight === 0) room = Math.max(room, 1);
		while (room > 0 && !this.#journal.isFull) {
			const request = this.#ahead.take();
			if (request === undefined) return;
			room -= request.numSequences;
			void this.#answer(request);
		}
	}

	async #answer(request: BatchRequest): Promise<void> {
		const { engine, jobId } = this.#job;
		const counts = this.#counts;
		counts.numInFlight += request.numSequences;
		counts.maxInFlight = Math.max(counts.maxInFlight, counts.numInFlight);
		const id = recordId(jobId, request.line);
		try {
			const answer = await engine.answer(request, id);
			if (this.#failure !== null) return;
			if (engine.failure !== null) throw engine.failure;
			const { line, customId } = request;
			this.#write(line, { id, custom_id: customId, ...answer }, true, () =>
				engine.onWritten?.(line),
			);
		} catch (error) {
			this.#stop(error);
		} finally {
			counts.numInFlight -= request.numSequences;
			this.#wake();
		}
	}

	#write(
		line: number,
		record: BatchRecord,
		isOwner: boolean,
		onWritten?: () => void,
	): void {
		const { answered, reported } = this.#job;
		const hasFailed = isFailed(record);
		const tells = hasFailed && reported.add(line);
		if (isOwner) answered.add(line);
		this.#journal.add({
			output: isOwner ? outputLine(record) : null,
			error: tells ? errorLine(record, line) : null,
			onWritten,
		});
		this.#counts.numDone++;
		if (hasFailed) this.#counts.numFailed++;
		this.#settled();
	}

	#settled(): void {
		this.#counts.numLines++;
		this.#job.onProgress?.(this.#counts);
	}
}

const unreadable = (line: number): BadLine => ({
	line,
	customId: null,
	code: "invalid_line",
	message: "longer than a line may be (--max-body-bytes), or not UTF-8.",
});

const duplicate = (line: number, customId: string): BadLine => ({
	line,
	customId,
	code: "duplicate_custom_id",
	message: "an earlier line has this custom_id, and is answered.",
});
