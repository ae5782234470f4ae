/** Lines a person types or a pipe brings, and Ctrl-C. Knows no chat. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { paint } from "./terminal.ts";

export interface LineReader {
	/** Ends with Ctrl-D, the pipe's end, or `close`. */
	readonly lines: AsyncIterable<string>;
	/** Shows the prompt and listens to the keyboard again. */
	prompt(): void;
	/** Keys typed from here to the next prompt are not shown. */
	mute(): void;
	close(): void;
}

export function createLineReader(onInterrupt: () => void): LineReader {
	const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
	let muted = false;
	let closed = false;
	const output = new Writable({
		write(chunk, _encoding, done) {
			if (isTerminal && !muted) process.stdout.write(chunk);
			done();
		},
	});
	Object.defineProperty(output, "columns", {
		get: () => process.stdout.columns,
	});
	const reader = createInterface({
		input: process.stdin,
		output,
		terminal: isTerminal,
		prompt: paint(["bold", "cyan"], "> "),
	});
	reader.on("close", () => {
		closed = true;
	});
	// On a terminal readline sees the key, elsewhere the process gets the signal.
	reader.on("SIGINT", onInterrupt);
	process.on("SIGINT", onInterrupt);
	return {
		lines: reader,
		prompt() {
			muted = false;
			if (isTerminal && !closed) reader.prompt(true);
		},
		mute() {
			muted = true;
		},
		close() {
			process.removeListener("SIGINT", onInterrupt);
			reader.close();
		},
	};
}
