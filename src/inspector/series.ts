/** Figures over time: throughput in spans of half a second, and how long each sequence's first token took. Knows events alone. */
import type { EngineCounters, EngineEvent } from "../engine/events.ts";

export interface Series {
	/** Oldest first; a span in which nothing happened is left out. */
	readonly throughput: ThroughputSpan[];
	/** Oldest first. */
	readonly firstTokens: FirstToken[];
}

/** Never changed: replaced as its time goes on. */
export interface ThroughputSpan {
	/** A multiple of SPAN_MS. */
	readonly startMs: number;
	readonly numSteps: number;
	readonly numPromptTokens: number;
	readonly numGenerationTokens: number;
}

export interface FirstToken {
	readonly arrival: number;
	readonly atMs: number;
	/** From its arrival. */
	readonly timeToFirstTokenMs: number;
}

/** What is known when an event comes. */
interface Before {
	readonly counters: EngineCounters;
	readonly sequences: ReadonlyMap<
		number,
		{
			readonly info: { readonly arrivalMs: number };
			readonly outputTokenIds: readonly number[];
		}
	>;
}

export const SPAN_MS = 500;
/** Five minutes. */
export const MAX_SPANS = 600;
export const MAX_FIRST_TOKENS = 1024;

export function emptySeries(): Series {
	return { throughput: [], firstTokens: [] };
}

/** Adds an event to the series. */
export function addToSeries(
	series: Series,
	before: Before,
	event: EngineEvent,
): void {
	if (event.type === "step") {
		const { numPromptTokens } = event.counters;
		addToSpan(series, event.submitMs, {
			numSteps: 1,
			numPromptTokens: numPromptTokens - before.counters.numPromptTokens,
			numGenerationTokens: 0,
		});
	} else if (event.type === "output") {
		addToSpan(series, event.atMs, {
			numSteps: 0,
			numPromptTokens: 0,
			numGenerationTokens: event.tokens.length,
		});
		for (const { arrival } of event.tokens)
			addFirstToken(series, before, arrival, event.atMs);
	}
}

function addToSpan(
	{ throughput }: Series,
	atMs: number,
	added: Omit<ThroughputSpan, "startMs">,
): void {
	const startMs = Math.floor(atMs / SPAN_MS) * SPAN_MS;
	const last = throughput.at(-1);
	if (last === undefined || last.startMs < startMs) {
		throughput.push({ startMs, ...added });
		if (throughput.length > MAX_SPANS) throughput.shift();
		return;
	}
	throughput[throughput.length - 1] = {
		startMs: last.startMs,
		numSteps: last.numSteps + added.numSteps,
		numPromptTokens: last.numPromptTokens + added.numPromptTokens,
		numGenerationTokens: last.numGenerationTokens + added.numGenerationTokens,
	};
}

function addFirstToken(
	{ firstTokens }: Series,
	{ sequences }: Before,
	arrival: number,
	atMs: number,
): void {
	const seq = sequences.get(arrival);
	if (seq === undefined || seq.outputTokenIds.length > 0) return;
	const timeToFirstTokenMs = atMs - seq.info.arrivalMs;
	firstTokens.push({ arrival, atMs, timeToFirstTokenMs });
	if (firstTokens.length > MAX_FIRST_TOKENS) firstTokens.shift();
}
