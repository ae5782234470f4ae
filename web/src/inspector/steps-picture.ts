/**
 * Paints steps as columns, the latest at the right: above, the tokens of the budget they used; below, a lane a sequence, so that one
 * that runs is a band and one that waits a gap. Shifts what it painted before and adds the new columns. Knows no engine.
 */
import type { InspectedStep } from "../../../src/inspector/state.ts";
import type { Picture, PictureSize } from "./canvas.tsx";
import type { StepColumn } from "./lanes.ts";
import type { Palette } from "./palette.ts";
import { nameOf, styleOf } from "./sequence-style.ts";

export interface StepsView {
	/** Oldest first. */
	readonly columns: readonly StepColumn[];
	/** Those before it are shown. */
	readonly end: number;
	/** maxNumBatchedTokens */
	readonly budget: number;
	/** Lanes to make room for. */
	readonly numLanes: number;
	readonly columnWidth: number;
	/** The sequence that is pointed at. */
	readonly focus: number | null;
	/** Step number. */
	readonly selected: number | null;
}

export const BUDGET_HEIGHT = 56;
const GAP = 12;
const LANES_TOP = BUDGET_HEIGHT + GAP;
const MARK_HEIGHT = 14;

/** Which step and sequence lie at a point. */
export function stepAt(
	view: StepsView,
	width: number,
	height: number,
	x: number,
	y: number,
): { column: StepColumn; arrival: number | null } | null {
	const fromEnd = Math.floor((width - x) / view.columnWidth);
	const column = view.columns[view.end - 1 - fromEnd];
	if (fromEnd < 0 || column === undefined) return null;
	const lane = Math.floor((y - LANES_TOP) / laneHeight(view, height));
	const row = column.lanes.indexOf(lane);
	const arrival = row < 0 ? null : column.step.rows.arrival(row);
	return { column, arrival };
}

function laneHeight({ numLanes }: StepsView, height: number): number {
	return (height - LANES_TOP - MARK_HEIGHT) / Math.max(numLanes, 4);
}

/** @param view the view of the moment; the same object where nothing but `columns` grew */
export function stepsPicture(view: () => StepsView): Picture {
	let before: StepsView | null = null;
	let last: StepColumn | null = null;
	return {
		paint(ctx, size, palette, whole) {
			const now = view();
			const numNew =
				whole || before === null || last === null || !canShift(before, now)
					? null
					: numColumnsSince(now, last);
			before = now;
			const { columns, end, columnWidth } = now;
			last = columns[end - 1] ?? null;
			if (numNew === 0) return;
			const numVisible = Math.ceil(size.width / columnWidth);
			if (numNew === null || numNew >= numVisible) {
				ctx.fillStyle = palette.surface;
				ctx.fillRect(0, 0, size.width, size.height);
				paintColumns(ctx, size, palette, now, numVisible);
			} else {
				shift(ctx, size, numNew * columnWidth, palette);
				paintColumns(ctx, size, palette, now, numNew);
			}
		},
	};
}

function canShift(before: StepsView, now: StepsView): boolean {
	return (
		before.budget === now.budget &&
		before.numLanes === now.numLanes &&
		before.columnWidth === now.columnWidth &&
		before.focus === now.focus &&
		before.selected === now.selected
	);
}

/** null: `last` is not among them, so the moment shown jumped. */
function numColumnsSince(
	{ columns, end }: StepsView,
	last: StepColumn,
): number | null {
	for (let i = end - 1; i >= 0; i--) {
		if (columns[i] === last) return end - 1 - i;
		if (columns[i].index < last.index) return null;
	}
	return null;
}

function shift(
	ctx: CanvasRenderingContext2D,
	{ width, height, scale }: PictureSize,
	by: number,
	palette: Palette,
): void {
	const pixels = by * scale;
	ctx.setTransform(1, 0, 0, 1, 0, 0);
	ctx.drawImage(ctx.canvas, -pixels, 0);
	ctx.setTransform(scale, 0, 0, scale, 0, 0);
	ctx.fillStyle = palette.surface;
	ctx.fillRect(width - by, 0, by, height);
}

function paintColumns(
	ctx: CanvasRenderingContext2D,
	size: PictureSize,
	palette: Palette,
	view: StepsView,
	numColumns: number,
): void {
	const { columns, end, columnWidth } = view;
	const first = Math.max(0, end - numColumns);
	for (let i = first; i < end; i++) {
		const x = size.width - (end - i) * columnWidth;
		paintBudget(ctx, palette, view, columns[i], x);
		paintLanes(ctx, size, palette, view, columns[i], x, i);
	}
	const from = size.width - (end - first) * columnWidth;
	ctx.fillStyle = palette.line;
	ctx.fillRect(from, BUDGET_HEIGHT, size.width - from, 1);
	ctx.fillRect(from, 0, size.width - from, 1);
}

