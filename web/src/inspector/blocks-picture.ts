/**
 * Paints the KV pool as a map, one cell a block: filled with its sequence's look where it is held, framed where it is free but still
 * holds a prefix that may be found, faint where it is empty. Repaints only cells that look another way than before. Knows no engine.
 */
import type { Picture } from "./canvas.tsx";
import type { Palette } from "./palette.ts";
import { styleOf } from "./sequence-style.ts";

export interface BlocksView {
	/** So many are drawn, the first ones. */
	readonly numDrawn: number;
	numReferences(block: number): number;
	/** A sequence that holds it, else the one that filled it last; null: none is known. */
	ownerOf(block: number): number | null;
	isCached(block: number): boolean;
	/** Its prefix was dropped a moment ago. */
	wasEvicted(block: number): boolean;
	/** The sequence that is pointed at holds it. */
	isFocused(block: number): boolean;
	readonly hasFocus: boolean;
	readonly selected: number | null;
	/** The selected block's prefix. */
	isInChain(block: number): boolean;
}

export interface BlockGrid {
	/** Side of a cell, its gap included, in CSS pixels. */
	readonly cell: number;
	readonly numColumns: number;
	readonly numRows: number;
}

/** More blocks than this are never drawn. */
const MAX_BLOCKS_DRAWN = 65_536;
const MIN_BLOCKS_DRAWN = 128;
const MIN_CELL = 4;
const MAX_CELL = 26;

/** Blocks are handed out from the first on, so that a large pool is drawn as far as it was ever used; a power of two, which seldom changes. */
export function numBlocksDrawn(
	numBlocks: number,
	numTouched: number,
	isAll: boolean,
): number {
	const most = Math.min(numBlocks, MAX_BLOCKS_DRAWN);
	if (isAll) return most;
	const power = 2 ** Math.ceil(Math.log2(Math.max(1, numTouched)));
	const drawn = Math.max(MIN_BLOCKS_DRAWN, power);
	return drawn > most / 2 ? most : drawn;
}

/** The largest cells with which the map is no higher than `height`. */
export function gridOf(
	numDrawn: number,
	width: number,
	height: number,
): BlockGrid {
	for (let cell = MAX_CELL; ; cell--) {
		const numColumns = Math.max(1, Math.floor(width / cell));
		const numRows = Math.ceil(numDrawn / numColumns);
		if (numRows * cell <= height || cell <= MIN_CELL)
			return { cell, numColumns, numRows };
	}
}

export function blockAt(
	{ cell, numColumns }: BlockGrid,
	numDrawn: number,
	x: number,
	y: number,
): number | null {
	const column = Math.floor(x / cell);
	if (column < 0 || column >= numColumns || y < 0) return null;
	const block = Math.floor(y / cell) * numColumns + column;
	return block < numDrawn ? block : null;
}

/** How a cell looks, as one number; cells of the same number look alike. */
const HELD = 1;
const CACHED = 2;
const EVICTED = 4;
const DIMMED = 8;
const SELECTED = 16;
const CHAIN = 32;
const REFERENCES_SHIFT = 6;
const MAX_REFERENCES_SHOWN = 255;
const OWNER_SHIFT = 14;
/** Owners whose looks differ (styleOf), and one more: nobody. */
const NUM_LOOKS = 60;
/** No cell's look. */
const UNPAINTED = 2 ** 31;

export function blocksPicture(view: () => BlocksView): Picture {
	let painted = new Uint32Array(0);
	let grid: BlockGrid = { cell: 1, numColumns: 1, numRows: 1 };
	return {
		paint(ctx, size, palette, whole) {
			const now = view();
			const { numDrawn } = now;
			if (whole || painted.length !== numDrawn) {
				painted = new Uint32Array(numDrawn).fill(UNPAINTED);
				grid = gridOf(numDrawn, size.width, size.height);
				ctx.fillStyle = palette.surface;
				ctx.fillRect(0, 0, size.width, size.height);
			}
			for (let block = 0; block < numDrawn; block++) {
				const look = lookOf(now, block);
				if (look === painted[block]) continue;
				painted[block] = look;
				paintCell(ctx, palette, now, grid, block, look);
			}
		},
	};
}

