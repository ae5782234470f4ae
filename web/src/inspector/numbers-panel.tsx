/** The engine's counters and rates at the moment shown. */
import type { InspectorState } from "../../../src/inspector/state.ts";
import { count, measure, percent } from "./numbers.ts";
import { useTick } from "./use-tick.ts";
import type { Watch } from "./watch.ts";

interface Row {
	/** Names it for tests and styles. */
	readonly id: string;
	readonly name: string;
	readonly value: string;
	readonly note?: string;
}

export function NumbersPanel({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const { state } = watch;
	if (state === null) return null;
	return (
		<dl class="figures" aria-label="Figures">
			{rowsOf(state).map(({ id, name, value, note }) => (
				<div key={id} data-figure={id}>
					<dt>{name}</dt>
					<dd>
						{value} {note && <small>{note}</small>}
					</dd>
				</div>
			))}
		</dl>
	);
}

function rowsOf(state: InspectorState): Row[] {
	const { counters, engine } = state;
	const numUsed = engine.numBlocks - counters.numFreeBlocks;
	const queries = counters.prefixCacheQueries;
	return [
		{ id: "step", name: "Steps", value: count(state.step) },
		{
			id: "running",
			name: "Running",
			value: count(state.running.length),
			note: `of ${count(engine.maxNumSeqs)}`,
		},
		{ id: "waiting", name: "Waiting", value: count(state.numWaiting) },
		{
			id: "throughput",
			name: "Output",
			value: measure(throughput(state)),
			note: "tok/s",
		},
		{ id: "ttft", name: "Time to first token", ...ttft(state) },
		{
			id: "pool",
			name: "Blocks held",
			value: percent(numUsed / engine.numBlocks),
			note: count(numUsed),
		},
		{
			id: "prompt-tokens",
			name: "Prompt tokens",
			value: count(counters.numPromptTokens),
		},
		{
			id: "output-tokens",
			name: "Output tokens",
			value: count(counters.numGenerationTokens),
		},
		{
			id: "hits",
			name: "Prefix hits",
			value: queries === 0 ? "–" : percent(counters.prefixCacheHits / queries),
			note: `${count(counters.prefixCacheHits)} tokens`,
		},
		{
			id: "preemptions",
			name: "Preemptions",
			value: count(counters.numPreemptions),
		},
	];
}

const RATE_MS = 2000;

/** Output tokens a second over the last two seconds of its work. */
function throughput({ series, atMs }: InspectorState): number {
	let numTokens = 0;
	let startMs = atMs;
	for (let i = series.throughput.length - 1; i >= 0; i--) {
		const span = series.throughput[i];
		if (span.startMs < atMs - RATE_MS) break;
		numTokens += span.numGenerationTokens;
		startMs = span.startMs;
	}
	return numTokens / Math.max(0.1, (atMs - startMs) / 1000);
}

const NUM_FIRST_TOKENS = 32;

/** The median of the last requests. */
function ttft({ series }: InspectorState): Pick<Row, "value" | "note"> {
	const last = series.firstTokens
		.slice(-NUM_FIRST_TOKENS)
		.map(({ timeToFirstTokenMs }) => timeToFirstTokenMs)
		.sort((a, b) => a - b);
	if (last.length === 0) return { value: "–" };
	return { value: measure(last[last.length >> 1]), note: "ms, median" };
}
