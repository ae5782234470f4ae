/** A canvas as sharp as the screen: keeps its size and theme, and has its picture painted at most once a frame. Knows no picture. */
import { useEffect, useRef } from "preact/hooks";
import type { Frames } from "./frames.ts";
import { onThemeChange, type Palette, readPalette } from "./palette.ts";

export interface Picture {
	/**
	 * Paints in CSS pixels. `whole`: nothing painted before is there any more; else the canvas is as the picture left it.
	 */
	paint(
		ctx: CanvasRenderingContext2D,
		size: PictureSize,
		palette: Palette,
		whole: boolean,
	): void;
}

export interface PictureSize {
	readonly width: number;
	readonly height: number;
	/** Device pixels a CSS pixel. */
	readonly scale: number;
}

export interface CanvasProps {
	readonly picture: Picture;
	readonly frames: Frames;
	/** Calls back whenever there may be something new to paint. @returns what ends that */
	readonly subscribe: (changed: () => void) => () => void;
	/** CSS pixels; the width is what the page gives. */
	readonly height: number;
	readonly label: string;
	/** Id of an element that tells more. */
	readonly describedBy?: string;
	readonly onPoint?: (x: number, y: number) => void;
	readonly onLeave?: () => void;
	readonly onPick?: (x: number, y: number) => void;
	readonly onKey?: (event: KeyboardEvent) => void;
	readonly onWidth?: (width: number) => void;
}

export function Canvas(props: CanvasProps) {
	const element = useRef<HTMLCanvasElement>(null);
	const latest = useRef(props);
	latest.current = props;
	const { picture, frames, subscribe, height } = props;

	useEffect(() => {
		const canvas = element.current;
		if (canvas === null) return;
		return keepPainted(canvas, picture, frames, subscribe, (width) =>
			latest.current.onWidth?.(width),
		);
	}, [picture, frames, subscribe]);

	const at = (
		event: MouseEvent,
		call: ((x: number, y: number) => void) | undefined,
	) => call?.(event.offsetX, event.offsetY);
	return (
		<canvas
			ref={element}
			class="picture"
			style={{ height: `${height}px` }}
			role={props.onKey ? "application" : "img"}
			tabIndex={props.onKey ? 0 : undefined}
			aria-label={props.label}
			aria-describedby={props.describedBy}
			onPointerMove={(event) => at(event, props.onPoint)}
			onPointerLeave={() => props.onLeave?.()}
			onClick={(event) => at(event, props.onPick)}
			onKeyDown={(event) => props.onKey?.(event)}
			onBlur={() => props.onLeave?.()}
		/>
	);
}

function keepPainted(
	canvas: HTMLCanvasElement,
	picture: Picture,
	frames: Frames,
	subscribe: (changed: () => void) => () => void,
	onWidth: (width: number) => void,
): () => void {
	const ctx = canvas.getContext("2d", { alpha: false });
	if (ctx === null) return () => {};
	let size: PictureSize = { width: 0, height: 0, scale: 1 };
	let palette: Palette | null = null;
	let whole = true;
	const paint = () => {
		if (size.width === 0 || size.height === 0) return;
		palette ??= readPalette(canvas, size.scale);
		ctx.setTransform(size.scale, 0, 0, size.scale, 0, 0);
		const all = whole;
		whole = false;
		picture.paint(ctx, size, palette, all);
	};
	const changed = () => frames.ask(paint);
	const again = () => {
		palette = null;
		whole = true;
		changed();
	};
	const observer = new ResizeObserver(() => {
		const scale = devicePixelRatio;
		const { clientWidth: width, clientHeight: height } = canvas;
		if (width !== size.width) onWidth(width);
		size = { width, height, scale };
		canvas.width = Math.round(width * scale);
		canvas.height = Math.round(height * scale);
		again();
	});
	observer.observe(canvas);
	const endTheme = onThemeChange(again);
	const endChanges = subscribe(changed);
	return () => {
		observer.disconnect();
		endTheme();
		endChanges();
		frames.forget(paint);
	};
}