function lookOf(view: BlocksView, block: number): number {
	const owner = view.ownerOf(block);
	const numReferences = view.numReferences(block);
	const isDimmed = view.hasFocus && !view.isFocused(block);
	return (
		(numReferences > 0 ? HELD : 0) |
		(view.isCached(block) ? CACHED : 0) |
		(view.wasEvicted(block) ? EVICTED : 0) |
		(isDimmed ? DIMMED : 0) |
		(block === view.selected ? SELECTED : 0) |
		(view.isInChain(block) ? CHAIN : 0) |
		(Math.min(numReferences, MAX_REFERENCES_SHOWN) << REFERENCES_SHIFT) |
		((owner === null ? 0 : 1 + (owner % NUM_LOOKS)) << OWNER_SHIFT)
	);
}

function paintCell(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	view: BlocksView,
	{ cell, numColumns }: BlockGrid,
	block: number,
	look: number,
): void {
	const x = (block % numColumns) * cell;
	const y = Math.floor(block / numColumns) * cell;
	const side = cell - 1;
	ctx.fillStyle = palette.surface;
	ctx.fillRect(x, y, cell, cell);
	ctx.globalAlpha = look & DIMMED ? 0.18 : 1;
	const owner = view.ownerOf(block);
	if (look & HELD) {
		ctx.fillStyle =
			owner === null ? palette.muted : palette.fill(styleOf(owner));
		ctx.fillRect(x, y, side, side);
		if (look & CACHED) paintCorner(ctx, palette, x, y, side);
		paintReferences(ctx, palette, view.numReferences(block), x, y, side);
	} else if (look & CACHED) {
		const colour = owner === null ? palette.muted : palette.hue(styleOf(owner));
		paintFrame(ctx, palette, colour, x, y, side);
	} else {
		ctx.fillStyle = palette.empty;
		ctx.fillRect(x, y, side, side);
	}
	ctx.globalAlpha = 1;
	if (look & EVICTED) outline(ctx, palette.alarm, x, y, side, 1.5);
	if (look & CHAIN) outline(ctx, palette.text, x, y, side, 1.5);
	if (look & SELECTED) {
		outline(ctx, palette.surface, x, y, side, 4);
		outline(ctx, palette.accent, x, y, side, 2.5);
	}
}

/** Free, but a later prompt can find it. */
function paintFrame(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	colour: string,
	x: number,
	y: number,
	side: number,
): void {
	ctx.fillStyle = palette.empty;
	ctx.fillRect(x, y, side, side);
	outline(ctx, colour, x, y, side, side > 9 ? 1.5 : 1);
}

/** In the prefix cache. */
function paintCorner(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	x: number,
	y: number,
	side: number,
): void {
	if (side < 9) return;
	const leg = Math.max(3, side * 0.28);
	ctx.fillStyle = palette.text;
	ctx.beginPath();
	ctx.moveTo(x + side, y + side);
	ctx.lineTo(x + side - leg, y + side);
	ctx.lineTo(x + side, y + side - leg);
	ctx.fill();
}

/** Held by several: how many, or a dot where there is no room for a number. */
function paintReferences(
	ctx: CanvasRenderingContext2D,
	palette: Palette,
	numReferences: number,
	x: number,
	y: number,
	side: number,
): void {
	if (numReferences < 2) return;
	const middle = side / 2;
	ctx.fillStyle = palette.surface;
	ctx.beginPath();
	ctx.arc(x + middle, y + middle, side * 0.36, 0, 2 * Math.PI);
	ctx.fill();
	if (side < 13) return;
	ctx.fillStyle = palette.text;
	ctx.font = `600 ${Math.round(side * 0.5)}px ${palette.font}`;
	ctx.textAlign = "center";
	ctx.textBaseline = "middle";
	ctx.fillText(
		String(numReferences),
		x + middle,
		y + middle + 0.5,
		side * 0.66,
	);
	ctx.textAlign = "start";
}

function outline(
	ctx: CanvasRenderingContext2D,
	colour: string,
	x: number,
	y: number,
	side: number,
	width: number,
): void {
	ctx.strokeStyle = colour;
	ctx.lineWidth = width;
	const inset = width / 2;
	ctx.strokeRect(x + inset, y + inset, side - width, side - width);
}