/** Decodes below, prefills above them, in the share of the budget they took. */
function paintBudget(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	{ budget, columnWidth, selected }: StepsView,
	{ step }: StepColumn,
	x: number,
): void {
	const width = columnWidth - 1;
	if (selected === step.step) {
		ctx.fillStyle = palette.empty;
		ctx.fillRect(x, 0, columnWidth, ctx.canvas.height);
	}
	let numDecodes = 0;
	while (numDecodes < step.rows.length && step.rows.isDecode(numDecodes))
		numDecodes++;
	const heightOf = (numTokens: number) =>
		numTokens === 0 ? 0 : Math.max(1, (numTokens / budget) * BUDGET_HEIGHT);
	const decode = heightOf(numDecodes);
	const prefill = heightOf(step.numTokens - numDecodes);
	ctx.fillStyle = palette.text;
	ctx.fillRect(x, BUDGET_HEIGHT - decode, width, decode);
	ctx.fillStyle = palette.muted;
	ctx.globalAlpha = 0.55;
	ctx.fillRect(x, BUDGET_HEIGHT - decode - prefill, width, prefill);
	ctx.globalAlpha = 1;
}

function paintLanes(
	ctx: CanvasRenderingContext2D,
	size: PictureSize,
	palette: Palette,
	view: StepsView,
	{ step, lanes, preemptedLanes }: StepColumn,
	x: number,
	i: number,
): void {
	const { columnWidth, focus } = view;
	const laneSide = laneHeight(view, size.height);
	const height = laneSide > 3 ? laneSide - 1 : laneSide;
	const width = columnWidth > 3 ? columnWidth - 1 : columnWidth;
	const hasNames = height >= 11 && columnWidth >= 22;
	for (let r = 0; r < lanes.length; r++) {
		const arrival = step.rows.arrival(r);
		const y = LANES_TOP + lanes[r] * laneSide;
		ctx.globalAlpha = focus === null || focus === arrival ? 1 : 0.15;
		ctx.fillStyle = palette.fill(styleOf(arrival));
		if (!step.rows.isDecode(r)) ctx.fillRect(x, y, columnWidth, height);
		else {
			const thin = Math.max(1, height * 0.45);
			ctx.fillRect(x, y + (height - thin) / 2, width, thin);
		}
		if (hasNames && isFirst(view.columns[i - 1], arrival))
			paintName(ctx, palette, arrival, x, y, height, columnWidth);
	}
	ctx.globalAlpha = 1;
	ctx.fillStyle = palette.alarm;
	for (const lane of preemptedLanes) {
		const y = LANES_TOP + lane * laneSide;
		ctx.fillRect(x, y, 2, Math.max(2, height));
	}
	paintMarks(ctx, size, palette, step, x, width);
}

/** Below the lanes: preemptions as a bar, evictions as a dot, hits of the prefix cache as a triangle. */
function paintMarks(
	ctx: CanvasRenderingContext2D,
	size: PictureSize,
	palette: Palette,
	step: InspectedStep,
	x: number,
	width: number,
): void {
	const y = size.height - MARK_HEIGHT + 4;
	const side = Math.min(width, 7);
	ctx.fillStyle = palette.alarm;
	if (step.preempted.length > 0) ctx.fillRect(x, y, side, 8);
	else if (step.evicted.length > 0) {
		ctx.beginPath();
		ctx.arc(x + side / 2, y + 4, side / 3, 0, 2 * Math.PI);
		ctx.fill();
	}
	if (!step.admitted.some(({ numCachedTokens }) => numCachedTokens > 0)) return;
	ctx.fillStyle = palette.accent;
	ctx.beginPath();
	ctx.moveTo(x, y + 8);
	ctx.lineTo(x + side / 2, y);
	ctx.lineTo(x + side, y + 8);
	ctx.fill();
}

function isFirst(before: StepColumn | undefined, arrival: number): boolean {
	if (before === undefined) return true;
	const { rows } = before.step;
	for (let row = 0; row < rows.length; row++)
		if (rows.arrival(row) === arrival) return false;
	return true;
}

function paintName(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	arrival: number,
	x: number,
	y: number,
	height: number,
	columnWidth: number,
): void {
	const name = nameOf(arrival);
	ctx.font = `10px ${palette.font}`;
	const width = Math.min(columnWidth - 2, ctx.measureText(name).width + 4);
	ctx.fillStyle = palette.surface;
	ctx.fillRect(x + 1, y + height / 2 - 6, width, 12);
	ctx.fillStyle = palette.text;
	ctx.textBaseline = "middle";
	ctx.fillText(name, x + 3, y + height / 2 + 0.5, columnWidth - 4);
}
