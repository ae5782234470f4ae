/** Paints the kept history in one strip: how full the pool was, and marks for preemptions and evictions. Knows no engine. */
import type { Picture, PictureSize } from "./canvas.tsx";
import type { StepColumn } from "./lanes.ts";
import type { Palette } from "./palette.ts";

export interface TimelineView {
	readonly columns: readonly StepColumn[];
	readonly numBlocks: number;
	/** Milliseconds at the left and right end. */
	readonly startMs: number;
	readonly endMs: number;
	/** The moment shown; null: the latest. */
	readonly cursorMs: number | null;
}

const MARKS_HEIGHT = 6;

export function timelinePicture(view: () => TimelineView): Picture {
	return {
		paint(ctx, size, palette) {
			const now = view();
			ctx.fillStyle = palette.surface;
			ctx.fillRect(0, 0, size.width, size.height);
			paintUsage(ctx, size, palette, now);
			ctx.fillStyle = palette.line;
			ctx.fillRect(0, size.height - MARKS_HEIGHT - 1, size.width, 1);
			if (now.cursorMs === null) return;
			ctx.fillStyle = palette.accent;
			const x = xOf(now, now.cursorMs, size.width);
			ctx.fillRect(Math.min(size.width - 2, x - 1), 0, 2, size.height);
		},
	};
}

export function xOf(
	{ startMs, endMs }: TimelineView,
	atMs: number,
	width: number,
): number {
	return ((atMs - startMs) / Math.max(1, endMs - startMs)) * width;
}

/** The fullest moment of every pixel column, against the fullest of all. */
function paintUsage(
	ctx: CanvasRenderingContext2D,
	size: PictureSize,
	palette: Palette,
	view: TimelineView,
): void {
	const usage = new Float32Array(Math.ceil(size.width) + 1);
	const marks = new Uint8Array(usage.length);
	let from = 0;
	let used = 0;
	for (const { step } of view.columns) {
		const x = Math.max(0, Math.floor(xOf(view, step.startMs, size.width)));
		for (; from < x && from < usage.length; from++)
			usage[from] = Math.max(usage[from], used);
		used = 1 - step.counters.numFreeBlocks / view.numBlocks;
		usage[x] = Math.max(usage[x], used);
		if (step.preempted.length > 0) marks[x] = 2;
		else if (step.evicted.length > 0) marks[x] ||= 1;
	}
	const peak = usage.reduce((most, share) => Math.max(most, share), 1e-9);
	const height = size.height - MARKS_HEIGHT - 2;
	ctx.fillStyle = palette.muted;
	ctx.globalAlpha = 0.5;
	for (let x = 0; x < usage.length; x++) {
		const share = usage[x] / peak;
		ctx.fillRect(x, height * (1 - share), 1, height * share);
	}
	ctx.globalAlpha = 1;
	ctx.fillStyle = palette.alarm;
	for (let x = 0; x < marks.length; x++) {
		if (marks[x] === 0) continue;
		const tall = marks[x] === 2;
		ctx.fillRect(
			x,
			size.height - MARKS_HEIGHT + (tall ? 0 : 3),
			2,
			tall ? MARKS_HEIGHT : 3,
		);
	}
}
