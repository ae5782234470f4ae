/** The steps: picture, legend, words for the step that is pointed at, and the step as a table. */
import { useMemo, useState } from "preact/hooks";
import { Canvas } from "./canvas.tsx";
import { describeStep } from "./describe.ts";
import type { StepColumn } from "./lanes.ts";
import { Legend, STEPS_LEGEND } from "./legend.tsx";
import { count } from "./numbers.ts";
import { ScrollRegion } from "./scroll-region.tsx";
import { nameOf } from "./sequence-style.ts";
import {
	BUDGET_HEIGHT,
	type StepsView,
	stepAt,
	stepsPicture,
} from "./steps-picture.ts";
import { useTick } from "./use-tick.ts";
import { budgetOf, sequenceWords, stepsView } from "./views.ts";
import type { Watch } from "./watch.ts";

const COLUMN_WIDTHS = [3, 6, 12, 28] as const;
const LANES_HEIGHT = 250;
const NARROW_PANEL = 540;

/** Index of the widest columns with which so many steps fit a narrow panel. */
export function zoomFor(numSteps: number): number {
	const fits = COLUMN_WIDTHS.filter((it) => it * numSteps <= NARROW_PANEL);
	return Math.max(0, fits.length - 1);
}

export interface StepsPanelProps {
	readonly watch: Watch;
	/** Says what to see; the inspector's own text where absent. */
	readonly hasExplanation?: boolean;
	readonly initialZoom?: number;
}

export function StepsPanel({
	watch,
	hasExplanation = true,
	initialZoom = 2,
}: StepsPanelProps) {
	const [zoom, setZoom] = useState(initialZoom);
	const columnWidth = COLUMN_WIDTHS[zoom];
	const view = useMemo(
		() => (): StepsView => stepsView(watch, columnWidth),
		[watch, columnWidth],
	);
	const picture = useMemo(() => stepsPicture(view), [view]);
	const [width, setWidth] = useState(0);
	const height = BUDGET_HEIGHT + LANES_HEIGHT;
	const at = (x: number, y: number) => stepAt(view(), width, height, x, y);
	return (
		<section class="panel" aria-label="Steps">
			<div class="picture-head">
				<h2>Steps</h2>
				<Zoom zoom={zoom} onZoom={setZoom} />
			</div>
			{hasExplanation && (
				<p class="explain">
					Each column is one step of the model, the latest at the right. It
					takes one token of every sequence that decodes, and fills what is left
					of the token budget with chunks of prompts. When a sequence ends,
					another takes its lane in the very next step: continuous batching.
				</p>
			)}
			<div>
				<BudgetLabel watch={watch} />
				<Canvas
					picture={picture}
					frames={watch.frames}
					subscribe={watch.subscribe}
					height={height}
					label="Steps as columns, sequences as lanes. Left and right move from step to step, up and down from sequence to sequence, Enter goes back to the step's moment."
					onWidth={setWidth}
					onPoint={(x, y) => {
						const hit = at(x, y);
						watch.point(hit?.arrival ?? null);
						watch.selectStep(hit?.column.step.step ?? null);
					}}
					onLeave={() => {
						watch.point(null);
						watch.selectStep(null);
					}}
					onPick={(x, y) => {
						const hit = at(x, y);
						if (hit) watch.goTo(hit.column.index);
					}}
					onKey={(event) => moveByKey(event, watch)}
				/>
			</div>
			<StepWords watch={watch} />
			{hasExplanation && <Legend items={STEPS_LEGEND} />}
			<StepTable watch={watch} />
		</section>
	);
}

function BudgetLabel({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribeToEngine);
	return (
		<span class="axis" aria-hidden="true">
			{count(budgetOf(watch))} tokens
		</span>
	);
}

function Zoom({
	zoom,
	onZoom,
}: {
	readonly zoom: number;
	readonly onZoom: (zoom: number) => void;
}) {
	const last = COLUMN_WIDTHS.length - 1;
	return (
		<div class="transport-row">
			<button
				type="button"
				class="button quiet"
				disabled={zoom === 0}
				onClick={() => onZoom(Math.max(0, zoom - 1))}
			>
				More steps
			</button>
			<button
				type="button"
				class="button quiet"
				disabled={zoom === last}
				onClick={() => onZoom(Math.min(last, zoom + 1))}
			>
				Wider steps
			</button>
		</div>
	);
}

function moveByKey(event: KeyboardEvent, watch: Watch): void {
	switch (event.key) {
		case "ArrowLeft":
			watch.moveStep(-1);
			break;
		case "ArrowRight":
			watch.moveStep(1);
			break;
		case "ArrowUp":
			pointInStep(watch, -1);
			break;
		case "ArrowDown":
			pointInStep(watch, 1);
			break;
		case "Enter": {
			const column = watch.selectedColumn();
			if (column !== null) watch.goTo(column.index);
			break;
		}
		case "Escape":
			watch.point(null);
			watch.selectStep(null);
			break;
		default:
			return;
	}
	event.preventDefault();
}

/** The sequence in the next lane of the selected step, or of the latest. */
function pointInStep(watch: Watch, by: number): void {
	const column = watch.selectedColumn() ?? watch.lastColumn();
	if (column === null) return;
	const byLane = column.step.rows
		.toEvents()
		.map(({ arrival }, row) => ({ arrival, lane: column.lanes[row] }))
		.sort((a, b) => a.lane - b.lane);
	const at = byLane.findIndex(({ arrival }) => arrival === watch.pointed);
	const to = at < 0 ? 0 : Math.max(0, Math.min(byLane.length - 1, at + by));
	watch.point(byLane[to]?.arrival ?? null);
}

function StepWords({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const column = watch.selectedColumn() ?? watch.lastColumn();
	const isChosen = watch.selectedColumn() !== null;
	return (
		<p class="live-line" aria-live={isChosen ? "polite" : "off"}>
			{column === null
				? "No step yet."
				: describeStep(column.step, budgetOf(watch))}
			{watch.pointed !== null && ` ${sequenceWords(watch, watch.pointed)}`}
		</p>
	);
}

function StepTable({ watch }: { readonly watch: Watch }) {
	const [isOpen, setOpen] = useState(false);
	return (
		<details onToggle={(event) => setOpen(event.currentTarget.open)}>
			<summary>This step as a table</summary>
			{isOpen && <Rows watch={watch} />}
		</details>
	);
}

function Rows({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const column: StepColumn | null =
		watch.selectedColumn() ?? watch.lastColumn();
	if (column === null) return <p class="hint">No step yet.</p>;
	const { step } = column;
	return (
		<ScrollRegion label="Rows of the step">
			<table class="data-table">
				<caption class="hidden-visually">Step {step.step}</caption>
				<thead>
					<tr>
						<th scope="col">Sequence</th>
						<th scope="col">Phase</th>
						<th scope="col">Tokens</th>
						<th scope="col">Positions</th>
						<th scope="col">Samples</th>
					</tr>
				</thead>
				<tbody>
					{step.rows
						.toEvents()
						.map(({ arrival, phase, start, numTokens, samples }) => (
							<tr key={arrival}>
								<th scope="row">{nameOf(arrival)}</th>
								<td>{phase}</td>
								<td>{count(numTokens)}</td>
								<td>
									{numTokens === 1
										? start
										: `${start} to ${start + numTokens - 1}`}
								</td>
								<td>{samples ? "yes" : "no"}</td>
							</tr>
						))}
				</tbody>
			</table>
		</ScrollRegion>
	);
}
