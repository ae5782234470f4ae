/** The two streams of a job and its object store: made, looked through, deleted. Each can be made again where it is. */
import {
	AckPolicy,
	JetStreamApiCodes,
	JetStreamApiError,
	RetentionPolicy,
} from "@nats-io/jetstream";
import type { Broker } from "./broker.ts";
import type { JobRecord } from "./job-record.ts";
import {
	answersStream,
	bodiesBucket,
	COLLECTOR,
	lineOf,
	WORKERS,
	workStream,
} from "./protocol.ts";

const nanos = (ms: number) => ms * 1e6;
/** A message that is sent again because no acknowledgement came is known again for so long. */
const DUPLICATE_WINDOW_MS = 120_000;
/** Workers that may wait for work at once. */
const MAX_WAITING = 10_000;
/** An answer that a collector has and does not acknowledge belongs to a dead one. */
const COLLECTOR_ACK_WAIT_MS = 60_000;

export async function makeStreams(
	{ jsm }: Broker,
	{ job, ackWaitMs }: JobRecord,
): Promise<void> {
	const common = {
		retention: RetentionPolicy.Workqueue,
		duplicate_window: nanos(DUPLICATE_WINDOW_MS),
	};
	const consumer = {
		ack_policy: AckPolicy.Explicit,
		max_deliver: -1,
		max_ack_pending: -1,
	};
	await jsm.streams.add({
		...common,
		name: workStream(job),
		subjects: [`nano-vllm.work.${job}.>`],
	});
	await jsm.consumers.add(workStream(job), {
		...consumer,
		durable_name: WORKERS,
		ack_wait: nanos(ackWaitMs),
		max_waiting: MAX_WAITING,
	});
	await jsm.streams.add({
		...common,
		name: answersStream(job),
		subjects: [`nano-vllm.answers.${job}.>`],
	});
	await jsm.consumers.add(answersStream(job), {
		...consumer,
		durable_name: COLLECTOR,
		ack_wait: nanos(COLLECTOR_ACK_WAIT_MS),
	});
}

/** Answers that an earlier collector had in hand come again, and at once. */
export async function forgetCollector(
	{ jsm }: Broker,
	job: string,
): Promise<void> {
	await orMissing(jsm.consumers.delete(answersStream(job), COLLECTOR));
}

export async function deleteStreams(
	{ jsm }: Broker,
	job: string,
): Promise<void> {
	await orMissing(jsm.streams.delete(workStream(job)));
	await orMissing(jsm.streams.delete(answersStream(job)));
	await orMissing(jsm.streams.delete(`OBJ_${bodiesBucket(job)}`));
}

/**
 * Lines the broker has, asked or answered. Work is listed first: a line leaves it only when its answer is in the other stream. Where
 * workers can get nothing of what is there, it counts as lost.
 */
export async function linesInside(
	{ jsm }: Broker,
	job: string,
): Promise<Set<number>> {
	const work = await jsm.consumers.info(workStream(job), WORKERS);
	const isReachable = work.num_pending + work.num_ack_pending > 0;
	const streams = [
		...(isReachable ? [workStream(job)] : []),
		answersStream(job),
	];
	const lines = new Set<number>();
	for (const stream of streams) {
		const { state } = await jsm.streams.info(stream, { subjects_filter: ">" });
		for (const subject of Object.keys(state.subjects ?? {}))
			lines.add(lineOf(subject));
	}
	return lines;
}

const MISSING: readonly number[] = [
	JetStreamApiCodes.StreamNotFound,
	JetStreamApiCodes.ConsumerNotFound,
];

/** undefined where there is no such stream or consumer. */
export async function orMissing<T>(asked: Promise<T>): Promise<T | undefined> {
	try {
		return await asked;
	} catch (error) {
		if (isMissing(error)) return undefined;
		throw error;
	}
}

export const isMissing = (error: unknown): boolean =>
	error instanceof JetStreamApiError && MISSING.includes(error.code);
