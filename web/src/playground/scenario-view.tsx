/** One guided comparison: its story, a button that runs A and B, the pictures and figures of both. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Watch } from "../inspector/watch.ts";
import { feelVerdict, keyVerdict } from "./comparison.ts";
import { FiguresTable } from "./figures-table.tsx";
import { Marks } from "./marks.tsx";
import type { PoolLoader } from "./pool-loader.ts";
import { run } from "./run.ts";
import type { RunFigures } from "./run-figures.ts";
import { RunPictures } from "./run-pictures.tsx";
import type { Scenario, Variant } from "./scenarios.ts";

type Side = "a" | "b";
const SIDES: readonly Side[] = ["a", "b"];

interface SideState {
	readonly watch: Watch | null;
	readonly figures: RunFigures | null;
}

const NOT_RUN: SideState = { watch: null, figures: null };

type Phase =
	| { readonly kind: "idle" }
	| { readonly kind: "loading" | "running"; readonly side: Side }
	| { readonly kind: "failed"; readonly message: string };

export interface ScenarioViewProps {
	readonly scenario: Scenario;
	readonly loader: PoolLoader;
	/** Tells of a finished run. */
	readonly onResult: (variant: Variant, figures: RunFigures) => void;
	/** Whether a run is going on, here. */
	readonly onBusy: (isBusy: boolean) => void;
}

export function ScenarioView(props: ScenarioViewProps) {
	const { scenario } = props;
	const { phase, sides, start, stop } = useComparison(props);
	const { a, b } = sides;
	// One scale for both: what took longer is longer.
	const numSteps =
		a.figures?.engine && b.figures?.engine
			? Math.max(a.figures.engine.numSteps, b.figures.engine.numSteps)
			: null;
	const isBusy = phase.kind === "loading" || phase.kind === "running";
	return (
		<article
			class="scenario"
			data-scenario={scenario.id}
			data-phase={phase.kind}
		>
			<h2>{scenario.title}</h2>
			<ol class="story">
				{scenario.story.map((line) => (
					<li key={line}>{line}</li>
				))}
			</ol>
			<div class="transport-row">
				<button
					type="button"
					class="button primary"
					disabled={isBusy}
					onClick={start}
				>
					{sides.b.figures === null ? "Run A, then B" : "Run both again"}
				</button>
				{isBusy && (
					<button type="button" class="button" onClick={stop}>
						Stop
					</button>
				)}
				<span class="moment" role="status">
					{statusOf(phase, scenario)}
				</span>
			</div>
			{phase.kind === "failed" && (
				<p class="notice error" role="alert">
					{phase.message}
				</p>
			)}
			<Outcome scenario={scenario} sides={sides} />
			{sides.a.watch && <Marks />}
			<div class="panels">
				{SIDES.map((side) => (
					<SidePictures
						key={side}
						side={side}
						variant={scenario[side]}
						state={sides[side]}
						numSteps={numSteps}
					/>
				))}
			</div>
		</article>
	);
}

function statusOf(phase: Phase, scenario: Scenario): string {
	switch (phase.kind) {
		case "idle":
		case "failed":
			return "";
		case "loading":
			return `Loading the model for ${phase.side.toUpperCase()}: ${scenario[phase.side].name} …`;
		case "running":
			return `Running ${phase.side.toUpperCase()}: ${scenario[phase.side].name} …`;
		default:
			return phase satisfies never;
	}
}

function useComparison({
	scenario,
	loader,
	onResult,
	onBusy,
}: ScenarioViewProps) {
	const [phase, setPhase] = useState<Phase>({ kind: "idle" });
	const [sides, setSides] = useState({ a: NOT_RUN, b: NOT_RUN });
	const controller = useRef<AbortController | null>(null);
	const stop = () =>
		controller.current?.abort(new Error("the comparison was stopped."));
	useEffect(() => stop, []);

	const runSide = async (side: Side, signal: AbortSignal) => {
		setPhase({ kind: "loading", side });
		const engine = await loader.load(scenario[side].settings);
		signal.throwIfAborted();
		const watch = new Watch();
		setSides((now) => ({ ...now, [side]: { watch, figures: null } }));
		setPhase({ kind: "running", side });
		const figures = await run(engine, scenario.requests(), {
			signal,
			now: () => performance.now(),
			onEvent: (event) => watch.push(event),
		});
		setSides((now) => ({ ...now, [side]: { watch, figures } }));
		onResult(scenario[side], figures);
	};
	const start = async () => {
		const current = new AbortController();
		controller.current = current;
		setSides({ a: NOT_RUN, b: NOT_RUN });
		onBusy(true);
		try {
			for (const side of SIDES) await runSide(side, current.signal);
			setPhase({ kind: "idle" });
		} catch (error) {
			const message = error instanceof Error ? error.message : String(error);
			setPhase({ kind: "failed", message });
		} finally {
			onBusy(false);
		}
	};
	return { phase, sides, start, stop };
}

function Outcome({
	scenario,
	sides,
}: {
	readonly scenario: Scenario;
	readonly sides: Readonly<Record<Side, SideState>>;
}) {
	const a = sides.a.figures;
	const b = sides.b.figures;
	if (a === null || b === null) return null;
	const key = keyVerdict(scenario, a, b);
	const feel = feelVerdict(scenario, a, b);
	return (
		<section class="outcome" aria-label="Outcome">
			<dl class="verdicts">
				{key && (
					<div data-holds={key.holds} data-a={key.a} data-b={key.b}>
						<dt>{scenario.key.name}</dt>
						<dd>{key.text}</dd>
					</div>
				)}
				<div>
					<dt>{scenario.feel.name}</dt>
					<dd>
						{feel.text}
						{!feel.holds && (
							<small>
								Not this time: the machine was busy with something else. Run
								both again.
							</small>
						)}
					</dd>
				</div>
			</dl>
			<p class="explain">{scenario.look}</p>
			<details>
				<summary>All figures</summary>
				<FiguresTable
					caption={`Figures of ${scenario.title}`}
					columns={[
						{ name: `A: ${scenario.a.name}`, figures: a },
						{ name: `B: ${scenario.b.name}`, figures: b },
					]}
				/>
			</details>
		</section>
	);
}

function SidePictures({
	side,
	variant,
	state,
	numSteps,
}: {
	readonly side: Side;
	readonly variant: Variant;
	readonly state: SideState;
	readonly numSteps: number | null;
}) {
	return (
		<section class="panel-column" aria-label={`Run ${side.toUpperCase()}`}>
			<h3>
				<span class="side">{side.toUpperCase()}</span> {variant.name}
			</h3>
			{state.watch === null ? (
				<p class="not-run">Not run yet.</p>
			) : (
				<RunPictures
					watch={state.watch}
					isOver={state.figures !== null}
					numSteps={numSteps}
				/>
			)}
		</section>
	);
}
