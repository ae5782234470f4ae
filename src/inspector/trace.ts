/**
 * Events as a trace that opens in Perfetto and chrome://tracing, in Chrome's trace-event format: the scheduler's steps, what the device
 * computed when, a track for each sequence with its waits, prompt chunks and decodes, and counters. Knows events alone.
 */
import type { EngineEvent, OutputEvent, StepEvent } from "../engine/events.ts";
import { applyEvent, createState, type InspectorState } from "./state.ts";

/** A file of it is its JSON. */
export interface Trace {
	readonly traceEvents: readonly TraceEvent[];
	readonly displayTimeUnit: "ms";
}

export type TraceEvent =
	| TraceSlice
	| TraceInstant
	| TraceCounter
	| TraceMetadata;

interface OnTrack {
	readonly name: string;
	readonly pid: number;
	readonly tid: number;
	readonly args?: Readonly<Record<string, unknown>>;
}

/** ts and dur: microseconds. */
export interface TraceSlice extends OnTrack {
	readonly ph: "X";
	readonly ts: number;
	readonly dur: number;
}

export interface TraceInstant extends OnTrack {
	readonly ph: "i";
	readonly ts: number;
	/** Of the thread, or the process. */
	readonly s: "t" | "p";
}

export interface TraceCounter extends OnTrack {
	readonly ph: "C";
	readonly ts: number;
}

export interface TraceMetadata extends OnTrack {
	readonly ph: "M";
	readonly args: Readonly<Record<string, unknown>>;
}

const ENGINE = 1;
const SCHEDULER = { pid: ENGINE, tid: 1 };
const DEVICE = { pid: ENGINE, tid: 2 };
const SEQUENCES = 2;

/**
 * @param beginning the state before the first event, for a history whose start was forgotten; it is changed. null: the events begin with
 * a snapshot
 */
export function traceOf(
	beginning: InspectorState | null,
	events: Iterable<EngineEvent>,
): Trace {
	const writer = new TraceWriter(beginning);
	for (const event of events) writer.add(event);
	return writer.end();
}

class TraceWriter {
	readonly #events: TraceEvent[] = [];
	#state: InspectorState | null;
	/** Steps whose results were not read yet. */
	readonly #inFlight = new Map<number, StepEvent>();
	/** Since when, by arrival. */
	readonly #waitingSince = new Map<number, number>();
	/** When the last step that was seen of a sequence was done. */
	readonly #doneMs = new Map<number, number>();
	readonly #named = new Set<number>();
	/** When the device was done with the step before: steps run one after the other, however early they are submitted. */
	#deviceFreeMs = 0;
	#lastMs = 0;

	constructor(beginning: InspectorState | null) {
		this.#state = beginning;
		this.#name("process_name", { pid: ENGINE, tid: 0 }, "engine");
		this.#name("process_name", { pid: SEQUENCES, tid: 0 }, "sequences");
		this.#name("thread_name", SCHEDULER, "scheduler");
		this.#name("thread_name", DEVICE, "device");
		if (beginning !== null) this.#meetAll(beginning);
	}

