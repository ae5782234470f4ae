/**
 * The workers of a job as one engine for run-batch: requests go to the work stream, answers come from the other one and are acknowledged
 * when they are on the disk. What the broker has of an earlier run is not asked again. Knows no files.
 */
import type { JsMsg } from "@nats-io/jetstream";
import type { BatchAnswer } from "../batch/records.ts";
import type { BatchRequest } from "../batch/request-line.ts";
import type { BatchEngine } from "../batch/run-batch.ts";
import type { NanoVllmError } from "../errors.ts";
import { Bodies } from "./bodies.ts";
import type { Broker } from "./broker.ts";
import { Durations } from "./hedge.ts";
import { announceJob } from "./job.ts";
import { cancelled, type JobRecord, parseJobRecord } from "./job-record.ts";
import { linesInside, makeStreams } from "./job-streams.ts";
import {
	type Asked,
	forget,
	hedge,
	objectOf,
	reconcile,
	type Watched,
} from "./lookout.ts";
import {
	brokerFailed,
	isFinalRefusal,
	type Persistence,
	pause,
	persist,
} from "./persist.ts";
import type { Fleet, Presence } from "./presence.ts";
import {
	answersStream,
	COLLECTOR,
	DURATION_HEADER,
	lineOf,
	SEQUENCES_HEADER,
	URL_HEADER,
	workSubject,
} from "./protocol.ts";
import { untilBroken, watchKeys, whileOpen } from "./watch.ts";

export interface CollectorOptions {
	readonly broker: Broker;
	readonly record: JobRecord;
	readonly fleet: Fleet;
	/** Whether a worker takes this job. */
	readonly takes: (presence: Presence) => boolean;
	/** Names this run: no other run of the job has it. */
	readonly runId: string;
	/** Lines whose answers are on the disk. */
	readonly isWritten: (line: number) => boolean;
	readonly now: () => number;
	/** Ends all waiting. */
	readonly signal: AbortSignal;
}

/** An answer that is not on the disk yet. */
interface Arrived {
	readonly message: JsMsg;
	readonly answer: BatchAnswer;
}

/** Sequences asked for at once: at least, and of what all workers would hold. */
const MIN_WINDOW = 1024;
const WINDOW_OF_CREDIT = 2;
/** Bytes of requests that are out. */
const MAX_WINDOW_BYTES = 64 * 2 ** 20;
const LOOK_MS = 500;
/** Without an answer for so long, what the broker has is compared with what was asked. */
const RECONCILE_MS = 30_000;
/** Answers on their way, each no longer than the server's largest message. */
const MAX_AHEAD = 256;

export class Collector implements BatchEngine {
	readonly #options: CollectorOptions;
	readonly #bodies: Bodies;
	readonly #asked = new Map<number, Asked>();
	readonly #arrived = new Map<number, Arrived>();
	/** What an earlier run asked. */
	readonly #inside = new Set<number>();
	readonly #durations = new Durations();
	readonly #ended = new AbortController();
	readonly #signal: AbortSignal;
	readonly #watched: Watched;
	readonly #tokens = { numPromptTokens: 0, numGenerationTokens: 0 };
	#numBytes = 0;
	#lastAnswerAt: number;
	#failure: NanoVllmError | null = null;

