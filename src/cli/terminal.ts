/** Standard output and error of this process: colours, one updating line, one error line. Knows no engine. */
import { stripVTControlCharacters, styleText } from "node:util";
import { NanoVllmError } from "../errors.ts";

type Style = Parameters<typeof styleText>[0];

/** Colours only where the stream is a terminal and NO_COLOR does not forbid them. */
export const paint = (
	style: Style,
	text: string,
	stream: NodeJS.WriteStream = process.stdout,
): string => styleText(style, text, { stream });

/** A line for people: to stderr, so that stdout stays the output. */
export function note(text: string, style: Style = "dim"): void {
	process.stderr.write(`${paint(style, text, process.stderr)}\n`);
}

/** One line on stderr that is written over; silent where stderr is no terminal. */
export interface StatusLine {
	show(text: string): void;
	clear(): void;
}

const REDRAW_MS = 80;

export function createStatusLine(
	stream: NodeJS.WriteStream = process.stderr,
): StatusLine {
	let shown = "";
	let shownAt = -Infinity;
	return {
		show(text) {
			const now = performance.now();
			if (!stream.isTTY || text === shown || now - shownAt < REDRAW_MS) return;
			const line = text.slice(0, stream.columns - 1);
			stream.write(`\r\x1b[2K${paint("dim", line, stream)}`);
			shown = text;
			shownAt = now;
		},
		clear() {
			if (shown !== "") stream.write("\r\x1b[2K");
			shown = "";
		},
	};
}

/** What a model says must not steer the terminal: no escape sequences, no control characters but line feed and tab. */
export function printable(text: string): string {
	if (!process.stdout.isTTY) return text;
	// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
	const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
	return stripVTControlCharacters(text).replace(controls, "");
}

/** One line for what went wrong; the stack only with NANO_VLLM_DEBUG=1. */
export function reportError(error: unknown, message: string): void {
	const code = error instanceof NanoVllmError ? error.code : "unexpected";
	const line = `error [${code}]: ${message.replace(/\s*\n\s*/g, " ")}`;
	process.stderr.write(`${paint("red", line, process.stderr)}\n`);
	if (process.env.NANO_VLLM_DEBUG === "1" && error instanceof Error)
		process.stderr.write(`${error.stack}\n`);
}

/** A reader that leaves early (`| head`) is no error. */
export function leaveQuietlyOnClosedPipe(): void {
	process.stdout.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") throw error;
		process.exit(0);
	});
}

/** Runs with a signal that Ctrl-C aborts; a second Ctrl-C ends the process at once. */
export async function withInterrupt<T>(
	run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
	const controller = new AbortController();
	const interrupt = () =>
		controller.abort(new NanoVllmError("aborted", "interrupted."));
	process.once("SIGINT", interrupt);
	try {
		return await run(controller.signal);
	} finally {
		process.removeListener("SIGINT", interrupt);
	}
}
