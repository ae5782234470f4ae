/** What a job's record says, and whether a worker may take it. Knows no broker. */
import { NanoVllmError } from "../errors.ts";
import { PROTOCOL } from "./protocol.ts";

export type JobState = "running" | "done" | "cancelled";

/** The engine options that decide what is answered, as far as somebody named them. */
export type EngineChoices = Readonly<Record<string, unknown>>;

export interface JobRecord {
	readonly protocol: number;
	readonly job: string;
	/** Names input, model and options: see batch/records.ts. */
	readonly jobId: string;
	/** The model's id, or its folder's name. */
	readonly model: string;
	readonly engine: EngineChoices;
	/** The server options bodies are answered with. */
	readonly answers: Readonly<Record<string, unknown>>;
	/** A worker that has not been heard of for so long is taken for dead. */
	readonly ackWaitMs: number;
	/** Workers a request may take with it before it is given up. */
	readonly maxDeliveries: number;
	readonly numLines: number;
	readonly createdAt: string;
	readonly state: JobState;
}

/** What a worker has loaded. */
export interface Served {
	/** Any of these names is its model. */
	readonly names: readonly string[];
	readonly engine: EngineChoices;
}

const STATES: readonly unknown[] = ["running", "done", "cancelled"];

/** null: none of ours, or of another version. */
export function parseJobRecord(text: string): JobRecord | null {
	try {
		const record: JobRecord = JSON.parse(text);
		const { ackWaitMs, job, jobId, maxDeliveries, model, state } = record;
		const isOurs =
			record.protocol === PROTOCOL &&
			[job, jobId, model].every((each) => typeof each === "string") &&
			[ackWaitMs, maxDeliveries].every((each) => Number(each) > 0) &&
			[record.engine, record.answers].every(isObject) &&
			STATES.includes(state);
		return isOurs ? record : null;
	} catch {
		return null;
	}
}

const isObject = (value: unknown): boolean =>
	typeof value === "object" && value !== null;

/** Why a worker leaves a job to others; null: it takes it. */
export function mismatch(
	{ model, engine }: JobRecord,
	served: Served,
): string | null {
	if (!served.names.includes(model))
		return `it wants model ${model}, this worker serves ${served.names.join(", ")}`;
	for (const [key, value] of Object.entries(engine)) {
		const own = served.engine[key];
		if (own !== value)
			return `it wants ${key} ${value}, this worker has ${own ?? "the default"}`;
	}
	return null;
}

/** A name may be used again once its job is done. @throws invalid_option while another job has it; job_cancelled */
export function checkSameJob(record: JobRecord, jobId: string): void {
	const { job, state } = record;
	const isSame = record.jobId === jobId;
	if (state === "running" && !isSame)
		throw new NanoVllmError(
			"invalid_option",
			`job ${job} is running with another input, model or options. Give another --job, or what it was started with; nano-vllm job cancel ${job} ends it.`,
		);
	if (state === "cancelled" && isSame) throw cancelled(job);
}

export const cancelled = (job: string): NanoVllmError =>
	new NanoVllmError(
		"job_cancelled",
		`job ${job} was cancelled. What was answered is in the output; start it under another --job with the same files to go on from there.`,
	);
