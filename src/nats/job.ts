/** A job's life on the broker: started or gone on with, done, cancelled, looked at. */
import { NanoVllmError } from "../errors.ts";
import type { Broker } from "./broker.ts";
import {
	checkSameJob,
	type JobRecord,
	type JobState,
	parseJobRecord,
} from "./job-record.ts";
import { deleteStreams, forgetCollector, orMissing } from "./job-streams.ts";
import { answersStream, WORKERS, workStream } from "./protocol.ts";

/** As the collector tells it now and then. */
export interface JobProgress {
	/** Lines that need nothing more, those of earlier runs and those that failed. */
	readonly numLines: number;
	readonly numEarlier: number;
	readonly numFailed: number;
	/** Milliseconds since 1970. */
	readonly at: number;
}

export interface JobStatus {
	readonly record: JobRecord;
	readonly progress: JobProgress | null;
	/** Requests that wait, those workers have, and answers that wait for the collector; null where the job is over. */
	readonly numWaiting: number | null;
	readonly numWorkedOn: number | null;
	readonly numUncollected: number | null;
	/** Where it is being collected into; null: nowhere. */
	readonly collector: string | null;
}

async function recordOf(
	{ jobs }: Broker,
	job: string,
): Promise<JobRecord | null> {
	const entry = await jobs.get(job);
	return entry?.operation === "PUT" ? parseJobRecord(entry.string()) : null;
}

/**
 * What there is of a job.
 * @throws invalid_option where the name belongs to another job that runs; job_cancelled
 */
export async function jobBefore(
	broker: Broker,
	{ job, jobId }: JobRecord,
): Promise<JobRecord | null> {
	const there = await recordOf(broker, job);
	if (there !== null) checkSameJob(there, jobId);
	return there;
}

/** The record workers see. A job that runs goes on as it was begun. @throws as jobBefore */
export async function startJob(
	broker: Broker,
	wanted: JobRecord,
): Promise<JobRecord> {
	const { job } = wanted;
	const there = await jobBefore(broker, wanted);
	const isOn = there?.state === "running";
	if (isOn) await forgetCollector(broker, job);
	else await deleteStreams(broker, job);
	return isOn ? there : wanted;
}

/** From here on workers take its requests. */
export const announceJob = ({ jobs }: Broker, record: JobRecord) =>
	jobs.put(record.job, JSON.stringify(record));

export const tellProgress = (
	{ jobs }: Broker,
	job: string,
	progress: JobProgress,
) => jobs.put(`${job}.progress`, JSON.stringify(progress));

/** Workers let go of it first. */
export async function endJob(
	broker: Broker,
	record: JobRecord,
	state: Exclude<JobState, "running">,
): Promise<void> {
	await announceJob(broker, { ...record, state });
	await deleteStreams(broker, record.job);
}

/** @throws invalid_option where there is no such job that runs */
export async function cancelJob(broker: Broker, job: string): Promise<void> {
	const record = await recordOf(broker, job);
	if (record?.state !== "running")
		throw new NanoVllmError(
			"invalid_option",
			`there is no running job ${job}${record === null ? "" : `: it is ${record.state}`}. nano-vllm job status lists them.`,
		);
	await endJob(broker, record, "cancelled");
}

export async function jobNames({ jobs }: Broker): Promise<string[]> {
	const names: string[] = [];
	for await (const key of await jobs.keys("*")) names.push(key);
	return names.sort();
}

/** @throws invalid_option where there is none */
export async function jobStatus(
	broker: Broker,
	job: string,
): Promise<JobStatus> {
	const record = await recordOf(broker, job);
	if (record === null)
		throw new NanoVllmError(
			"invalid_option",
			`there is no job ${job}. nano-vllm job status lists them.`,
		);
	const { collectors, jobs, jsm } = broker;
	const progress = await jobs.get(`${job}.progress`);
	const holder = await collectors.get(job);
	const work = await orMissing(jsm.consumers.info(workStream(job), WORKERS));
	const answers = await orMissing(jsm.streams.info(answersStream(job)));
	return {
		record,
		progress: progress?.operation === "PUT" ? progress.json() : null,
		numWaiting: work?.num_pending ?? null,
		numWorkedOn: work?.num_ack_pending ?? null,
		numUncollected: answers?.state.messages ?? null,
		collector: holder?.operation === "PUT" ? holder.string() : null,
	};
}
