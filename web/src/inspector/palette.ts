/** The colours pictures are painted with, read from CSS variables, so that they follow the page's theme. */
import {
	NUM_HUES,
	PATTERNS,
	type Pattern,
	type SequenceStyle,
} from "./sequence-style.ts";

export interface Palette {
	readonly surface: string;
	readonly text: string;
	readonly muted: string;
	readonly line: string;
	/** A place where something could be. */
	readonly empty: string;
	readonly accent: string;
	/** Preemptions, evictions. */
	readonly alarm: string;
	readonly font: string;
	/** Fill of a sequence. */
	fill(style: SequenceStyle): string | CanvasPattern;
	/** Its plain colour, for lines. */
	hue(style: SequenceStyle): string;
}

/** Side of a pattern's tile in CSS pixels. */
const TILE = 6;

/** @param scale device pixels a CSS pixel: a pattern's tile is drawn for it */
export function readPalette(element: Element, scale: number): Palette {
	// A variable reads as it was written; as somebody's colour it is worked out.
	const probe = document.createElement("span");
	element.after(probe);
	const css = getComputedStyle(probe);
	const read = (name: string) => {
		probe.style.color = `var(--${name})`;
		return css.color;
	};
	const hues = Array.from({ length: NUM_HUES }, (_, i) => read(`seq-${i}`));
	const surface = read("picture-surface");
	const fills = hues.map((hue) =>
		PATTERNS.map((pattern) => patternFill(pattern, hue, surface, scale)),
	);
	const palette = {
		surface,
		text: read("picture-text"),
		muted: read("picture-muted"),
		line: read("picture-line"),
		empty: read("picture-empty"),
		accent: read("picture-accent"),
		alarm: read("picture-alarm"),
		font: css.fontFamily,
		fill: ({ hue, pattern }: SequenceStyle) =>
			fills[hue][PATTERNS.indexOf(pattern)],
		hue: ({ hue }: SequenceStyle) => hues[hue],
	};
	probe.remove();
	return palette;
}

/** @returns what ends it */
export function onThemeChange(call: () => void): () => void {
	const scheme = matchMedia("(prefers-color-scheme: dark)");
	scheme.addEventListener("change", call);
	const observer = new MutationObserver(call);
	observer.observe(document.documentElement, {
		attributeFilter: ["data-theme"],
	});
	return () => {
		scheme.removeEventListener("change", call);
		observer.disconnect();
	};
}

function patternFill(
	pattern: Pattern,
	colour: string,
	surface: string,
	scale: number,
): string | CanvasPattern {
	if (pattern === "solid") return colour;
	const side = Math.round(TILE * scale);
	const tile = new OffscreenCanvas(side, side);
	const ctx = tile.getContext("2d");
	if (ctx === null) return colour;
	ctx.fillStyle = colour;
	ctx.fillRect(0, 0, side, side);
	ctx.fillStyle = surface;
	ctx.globalAlpha = 0.75;
	if (pattern === "stripes")
		ctx.fillRect(0, 0, side, Math.max(1, Math.round(side / 3)));
	else ctx.fillRect(0, 0, Math.round(side / 2), Math.round(side / 2));
	const fill = ctx.createPattern(tile, "repeat");
	// Painters scale by `scale`; the tile is in device pixels already.
	fill?.setTransform(new DOMMatrix().scale(1 / scale));
	return fill ?? colour;
}
