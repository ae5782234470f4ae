/** How far a batch is, and when it will be done: one line that is written over, or one now and then where stderr is no terminal. */
import type { BatchProgress } from "../batch/run-batch.ts";
import type { EngineStats } from "../index.ts";
import { figure, grouped, plural } from "./format.ts";
import { createStatusLine, note } from "./terminal.ts";

export interface BatchMeter {
	show(progress: BatchProgress): void;
	clear(): void;
	totals(progress: BatchProgress): string;
}

/** Between lines in a log. */
const LOG_MS = 30_000;
/** Between looks at the clock. */
const SHOW_MS = 100;

export type Counts = Pick<
	EngineStats,
	"numPromptTokens" | "numGenerationTokens"
>;

export function createBatchMeter(
	numLines: number,
	stats: () => Counts,
): BatchMeter {
	const status = createStatusLine();
	const start = performance.now();
	let shownAt = start;
	let loggedAt = start;
	return {
		show(progress) {
			const now = performance.now();
			if (now - shownAt < SHOW_MS) return;
			shownAt = now;
			const line = progressLine(progress, numLines, stats(), now - start);
			status.show(line);
			if (process.stderr.isTTY || now - loggedAt < LOG_MS) return;
			loggedAt = now;
			note(line);
		},
		clear: () => status.clear(),
		totals({ numDone, numEarlier }) {
			const seconds = (performance.now() - start) / 1000;
			const { numPromptTokens, numGenerationTokens } = stats();
			return [
				`${plural(numDone, "line")} done${numEarlier > 0 ? ` · ${grouped(numEarlier)} before` : ""}`,
				`${grouped(numPromptTokens)} prompt + ${grouped(numGenerationTokens)} output tokens`,
				`${figure(seconds)} s`,
				`${figure(numGenerationTokens / seconds)} output tok/s`,
			].join(" · ");
		},
	};
}

/** "1,200 of 5,000 lines · 3 failed · 64 in flight · 812 output tok/s · 2 min left" */
export function progressLine(
	{ numLines, numDone, numFailed, numInFlight }: BatchProgress,
	total: number,
	{ numGenerationTokens }: Counts,
	elapsedMs: number,
): string {
	const leftMs = (elapsedMs * (total - numLines)) / numDone;
	return [
		`${grouped(numLines)} of ${plural(total, "line")}`,
		...(numFailed > 0 ? [`${grouped(numFailed)} failed`] : []),
		`${grouped(numInFlight)} in flight`,
		`${figure((1000 * numGenerationTokens) / elapsedMs)} output tok/s`,
		`${duration(leftMs)} left`,
	].join(" · ");
}

function duration(ms: number): string {
	if (!Number.isFinite(ms)) return "-";
	const seconds = Math.ceil(ms / 1000);
	if (seconds < 120) return `${seconds} s`;
	const minutes = Math.ceil(seconds / 60);
	return minutes < 120
		? `${minutes} min`
		: `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
