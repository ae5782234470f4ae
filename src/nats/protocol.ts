/** What publisher, workers and collector of a job agree on: names of streams, subjects, buckets and headers. docs/batch.md tells it in words. */
import { NanoVllmError } from "../errors.ts";

/** In every job's record: a worker takes no job of another. */
export const PROTOCOL = 1;

/** Buckets of all jobs. */
export const JOBS_BUCKET = "nano-vllm-jobs";
export const WORKERS_BUCKET = "nano-vllm-workers";
export const COLLECTORS_BUCKET = "nano-vllm-collectors";
export const TRIES_BUCKET = "nano-vllm-tries";

/** Durable consumers: all workers pull from one, the collector from the other. */
export const WORKERS = "workers";
export const COLLECTOR = "collector";

export const workStream = (job: string) => `nano-vllm-${job}-work`;
export const answersStream = (job: string) => `nano-vllm-${job}-answers`;
export const bodiesBucket = (job: string) => `nano-vllm-${job}-bodies`;

export const workSubject = (job: string, line: number) =>
	`nano-vllm.work.${job}.${line}`;
/** A second copy of a request that is slow to be answered. */
export const hedgeSubject = (job: string, line: number) =>
	`${workSubject(job, line)}.hedge`;
export const answerSubject = (job: string, line: number) =>
	`nano-vllm.answers.${job}.${line}`;
/** No stream keeps it: lines whose answer nobody waits for any more. */
export const dropSubject = (job: string) => `nano-vllm.drop.${job}`;

/** Of requests. */
export const URL_HEADER = "Nano-Vllm-Url";
export const SEQUENCES_HEADER = "Nano-Vllm-Sequences";
/** Of answers: who gave it, and in how many milliseconds. */
export const WORKER_HEADER = "Nano-Vllm-Worker";
export const DURATION_HEADER = "Nano-Vllm-Ms";
/** The body lies in the job's object store under this name. */
export const OBJECT_HEADER = "Nano-Vllm-Object";

/** nano-vllm.work.JOB.LINE[.hedge] and nano-vllm.answers.JOB.LINE → LINE */
export const lineOf = (subject: string): number =>
	Number(subject.split(".")[3]);
export const isHedge = (subject: string): boolean => subject.endsWith(".hedge");

/** A job's name is part of streams' names and of subjects. @throws invalid_option */
export function checkJobName(job: string): void {
	if (/^[\w-]{1,64}$/.test(job)) return;
	throw new NanoVllmError(
		"invalid_option",
		`--job must be 1 to 64 letters, digits, "-" and "_", got ${JSON.stringify(job)}.`,
	);
}