	add(event: EngineEvent): void {
		this.#lastMs = event.type === "step" ? event.submitMs : event.atMs;
		if (this.#state !== null) applyEvent(this.#state, event);
		else if (event.type === "snapshot") this.#state = createState(event);
		if (this.#state === null) return;
		switch (event.type) {
			case "snapshot":
				this.#meetAll(this.#state);
				break;
			case "arrival":
				this.#meet(event.sequence);
				break;
			case "step":
				this.#addStep(event);
				break;
			case "output":
				this.#addOutput(event);
				break;
			case "end":
				if (!this.#isInFlight(event.arrival))
					this.#endWait(event.arrival, event.atMs);
				this.#waitingSince.delete(event.arrival);
				this.#instant(trackOf(event.arrival), `end: ${event.reason}`);
				break;
			case "pause":
				this.#instant(SCHEDULER, event.paused ? "pause" : "resume");
				break;
			default:
				event satisfies never;
		}
		this.#count(this.#state);
	}

	/** What still waits has waited until the last event. */
	end(): Trace {
		for (const arrival of [...this.#waitingSince.keys()])
			if (!this.#isInFlight(arrival)) this.#endWait(arrival, this.#lastMs);
		return { traceEvents: this.#events, displayTimeUnit: "ms" };
	}

	#meetAll({ sequences }: InspectorState): void {
		for (const { info, status } of sequences.values()) {
			this.#meet(info);
			if (status === "running") this.#waitingSince.delete(info.arrival);
		}
	}

	#meet(info: {
		readonly arrival: number;
		readonly requestId: string;
		readonly index: number;
		readonly arrivalMs: number;
	}): void {
		const { arrival, requestId, index, arrivalMs } = info;
		if (this.#named.has(arrival)) return;
		this.#named.add(arrival);
		this.#name("thread_name", trackOf(arrival), `${requestId} [${index}]`);
		this.#waitingSince.set(arrival, arrivalMs);
	}

	#addStep(event: StepEvent): void {
		const { step, startMs, submitMs, numTokens, rows } = event;
		const { preempted, evicted, admitted } = event;
		this.#inFlight.set(step, event);
		for (const { arrival } of admitted) this.#endWait(arrival, startMs);
		for (const arrival of preempted) {
			this.#instant(trackOf(arrival), "preempted");
			this.#waitingSince.set(arrival, startMs);
		}
		const numDecodes = rows.filter((it) => it.phase === "decode").length;
		this.#slice(SCHEDULER, `step ${step}`, startMs, submitMs, {
			numTokens,
			numDecodes,
			numPrefills: rows.length - numDecodes,
			admitted,
			preempted,
			evicted,
		});
		if (evicted.length > 0)
			this.#instant(SCHEDULER, `evicted ${evicted.length}`);
	}

	#addOutput({ step, atMs, tokens }: OutputEvent): void {
		const event = this.#inFlight.get(step);
		this.#inFlight.delete(step);
		if (event === undefined) return;
		const startMs = Math.max(event.submitMs, this.#deviceFreeMs);
		this.#deviceFreeMs = atMs;
		this.#slice(DEVICE, `step ${step}`, startMs, atMs, {
			numTokens: event.numTokens,
			numOutputTokens: tokens.length,
		});
		for (const { arrival, phase, start, numTokens } of event.rows) {
			const isDecode = phase === "decode";
			const range = `${start} to ${start + numTokens - 1}`;
			const name = isDecode ? "decode" : `prefill ${range}`;
			this.#slice(trackOf(arrival), name, startMs, atMs, { step, start });
			this.#doneMs.set(arrival, atMs);
		}
	}

	#isInFlight(arrival: number): boolean {
		for (const { rows } of this.#inFlight.values())
			if (rows.some((row) => row.arrival === arrival)) return true;
		return false;
	}

	/** Who lost its blocks while a step of its was running waits from that step's end, for slices of a track may not cross. */
	#endWait(arrival: number, atMs: number): void {
		const since = this.#waitingSince.get(arrival);
		if (since === undefined) return;
		this.#waitingSince.delete(arrival);
		const startMs = Math.max(since, this.#doneMs.get(arrival) ?? 0);
		this.#slice(trackOf(arrival), "waiting", Math.min(startMs, atMs), atMs);
	}

	#count({ counters, engine, numWaiting, running }: InspectorState): void {
		const used = engine.numBlocks - counters.numFreeBlocks;
		this.#counter("KV blocks used", used);
		this.#counter("waiting", numWaiting);
		this.#counter("running", running.length);
	}

	#name(
		name: "process_name" | "thread_name",
		track: { pid: number; tid: number },
		value: string,
	): void {
		this.#events.push({ ph: "M", name, ...track, args: { name: value } });
	}

	#slice(
		track: { pid: number; tid: number },
		name: string,
		startMs: number,
		endMs: number,
		args: Readonly<Record<string, unknown>> = {},
	): void {
		const ts = 1000 * startMs;
		this.#events.push({
			ph: "X",
			name,
			...track,
			ts,
			dur: 1000 * endMs - ts,
			args,
		});
	}

	#instant(track: { pid: number; tid: number }, name: string): void {
		const ts = 1000 * this.#lastMs;
		this.#events.push({ ph: "i", s: "t", name, ...track, ts });
	}

	#counter(name: string, value: number): void {
		const ts = 1000 * this.#lastMs;
		this.#events.push({
			ph: "C",
			name,
			pid: ENGINE,
			tid: 0,
			ts,
			args: { value },
		});
	}
}

/** Thread 0 is the process itself. */
function trackOf(arrival: number): { pid: number; tid: number } {
	return { pid: SEQUENCES, tid: arrival + 1 };
}
