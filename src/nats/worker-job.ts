/**
 * One job at a worker: requests that were delivered are answered, acknowledged once the broker has the answer, and said to be worked on
 * meanwhile. One that has been delivered again and again may be what kills workers: it runs alone, and is given up in the end.
 */
import type { Question } from "../batch/ask.ts";
import { type BatchAnswer, recordId } from "../batch/records.ts";
import { NanoVllmError } from "../errors.ts";
import { Bodies } from "./bodies.ts";
import type { Broker } from "./broker.ts";
import type { JobRecord } from "./job-record.ts";
import { persist } from "./persist.ts";
import {
	answerSubject,
	DURATION_HEADER,
	SEQUENCES_HEADER,
	URL_HEADER,
	WORKER_HEADER,
} from "./protocol.ts";
import { type Delivery, Puller } from "./pull.ts";

export type Answering = (
	question: Question,
	id: string,
	signal: AbortSignal,
) => Promise<BatchAnswer>;

/** What a job needs of its worker. */
export interface JobHost {
	readonly broker: Broker;
	readonly workerId: string;
	readonly now: () => number;
	/** Whether its engine can go on; if not, what it says is no answer. */
	hasFailed(): boolean;
	onAnswered(): void;
	/** There may be room, or work. */
	onChange(): void;
	/** A request was left to others for want of an answer. */
	onTrouble(message: string): void;
}

interface Held {
	/** The last one: it is this that is acknowledged. */
	delivery: Delivery;
	/** In the engine's hands: none once it has answered. */
	numSequences: number;
	readonly controller: AbortController;
}

/** Deliveries after which a request is suspected, and runs alone: one worker may die of anything. */
export const MAX_IN_COMPANY = 2;
/** A copy of what this very worker has in hand: time for another to ask for it. */
const NOT_TWICE_MS = 200;
const AFTER_TROUBLE_MS = 2000;
/** Messages known to be answered, should their acknowledgement be lost. */
const MAX_REMEMBERED = 10_000;

export class WorkerJob {
	readonly record: JobRecord;
	/** The last pull brought less than it asked for. */
	isDry = false;
	readonly #host: JobHost;
	readonly #answer: Answering;
	readonly #bodies: Bodies;
	readonly #puller: Puller;
	readonly #held = new Map<number, Held>();
	readonly #suspects: Held[] = [];
	readonly #answered = new Set<string>();
	readonly #heartbeat: ReturnType<typeof setInterval>;
	#numSequences = 0;
	#numEnded = 0;
	#isClosing = false;

