/**
 * A worker: looks at the jobs there are, takes those its model can answer, and keeps its engine as full as that likes to be, every job with
 * an equal share. Knows no Node and no model: a browser's connection and engine do as well.
 */
import type { NanoVllmError } from "../errors.ts";
import type { Broker } from "./broker.ts";
import {
	type EngineChoices,
	type JobRecord,
	mismatch,
	parseJobRecord,
	type Served,
} from "./job-record.ts";
import { pause } from "./persist.ts";
import {
	PRESENCE_EVERY_MS,
	type Presence,
	type WorkerAbout,
} from "./presence.ts";
import { dropSubject } from "./protocol.ts";
import { watchKeys } from "./watch.ts";
import { type Answering, WorkerJob } from "./worker-job.ts";

export interface WorkerEngine {
	readonly served: Served;
	/** Sequences to have in hand at once: see batch/credit.ts. */
	credit(): number;
	/** Why it cannot go on; null while it can. */
	readonly failure: NanoVllmError | null;
	/** How one job's bodies are answered. @throws invalid_option where it cannot be as the job wants */
	open(answers: EngineChoices): Answering;
}

export interface WorkerOptions {
	readonly broker: Broker;
	readonly engine: WorkerEngine;
	/** Letters, digits, "-" and "_": no other worker has it. */
	readonly id: string;
	readonly about: WorkerAbout;
	readonly log: (message: string) => void;
	readonly now: () => number;
}

/** How long a worker waits at a job that has nothing, before it asks again. */
const PROBE_MS = 5000;
/** Of its credit, what a worker takes at once beyond what it has answered: so that workers who begin together get alike. */
const SHARE_AT_ONCE = 1 / 8;
/** Between two tellings, whatever happens. */
const MIN_TELL_MS = 500;
/** What a server that is away is waited for at the end. */
const FLUSH_MS = 5000;
/** Credit can grow without an answer, as blocks are freed. */
const LOOK_MS = 100;

export class Worker {
	readonly #options: WorkerOptions;
	readonly #jobs = new Map<string, WorkerJob>();
	readonly #refused = new Map<string, string>();
	/** Ends the watch of jobs, the presence and the loop. */
	readonly #left = new AbortController();
	/** The job that is asked first next time. */
	#turn = 0;
	#numAnswered = 0;
	#isStopping = false;
	#isIdle = true;
	#wake = () => {};
	/** Tells what it does without waiting for its time. */
	#hurry = () => {};

	constructor(options: WorkerOptions) {
		this.#options = options;
	}

	get numAnswered(): number {
		return this.#numAnswered;
	}

	/**
	 * Until `signal`, then what runs gets `graceMs` to end, and the rest is given back.
	 * @throws the engine's failure; what it held is given back
	 */
	async run(signal: AbortSignal, graceMs: () => number): Promise<void> {
		const { broker, engine } = this.#options;
		const { signal: left } = this.#left;
		const drops = broker.nc.subscribe(dropSubject("*"), {
			callback: (_error, { subject, data }) => {
				const job = this.#jobs.get(subject.split(".")[2]);
				job?.drop(Number(new TextDecoder().decode(data)));
			},
		});
		void watchKeys(broker.jobs, "*", left, ({ key, operation, value }) => {
			const text = new TextDecoder().decode(value);
			this.#look(key, operation === "PUT" ? parseJobRecord(text) : null);
		});
		const presence = this.#tell();
		const stop = () => this.#wake();
		signal.addEventListener("abort", stop);
		await this.#loop(() => signal.aborted || engine.failure !== null);
		await this.#stop(engine.failure === null ? graceMs : () => 0);
		signal.removeEventListener("abort", stop);
		this.#left.abort();
		drops.unsubscribe();
		await presence;
		if (engine.failure !== null) throw engine.failure;
	}

