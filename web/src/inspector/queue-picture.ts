/**
 * Paints a queue as upright bars, one a sequence, first to run first: as high as the tokens it may come to, filled as far as its
 * tokens are computed, with a line where its prompt ends. Knows no engine.
 */
import type { Picture, PictureSize } from "./canvas.tsx";
import type { Palette } from "./palette.ts";
import { nameOf, styleOf } from "./sequence-style.ts";

export interface QueueEntry {
	readonly arrival: number;
	readonly numPromptTokens: number;
	/** Prompt and output at most. */
	readonly maxTokens: number;
	readonly numComputedTokens: number;
	/** Found in the prefix cache. */
	readonly numCachedTokens: number;
}

export interface QueueView {
	readonly entries: readonly QueueEntry[];
	/** Entries that are not listed. */
	readonly numMore: number;
	readonly focus: number | null;
}

/** Entries drawn of a long queue. */
export const MAX_ENTRIES = 256;
const MAX_BAR = 30;
const NAME_HEIGHT = 14;

export function entryAt(
	{ entries }: QueueView,
	width: number,
	x: number,
): number | null {
	return (
		entries[Math.floor(x / barWidth(entries.length, width))]?.arrival ?? null
	);
}

function barWidth(numEntries: number, width: number): number {
	return Math.min(MAX_BAR, width / Math.max(1, numEntries));
}

export function queuePicture(view: () => QueueView): Picture {
	return {
		paint(ctx, size, palette) {
			const now = view();
			ctx.fillStyle = palette.surface;
			ctx.fillRect(0, 0, size.width, size.height);
			const width = barWidth(now.entries.length, size.width);
			const most = now.entries.reduce(
				(sum, entry) => Math.max(sum, entry.maxTokens),
				1,
			);
			now.entries.forEach((entry, i) => {
				const isDimmed = now.focus !== null && now.focus !== entry.arrival;
				ctx.globalAlpha = isDimmed ? 0.2 : 1;
				paintBar(ctx, size, palette, entry, i * width, width, most);
			});
			ctx.globalAlpha = 1;
		},
	};
}

function paintBar(
	ctx: CanvasRenderingContext2D,
	size: PictureSize,
	palette: Palette,
	entry: QueueEntry,
	x: number,
	width: number,
	most: number,
): void {
	const hasName = width >= 18;
	const bottom = size.height - (hasName ? NAME_HEIGHT : 0);
	const side = width > 4 ? width - 2 : Math.max(1, width - 0.5);
	const heightOf = (numTokens: number) => (numTokens / most) * bottom;
	const style = styleOf(entry.arrival);
	const height = heightOf(entry.maxTokens);
	ctx.fillStyle = palette.empty;
	ctx.fillRect(x, bottom - height, side, height);
	const computed = heightOf(entry.numComputedTokens);
	ctx.fillStyle = palette.fill(style);
	ctx.fillRect(x, bottom - computed, side, computed);
	const cached = heightOf(entry.numCachedTokens);
	ctx.fillStyle = palette.accent;
	if (cached > 0 && width >= 4) ctx.fillRect(x, bottom - cached, 3, cached);
	ctx.fillStyle = palette.text;
	ctx.fillRect(x, bottom - heightOf(entry.numPromptTokens), side, 1);
	if (!hasName) return;
	ctx.fillStyle = palette.muted;
	ctx.font = `10px ${palette.font}`;
	ctx.textBaseline = "alphabetic";
	ctx.fillText(nameOf(entry.arrival), x, size.height - 3, width - 1);
}
