/**
 * What an earlier run left in a file: which lines are answered, and how many bytes are whole. A process can die while it writes, a machine
 * while it flushes: from the first broken line on the file counts as unwritten, and those lines are asked again.
 */
import { NanoVllmError } from "../errors.ts";
import { LineSet } from "./line-set.ts";
import { readLines } from "./lines.ts";
import { idPrefix, parseWritten, type Written } from "./records.ts";

export interface Recovered {
	readonly lines: LineSet;
	/** The rest of the file is to be cut off. */
	readonly numWholeBytes: number;
}

/**
 * @param name of the file, for messages
 * @param onLine sees every whole line once
 * @throws invalid_option where the file holds something that this job did not write
 */
export async function recover(
	name: string,
	chunks: AsyncIterable<Uint8Array>,
	jobId: string,
	onLine?: (written: Written) => void | Promise<void>,
): Promise<Recovered> {
	const lines = new LineSet();
	let numWholeBytes = 0;
	for await (const line of readLines(chunks, Infinity, false)) {
		const text = line.text ?? "";
		const written = line.isWhole ? parseWritten(text, jobId) : null;
		if (written === null) {
			if (isTorn(text, line.isWhole, jobId)) break;
			throw foreign(name, line.number);
		}
		if (!lines.add(written.line))
			throw new NanoVllmError(
				"invalid_option",
				`${name}, line ${line.number}: ${written.record.id} is there twice; two runs have written to this file. Name another output.`,
			);
		await onLine?.(written);
		numWholeBytes = line.end;
	}
	return { lines, numWholeBytes };
}

/** A line of this job that was cut, or zeros where a file system had no time to write one. */
function isTorn(text: string, isWhole: boolean, jobId: string): boolean {
	const beginning = `{"id":"${idPrefix(jobId)}`;
	if (text.startsWith(beginning) || text.includes("\0")) return true;
	return !isWhole && beginning.startsWith(text);
}

const foreign = (name: string, line: number) =>
	new NanoVllmError(
		"invalid_option",
		`${name}, line ${line}, was not written for this input, model and options: nothing there is touched. Give those it was written for, name another output, or delete it.`,
	);