	/** A job's record as it is now; null: there is none. */
	#look(name: string, record: JobRecord | null): void {
		const known = this.#jobs.get(name);
		const isOn = record?.state === "running" && !this.#isStopping;
		if (isOn && known?.record.createdAt === record.createdAt) return;
		if (known !== undefined) {
			this.#jobs.delete(name);
			void known.end();
			this.#options.log(`job ${name}: ${record?.state ?? "gone"}`);
		}
		this.#refused.delete(name);
		if (isOn) this.#take(record);
		this.#wake();
	}

	#take(record: JobRecord): void {
		const { broker, engine, id, log, now } = this.#options;
		const { job } = record;
		const reason = mismatch(record, engine.served);
		try {
			if (reason !== null) throw new Error(reason);
			const host = {
				broker,
				workerId: id,
				now,
				hasFailed: () => engine.failure !== null,
				onAnswered: () => void this.#numAnswered++,
				onChange: () => this.#wake(),
				onTrouble: log,
			};
			const answer = engine.open(record.answers);
			this.#jobs.set(job, new WorkerJob(host, record, answer));
			log(`job ${job}: taking requests`);
		} catch (error) {
			const { message } = error as Error;
			this.#refused.set(job, message);
			log(`job ${job}: left to others, ${message}`);
		}
	}

	async #loop(isOver: () => boolean): Promise<void> {
		while (!isOver()) {
			const change = new AbortController();
			this.#wake = () => change.abort();
			this.#fill();
			await pause(LOOK_MS, change.signal);
		}
	}

	#fill(): void {
		const jobs = [...this.#jobs.values()];
		this.#heedIdleness(jobs.every((job) => job.numSequences === 0));
		const suspected = jobs.find((job) => job.numSuspects > 0);
		if (suspected !== undefined) {
			if (jobs.every((job) => job.numRunning === 0)) void suspected.workAlone();
			return;
		}
		const credit = this.#options.engine.credit();
		let room = credit - sum(jobs, (job) => job.numSequences + job.numAsked);
		if (jobs.every((job) => job.numSequences === 0)) room = Math.max(room, 1);
		const numFlowing = jobs.filter((job) => !job.isDry).length;
		const quota = Math.max(1, Math.ceil(credit / Math.max(1, numFlowing)));
		const most = Math.max(1, Math.ceil(credit * SHARE_AT_ONCE));
		this.#turn++;
		for (let i = 0; i < jobs.length && room > 0; i++) {
			const job = jobs[(this.#turn + i) % jobs.length];
			if (job.isPulling) continue;
			if (job.isDry) {
				void job.pull(1, PROBE_MS);
				continue;
			}
			const atOnce = Math.max(most, job.numEnded);
			const batch = Math.min(room, quota - job.numSequences, atOnce);
			if (batch <= 0) continue;
			room -= batch;
			void job.pull(batch, 0);
		}
	}

	/** Who stands idle gets what others are late with: that is told at once. */
	#heedIdleness(isIdle: boolean): void {
		if (isIdle === this.#isIdle) return;
		this.#isIdle = isIdle;
		this.#hurry();
	}

	async #stop(graceMs: () => number): Promise<void> {
		this.#isStopping = true;
		const { log, now, broker } = this.#options;
		const jobs = [...this.#jobs.values()];
		await Promise.all(jobs.map((job) => job.close()));
		const never = new AbortController();
		const numLeft = () => sum(jobs, (job) => job.numRunning);
		const begin = now();
		if (numLeft() > 0 && graceMs() > 0) log(`finishing ${numLeft()} requests`);
		while (numLeft() > 0 && now() - begin < graceMs())
			await pause(LOOK_MS, never.signal);
		if (numLeft() > 0) log(`giving ${numLeft()} requests back`);
		for (const job of jobs) job.giveBack();
		await flushed(broker);
	}

	/** Says what it is and does until it leaves. */
	async #tell(): Promise<void> {
		const { broker, engine, id, about } = this.#options;
		const { signal } = this.#left;
		while (!signal.aborted) {
			const presence: Presence = {
				...about,
				id,
				served: engine.served,
				credit: engine.credit(),
				numInFlight: sum([...this.#jobs.values()], (job) => job.numSequences),
				numAnswered: this.#numAnswered,
				refused: Object.fromEntries(this.#refused),
			};
			// While the broker is away there is nobody to tell.
			await broker.workers.put(id, JSON.stringify(presence)).catch(() => {});
			await pause(MIN_TELL_MS, signal);
			const isToldAs = presence.numInFlight === 0;
			if (isToldAs !== this.#isIdle) continue;
			const hurried = new AbortController();
			this.#hurry = () => hurried.abort();
			const due = AbortSignal.any([signal, hurried.signal]);
			await pause(PRESENCE_EVERY_MS - MIN_TELL_MS, due);
		}
		// Where the broker is away, what was said of this worker fades by itself.
		await broker.workers.delete(id).catch(() => {});
	}
}

/** What was said has been heard, or there is nobody to hear it. */
async function flushed({ nc }: Broker): Promise<void> {
	if (nc.isClosed()) return;
	const enough = new AbortController();
	const heard = nc.flush().finally(() => enough.abort());
	await Promise.race([heard, pause(FLUSH_MS, enough.signal)]);
}

const sum = <T>(all: readonly T[], of: (each: T) => number): number =>
	all.reduce((total, each) => total + of(each), 0);
