/** What the collector sees to while it waits: requests the broker has lost, requests that are late, and what is left of those answered. */
import type { BatchAnswer } from "../batch/records.ts";
import type { BatchRequest } from "../batch/request-line.ts";
import type { Bodies, Sent } from "./bodies.ts";
import type { Broker } from "./broker.ts";
import { type Outstanding, toHedge } from "./hedge.ts";
import { announceJob } from "./job.ts";
import type { JobRecord } from "./job-record.ts";
import { linesInside, makeStreams } from "./job-streams.ts";
import type { Fleet, Presence } from "./presence.ts";
import { dropSubject, hedgeSubject, WORKERS, workStream } from "./protocol.ts";

/** A request that has no answer. */
export interface Asked extends Outstanding {
	readonly request: BatchRequest;
	/** How often it was sent, should the broker lose it. */
	numSent: number;
	/** The broker has it. */
	isSent: boolean;
	/** Messages that ask it, as far as this run sent them. */
	readonly sent: Sent[];
	readonly resolve: (answer: BatchAnswer) => void;
	readonly reject: (error: unknown) => void;
}

export interface Watched {
	readonly broker: Broker;
	readonly record: JobRecord;
	readonly fleet: Fleet;
	readonly takes: (presence: Presence) => boolean;
	readonly runId: string;
	readonly now: () => number;
	readonly asked: ReadonlyMap<number, Asked>;
	readonly bodies: Bodies;
	/** How long a worker takes for an answer, in the middle. */
	medianMs(): number | null;
	post(asked: Asked, subject: string, id: string): Promise<void>;
	sendAgain(line: number): void;
}

/** A broker that came back may have lost what it had: that is asked again. */
export async function reconcile(watched: Watched): Promise<void> {
	const { asked, broker, record, sendAgain } = watched;
	const sent = sentOf(asked);
	const entry = await broker.jobs.get(record.job);
	if (entry?.operation !== "PUT") await announceJob(broker, record);
	await makeStreams(broker, record);
	const inside = await linesInside(broker, record.job);
	for (const each of sent) {
		if (inside.has(each.line) || !asked.has(each.line)) continue;
		each.isSent = false;
		sendAgain(each.line);
	}
}

/** Late ones go to workers who have nothing else to do. */
export async function hedge(watched: Watched): Promise<void> {
	const { asked, broker, fleet, medianMs, now, record, takes } = watched;
	const { job } = record;
	const workers = fleet.serving(takes);
	if (workers.length < 2) return;
	const info = await broker.jsm.consumers.info(workStream(job), WORKERS);
	if (info.num_pending > 0 || info.num_waiting === 0) return;
	// A worker with something to do would do that more slowly, were it given more.
	const numIdle = workers
		.filter(({ numInFlight }) => numInFlight === 0)
		.reduce((sum, { credit }) => sum + credit, 0);
	for (const late of toHedge(sentOf(asked), numIdle, medianMs(), now())) {
		late.isHedged = true;
		const { line } = late;
		const id = `${watched.runId}.${line}.hedge`;
		await watched.post(late, hedgeSubject(job, line), id);
	}
}

/** What else there is of a request that has an answer: its body, a copy, somebody who works at it. */
export async function forget(
	{ bodies, broker, record }: Watched,
	{ isHedged, line, sent }: Asked,
): Promise<void> {
	const { job } = record;
	try {
		if (isHedged) {
			broker.nc.publish(dropSubject(job), `${line}`);
			// One by one: a purge by subject makes servers of 2.9 forget what else is in workers' hands.
			const { streams } = broker.jsm;
			await Promise.allSettled(
				sent.map(({ seq }) =>
					streams.deleteMessage(workStream(job), seq, false),
				),
			);
		}
		const isLong = sent.some(({ hasObject }) => hasObject);
		if (isLong) await bodies.remove(objectOf(line));
	} catch {
		// Left over: an answer nobody asked for, or an object that goes with the job.
	}
}

/** What a long request is called in the object store. */
export const objectOf = (line: number): string => `request.${line}`;

const sentOf = (asked: Watched["asked"]): Asked[] =>
	[...asked.values()].filter(({ isSent }) => isSent);
