/** Lines of the output and of the errors file, as OpenAI writes them; their id names the job and the input's line, which is what a run resumes by. */

export interface BatchResponse {
	readonly status_code: number;
	readonly request_id: string;
	/** JSON. */
	readonly body: unknown;
}

export interface BatchRecord {
	readonly id: string;
	readonly custom_id: string | null;
	/** null where nothing was asked of the engine. */
	readonly response: BatchResponse | null;
	readonly error: { readonly code: string; readonly message: string } | null;
}

/** What there is to say to a request. */
export type BatchAnswer = Pick<BatchRecord, "response" | "error">;

/** What a written line tells. */
export interface Written {
	readonly line: number;
	readonly record: BatchRecord;
}

/** How every line of a job begins. */
export const idPrefix = (jobId: string): string => `batch_req_${jobId}_`;
export const recordId = (jobId: string, line: number): string =>
	`${idPrefix(jobId)}${line}`;

/** `id` comes first: see recover.ts. */
export const outputLine = (record: BatchRecord): string => {
	const { id, custom_id, response, error } = record;
	return `${JSON.stringify({ id, custom_id, response, error })}\n`;
};

/** The same, and where it was asked. */
export const errorLine = (record: BatchRecord, line: number): string => {
	const { id, custom_id, response, error } = record;
	return `${JSON.stringify({ id, line, custom_id, response, error })}\n`;
};

export const isFailed = ({ response, error }: BatchRecord): boolean =>
	error !== null || response?.status_code !== 200;

/** null: not a whole line of this job. */
export function parseWritten(text: string, jobId: string): Written | null {
	let record: BatchRecord;
	try {
		record = JSON.parse(text);
	} catch {
		return null;
	}
	const prefix = idPrefix(jobId);
	const id = record?.id;
	if (typeof id !== "string" || !id.startsWith(prefix)) return null;
	const line = Number(id.slice(prefix.length));
	return Number.isSafeInteger(line) && line > 0 ? { line, record } : null;
}
