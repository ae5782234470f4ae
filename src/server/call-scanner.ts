/**
 * Reads one JSON object { "name": …, "arguments" or "parameters": {…} } as its text arrives, and hands out the arguments' text as it
 * stands, before the object is complete. Knows nothing of what stands around it. Law: pieces of any size give the same.
 */

export type ScanStatus = "open" | "done" | "failed";

export interface CallScanner {
	/** Reads on. @returns how many characters were the object's; less than all where it ends, or turns out to be none. */
	push(text: string): number;
	readonly status: ScanStatus;
	/** Known as soon as it is read; null before. */
	readonly name: string | null;
	/** The arguments' text since the last call, once the name is known. */
	takeArguments(): string;
}

const SPACE = /\s/;

export function createCallScanner(): CallScanner {
	let status: ScanStatus = "open";
	let name: string | null = null;
	/** Arguments read and not taken yet. */
	let pending = "";
	let hasArguments = false;
	/** Brackets open; keys and values of the object are at 1. */
	let depth = 0;
	let inString = false;
	let isEscaped = false;
	let key: string | null = null;
	/** The key, or the value after it; white space at its end is held apart. */
	let raw = "";
	let spaces = "";
	/** The arguments come as an object, and so can be handed on as they are read. */
	let isStreaming = false;

	const isArguments = () => key === "arguments" || key === "parameters";

	/** A value at depth 1 begins. */
	const begin = (char: string) => {
		isStreaming =
			key !== null && isArguments() && char !== '"' && !hasArguments;
	};

	const take = (char: string) => {
		if (raw === "" && spaces === "") begin(char);
		if (SPACE.test(char) && !inString) {
			if (raw !== "") spaces += char;
			return;
		}
		if (isStreaming) pending += spaces + char;
		raw += spaces + char;
		spaces = "";
	};

	/** A value at depth 1 has ended. */
	const end = () => {
		if (key === "name" && name === null) name = stringOf(raw);
		if (isArguments() && !hasArguments && raw !== "") {
			hasArguments = true;
			if (!isStreaming) pending += stringOf(raw) ?? raw;
		}
		if ((key === null && raw !== "") || (key !== null && raw === ""))
			status = "failed";
		if (key === "name" && name === null) status = "failed";
		key = null;
		raw = "";
		spaces = "";
		isStreaming = false;
	};

	const finish = () => {
		end();
		if (status === "failed") return;
		status = name === null ? "failed" : "done";
		if (!hasArguments) pending = "{}";
	};

	const step = (char: string) => {
		if (inString) {
			take(char);
			if (isEscaped) isEscaped = false;
			else if (char === "\\") isEscaped = true;
			else if (char === '"') inString = false;
			return;
		}
		if (depth === 0) {
			if (char === "{") depth = 1;
			else if (!SPACE.test(char)) status = "failed";
			return;
		}
		if (depth === 1) {
			if (char === "}") return finish();
			if (char === ",") return end();
			if (char === "]") {
				status = "failed";
				return;
			}
			if (char === ":" && key === null) {
				key = stringOf(raw);
				if (key === null) status = "failed";
				raw = "";
				spaces = "";
				return;
			}
			if (key === null && raw === "" && char !== '"' && !SPACE.test(char)) {
				status = "failed";
				return;
			}
		}
		take(char);
		if (char === '"') inString = true;
		else if (char === "{" || char === "[") depth++;
		else if (char === "}" || char === "]") depth--;
	};

	return {
		push(text) {
			let at = 0;
			while (at < text.length && status === "open") step(text[at++]);
			return at;
		},
		get status() {
			return status;
		},
		get name() {
			return name;
		},
		takeArguments() {
			if (name === null) return "";
			const taken = pending;
			pending = "";
			return taken;
		},
	};
}

function stringOf(raw: string): string | null {
	try {
		const value: unknown = JSON.parse(raw);
		return typeof value === "string" ? value : null;
	} catch {
		return null;
	}
}
