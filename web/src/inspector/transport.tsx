/** Time: live or held, back and forth through what is kept, at any speed; and the engine's own pause and step. */
import { useMemo, useState } from "preact/hooks";
import type { Engine } from "../engine.ts";
import { Canvas } from "./canvas.tsx";
import { count, measure } from "./numbers.ts";
import { timelinePicture } from "./timeline-picture.ts";
import { downloadTrace } from "./trace-download.ts";
import { useSlowly } from "./use-slowly.ts";
import { useTick } from "./use-tick.ts";
import { timelineView } from "./views.ts";
import type { Watch } from "./watch.ts";

const SPEEDS = [0.1, 0.25, 1, 4] as const;
const TIMELINE_HEIGHT = 44;

export function Transport({
	watch,
	engine,
}: {
	readonly watch: Watch;
	readonly engine: Engine;
}) {
	useTick(watch.subscribe);
	return (
		<section class="transport" aria-label="Time">
			<div class="transport-row">
				<ReplayControls watch={watch} />
				<span class="spacer" />
				<EngineControls watch={watch} engine={engine} />
				<button
					type="button"
					class="button"
					disabled={!watch.isTold}
					title="A trace-event file: open it at ui.perfetto.dev or chrome://tracing"
					onClick={() => downloadTrace(watch.history)}
				>
					Export trace
				</button>
			</div>
			<Timeline watch={watch} />
			<p class="moment" data-mode={watch.mode.kind}>
				{momentWords(watch)}
			</p>
		</section>
	);
}

function ReplayControls({ watch }: { readonly watch: Watch }) {
	const [speed, setSpeed] = useState<number>(0.25);
	useTick(watch.subscribe);
	const { kind } = watch.mode;
	const isPlaying = kind === "playing";
	return (
		<>
			<button
				type="button"
				class="button"
				aria-pressed={kind === "live"}
				onClick={() => (kind === "live" ? watch.freeze() : watch.goLive())}
			>
				Live
			</button>
			<button
				type="button"
				class="button"
				aria-label="One step back"
				onClick={() => watch.nudge(-1)}
			>
				Back
			</button>
			<button
				type="button"
				class="button"
				disabled={kind === "live"}
				onClick={() => (isPlaying ? watch.freeze() : watch.play(speed))}
			>
				{isPlaying ? "Hold" : "Play"}
			</button>
			<button
				type="button"
				class="button"
				aria-label="One step forward"
				disabled={kind === "live"}
				onClick={() => watch.nudge(1)}
			>
				Forward
			</button>
			<select
				aria-label="Speed of playing"
				value={speed}
				onChange={(event) => {
					const value = Number(event.currentTarget.value);
					setSpeed(value);
					if (isPlaying) watch.play(value);
				}}
			>
				{SPEEDS.map((it) => (
					<option key={it} value={it}>
						× {it}
					</option>
				))}
			</select>
		</>
	);
}

/** The engine itself, where it lets itself be held. */
function EngineControls({
	watch,
	engine,
}: {
	readonly watch: Watch;
	readonly engine: Engine;
}) {
	useTick(watch.subscribe);
	const [error, setError] = useState<string | null>(null);
	if (!engine.facts.canPause)
		return (
			<span class="moment">
				{engine.facts.place === "server"
					? "The server does not let itself be paused from here."
					: "This engine cannot be paused."}
			</span>
		);
	const isPaused = watch.history.live?.paused ?? false;
	const act = (work: () => Promise<void>) => {
		setError(null);
		work().catch((cause) =>
			setError(cause instanceof Error ? cause.message : String(cause)),
		);
	};
	return (
		<>
			{error !== null && (
				<span class="moment" role="alert">
					{error}
				</span>
			)}
			<button
				type="button"
				class="button"
				aria-pressed={isPaused}
				onClick={() => act(() => (isPaused ? engine.resume() : engine.pause()))}
			>
				{isPaused ? "Resume engine" : "Pause engine"}
			</button>
			<button
				type="button"
				class="button"
				disabled={!isPaused}
				onClick={() => act(() => engine.step())}
			>
				One step
			</button>
		</>
	);
}

/** The strip of time: drag it, or move by keys. */
export function Timeline({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const picture = useMemo(
		() => timelinePicture(() => timelineView(watch)),
		[watch],
	);
	const slowly = useSlowly(watch.subscribe);
	const { startMs, endMs, atMs } = watch.span;
	return (
		<div class="timeline">
			<Canvas
				picture={picture}
				frames={watch.frames}
				subscribe={slowly}
				height={TIMELINE_HEIGHT}
				label="Share of the pool that was held, with marks for evictions and preemptions."
			/>
			<input
				type="range"
				aria-label="Moment shown"
				aria-valuetext={momentWords(watch)}
				min={startMs}
				max={Math.max(endMs, startMs + 1)}
				step={Math.max(1, (endMs - startMs) / 2000)}
				value={atMs}
				disabled={!watch.isTold}
				onInput={(event) => watch.goToTime(Number(event.currentTarget.value))}
			/>
		</div>
	);
}

function momentWords(watch: Watch): string {
	const { state, mode } = watch;
	if (state === null) return "Nothing was told yet.";
	const { startMs, endMs, atMs } = watch.span;
	const step = `step ${count(state.step)}`;
	const kept = `${measure((endMs - startMs) / 1000)} s kept`;
	if (mode.kind === "live") return `Live, ${step}; ${kept}.`;
	const ago = `${measure((endMs - atMs) / 1000)} s before the latest`;
	return `${mode.kind === "playing" ? "Playing" : "Held at"} ${step}, ${ago}; ${kept}.`;
}