	private constructor(options: CollectorOptions) {
		const { broker, record, signal, now } = options;
		this.#options = options;
		this.#signal = AbortSignal.any([signal, this.#ended.signal]);
		this.#bodies = new Bodies(broker.nc, broker.js, record.job);
		this.#lastAnswerAt = now();
		this.#watched = {
			...options,
			asked: this.#asked,
			bodies: this.#bodies,
			medianMs: () => this.#durations.median,
			post: (asked, subject, id) => this.#post(asked, subject, id),
			sendAgain: (line) => void this.#send(line),
		};
	}

	/** @throws broker_failed */
	static async open(options: CollectorOptions): Promise<Collector> {
		const collector = new Collector(options);
		const { broker, record } = options;
		const { job } = record;
		try {
			await makeStreams(broker, record);
			await announceJob(broker, record);
			for (const line of await linesInside(broker, job))
				collector.#inside.add(line);
		} catch (error) {
			throw brokerFailed("the streams of the job", error);
		}
		const signal = collector.#signal;
		void watchKeys(broker.jobs, job, signal, ({ operation, value }) => {
			const text = new TextDecoder().decode(value);
			const now = operation === "PUT" ? parseJobRecord(text) : null;
			const isOurs = now?.createdAt === record.createdAt;
			if (isOurs && now?.state === "cancelled") collector.fail(cancelled(job));
		});
		void collector.#collect();
		void collector.#look();
		return collector;
	}

	get failure(): NanoVllmError | null {
		return this.#failure;
	}

	/** Of the answers that came. */
	stats(): { numPromptTokens: number; numGenerationTokens: number } {
		return { ...this.#tokens };
	}

	credit(): number {
		const { fleet, takes } = this.#options;
		if (this.#numBytes >= MAX_WINDOW_BYTES) return 0;
		const all = fleet.serving(takes).reduce((sum, w) => sum + w.credit, 0);
		return Math.max(MIN_WINDOW, WINDOW_OF_CREDIT * all);
	}

	answer(request: BatchRequest): Promise<BatchAnswer> {
		const { line } = request;
		const early = this.#arrived.get(line);
		if (early !== undefined) return Promise.resolve(early.answer);
		if (this.#failure !== null) return Promise.reject(this.#failure);
		return new Promise((resolve, reject) => {
			const isSent = this.#inside.delete(line);
			const since = this.#options.now();
			const fresh = { isSent, numSent: 0, sent: [], isHedged: false };
			this.#asked.set(line, {
				...{ line, request, since, resolve, reject },
				...fresh,
			});
			this.#numBytes += request.numBytes;
			if (!isSent) void this.#send(line);
		});
	}

	onWritten(line: number): void {
		const arrived = this.#arrived.get(line);
		this.#arrived.delete(line);
		if (arrived !== undefined) void this.#settle(arrived.message);
	}

	/** All that waits is told. */
	fail(error: NanoVllmError): void {
		this.#failure ??= error;
		this.#ended.abort(error);
		for (const { reject } of this.#asked.values()) reject(error);
		this.#asked.clear();
	}

	/** Waits for no more answers; the job goes on without it. */
	close(): void {
		this.#ended.abort();
	}

	async #send(line: number): Promise<void> {
		const asked = this.#asked.get(line);
		if (asked === undefined) return;
		const { record, runId } = this.#options;
		const subject = workSubject(record.job, line);
		const id = `${runId}.${line}.${asked.numSent++}`;
		try {
			await this.#post(asked, subject, id);
			asked.isSent = true;
		} catch (error) {
			if (!this.#signal.aborted) this.fail(brokerFailed("a request", error));
		}
	}

	async #post(asked: Asked, subject: string, id: string): Promise<void> {
		const { url, body, line, numSequences } = asked.request;
		const headers = {
			[URL_HEADER]: url,
			...(numSequences > 1 && { [SEQUENCES_HEADER]: `${numSequences}` }),
		};
		const objectName = objectOf(line);
		const letter = { subject, text: body, id, headers, objectName };
		const send = () => this.#bodies.send(letter);
		asked.sent.push(await persist(send, this.#insisting));
	}

	get #insisting(): Persistence {
		return { signal: this.#signal, isFinal: isFinalRefusal };
	}

	async #collect(): Promise<void> {
		const { js } = this.#options.broker;
		const { job } = this.#options.record;
		while (!this.#signal.aborted) {
			// null: the broker is away, or has lost its store: see #look
			const messages = await js.consumers
				.get(answersStream(job), COLLECTOR)
				.then((consumer) => consumer.consume({ max_messages: MAX_AHEAD }))
				.catch(() => null);
			if (messages !== null)
				await whileOpen(messages, this.#signal, async () => {
					for await (const message of untilBroken(messages))
						await this.#receive(message);
				});
			await pause(LOOK_MS, this.#signal);
		}
	}

	async #receive(message: JsMsg): Promise<void> {
		const line = lineOf(message.subject);
		this.#lastAnswerAt = this.#options.now();
		this.#durations.add(Number(message.headers?.get(DURATION_HEADER) || 0));
		const earlier = this.#arrived.get(line);
		if (earlier?.message.seq === message.seq) {
			this.#arrived.set(line, { ...earlier, message });
			return;
		}
		// Another copy of it, or its line was written by a run that died before it said so.
		if (earlier !== undefined || this.#options.isWritten(line))
			return this.#settle(message);
		const read = () => this.#bodies.read(message);
		try {
			const text = await persist(read, this.#insisting);
			const answer: BatchAnswer = JSON.parse(text);
			this.#count(answer);
			this.#arrived.set(line, { message, answer });
			this.#inside.delete(line);
			this.#resolve(line, answer);
		} catch (error) {
			if (!this.#signal.aborted) this.fail(brokerFailed("an answer", error));
		}
	}

	#resolve(line: number, answer: BatchAnswer): void {
		const asked = this.#asked.get(line);
		if (asked === undefined) return;
		this.#asked.delete(line);
		this.#numBytes -= asked.request.numBytes;
		void forget(this.#watched, asked);
		asked.resolve(answer);
	}

	#count({ response }: BatchAnswer): void {
		const body = response?.body as { usage?: Record<string, number> } | null;
		this.#tokens.numPromptTokens += body?.usage?.prompt_tokens ?? 0;
		this.#tokens.numGenerationTokens += body?.usage?.completion_tokens ?? 0;
	}

	/** The broker may forget it. Where that fails the answer comes again. */
	async #settle(message: JsMsg): Promise<void> {
		if (this.#options.broker.nc.isClosed()) return;
		message.ack();
		await this.#bodies.discard(message).catch(() => {});
	}

	/** Looks after what takes long. */
	async #look(): Promise<void> {
		const { now } = this.#options;
		let isSuspicious = false;
		void this.#watchConnection(() => {
			isSuspicious = true;
		});
		for (; !this.#signal.aborted; await pause(LOOK_MS, this.#signal)) {
			if (this.#asked.size === 0) continue;
			const isSilent = now() - this.#lastAnswerAt > RECONCILE_MS;
			try {
				if (isSuspicious || isSilent) {
					await reconcile(this.#watched);
					isSuspicious = false;
					this.#lastAnswerAt = now();
				}
				await hedge(this.#watched);
			} catch {
				// the broker is away: next time
			}
		}
	}

	async #watchConnection(onBack: () => void): Promise<void> {
		for await (const { type } of this.#options.broker.nc.status())
			if (type === "reconnect") onBack();
	}
}