	constructor(host: JobHost, record: JobRecord, answer: Answering) {
		const { nc, js } = host.broker;
		this.#host = host;
		this.record = record;
		this.#answer = answer;
		this.#bodies = new Bodies(nc, js, record.job);
		this.#puller = new Puller(nc, record.job, (each) => this.#receive(each));
		this.#heartbeat = setInterval(() => {
			for (const { delivery } of this.#held.values()) delivery.working();
		}, record.ackWaitMs / 3);
	}

	get isPulling(): boolean {
		return this.#puller.isPulling;
	}

	/** Sequences in hand, and requests that may still come of the last pull. */
	get numSequences(): number {
		return this.#numSequences;
	}
	get numAsked(): number {
		return this.isDry ? 0 : this.#puller.numAsked;
	}

	/** Requests that ended since the last pull began. */
	get numEnded(): number {
		return this.#numEnded;
	}

	get numRunning(): number {
		return this.#held.size - this.#suspects.length;
	}
	get numSuspects(): number {
		return this.#suspects.length;
	}

	async pull(batch: number, waitMs: number): Promise<void> {
		this.#numEnded = 0;
		const numCame = await this.#puller.pull(batch, waitMs);
		this.isDry = numCame < batch;
		this.#host.onChange();
	}

	/** Nobody waits for this line any more. */
	drop(line: number): void {
		const held = this.#held.get(line);
		if (held === undefined) return;
		held.delivery.ack();
		held.controller.abort();
	}

	/** Takes no more; resolves when what was on its way is given back, with what runs still running. */
	async close(): Promise<void> {
		this.#isClosing = true;
		for (const held of this.#suspects.splice(0)) {
			held.delivery.giveBack();
			this.#forget(held);
		}
		await this.#puller.close();
		this.#stopHeartbeat();
	}

	/** What runs is stopped; others get it at once. */
	giveBack(): void {
		for (const { delivery } of this.#held.values()) delivery.giveBack();
		this.#abandon();
	}

	/** The job is over: what runs is stopped, and nobody is told. */
	async end(): Promise<void> {
		this.#abandon();
		await this.close();
	}

	#abandon(): void {
		for (const { controller } of this.#held.values()) controller.abort();
		this.#suspects.length = 0;
		this.#held.clear();
		this.#numSequences = 0;
		this.#stopHeartbeat();
	}

	#receive(delivery: Delivery): void {
		const { line, id } = delivery;
		const own = this.#held.get(line);
		if (this.#isClosing) delivery.giveBack();
		else if (this.#answered.has(id)) delivery.ack();
		else if (own === undefined) this.#hold(delivery);
		else if (own.delivery.id === id) own.delivery = delivery;
		else delivery.giveBack(NOT_TWICE_MS);
	}

	#hold(delivery: Delivery): void {
		const { headers } = delivery.message;
		const numSequences = Number(headers?.get(SEQUENCES_HEADER) || 1);
		const held = { delivery, numSequences, controller: new AbortController() };
		this.#held.set(delivery.line, held);
		this.#numSequences += numSequences;
		if (delivery.numDeliveries > MAX_IN_COMPANY) this.#suspects.push(held);
		else void this.#work(held);
		this.#host.onChange();
	}

	/** @returns whether it is answered */
	async #work(held: Held): Promise<boolean> {
		const { line, message } = held.delivery;
		const { signal } = held.controller;
		const { now, hasFailed, onTrouble } = this.#host;
		const startedAt = now();
		try {
			const body = await persist(() => this.#bodies.read(message), {
				signal,
				isFinal: (error) => error instanceof NanoVllmError,
			});
			const url = (message.headers?.get(URL_HEADER) ?? "") as Question["url"];
			const id = recordId(this.record.jobId, line);
			const answer = await this.#answer({ url, body }, id, signal);
			if (signal.aborted || hasFailed()) return false;
			this.#release(held);
			await this.#send(held, answer, now() - startedAt);
			return true;
		} catch (error) {
			if (signal.aborted) return false;
			held.delivery.giveBack(AFTER_TROUBLE_MS);
			onTrouble(`line ${line} of ${this.record.job}: ${error}`);
			return false;
		} finally {
			if (!hasFailed()) this.#forget(held);
		}
	}

	/** Until the broker has it; a worker that is cut off says it when it is back. */
	async #send(held: Held, answer: BatchAnswer, ms: number): Promise<void> {
		const { line, id } = held.delivery;
		const { workerId } = this.#host;
		const letter = {
			subject: answerSubject(this.record.job, line),
			text: JSON.stringify(answer),
			id,
			headers: {
				[WORKER_HEADER]: workerId,
				[DURATION_HEADER]: ms.toFixed(0),
			},
			objectName: `answer.${line}.${workerId}`,
		};
		const { signal } = held.controller;
		await persist(() => this.#bodies.send(letter), { signal });
		held.delivery.ack();
		this.#remember(id);
		this.#host.onAnswered();
	}

	/** The next suspect; nothing else must run. */
	async workAlone(): Promise<void> {
		const held = this.#suspects.shift();
		if (held === undefined) return;
		const { tries } = this.#host.broker;
		const { jobId, maxDeliveries } = this.record;
		const key = `${jobId}.${held.delivery.line}`;
		const { signal } = held.controller;
		const insist = <T>(attempt: () => Promise<T>) =>
			persist(attempt, { signal });
		try {
			const entry = await insist(() => tries.get(key));
			const before = entry?.operation === "PUT" ? Number(entry.string()) : 0;
			if (MAX_IN_COMPANY + before >= maxDeliveries) {
				await this.#send(held, givenUp(maxDeliveries), 0);
				this.#forget(held);
				await insist(() => tries.purge(key));
				return;
			}
			await insist(() => tries.put(key, `${before + 1}`));
			const isAnswered = await this.#work(held);
			// Still alive, so it was not this request.
			if (isAnswered) await insist(() => tries.purge(key));
			else await tries.put(key, `${before}`);
		} catch {
			// Its signal, or a broker that is away: it is delivered again.
			this.#forget(held);
		}
	}

	#remember(id: string): void {
		this.#answered.add(id);
		if (this.#answered.size <= MAX_REMEMBERED) return;
		for (const oldest of this.#answered) {
			this.#answered.delete(oldest);
			return;
		}
	}

	#forget(held: Held): void {
		const { line } = held.delivery;
		if (this.#held.get(line) !== held) return;
		this.#held.delete(line);
		this.#release(held);
		this.#stopHeartbeat();
	}

	/** There is room in the engine; its answer may be on its way still. */
	#release(held: Held): void {
		if (held.numSequences > 0) this.#numEnded++;
		this.#numSequences -= held.numSequences;
		held.numSequences = 0;
		this.#host.onChange();
	}

	#stopHeartbeat(): void {
		if (this.#isClosing && this.#held.size === 0)
			clearInterval(this.#heartbeat);
	}
}

const givenUp = (maxDeliveries: number): BatchAnswer => ({
	response: null,
	error: {
		code: "max_deliveries",
		message: `${maxDeliveries} workers ended, or were lost, while they had this request; it is not tried again.`,
	},
});
