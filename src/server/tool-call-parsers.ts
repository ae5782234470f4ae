/**
 * Calls of tools in the formats models are trained on: Hermes and Qwen write <tool_call>{…}</tool_call> among their words, Llama 3 writes
 * nothing but objects, after a tag of Python or not. A format that a request forces (tool_choice) is read here too. Knows no HTTP.
 */
import {
	type AnswerParser,
	type AnswerPiece,
	overlap,
} from "./answer-pieces.ts";
import { type CallScanner, createCallScanner } from "./call-scanner.ts";

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
const PYTHON_TAG = "<|python_tag|>";

/** Markers that are special tokens in some tokenizers, and must then be kept in the text. */
export const MARKERS: Readonly<
	Record<"hermes" | "llama3_json", readonly string[]>
> = {
	hermes: [OPEN, CLOSE],
	llama3_json: [PYTHON_TAG],
};

/** One call being read: its pieces, and its raw text until it is known to be a call. */
class CallReader {
	readonly #index: number;
	readonly #scanner: CallScanner = createCallScanner();
	#isTold = false;
	raw = "";

	constructor(index: number) {
		this.#index = index;
	}

	get status() {
		return this.#scanner.status;
	}

	get isTold(): boolean {
		return this.#isTold;
	}

	/** @returns characters read */
	push(text: string, pieces: AnswerPiece[]): number {
		const length = this.#scanner.push(text);
		if (!this.#isTold) this.raw += text.slice(0, length);
		const index = this.#index;
		const { name } = this.#scanner;
		if (name === null) return length;
		if (!this.#isTold) pieces.push({ kind: "call", index, name });
		this.#isTold = true;
		const args = this.#scanner.takeArguments();
		if (args !== "") pieces.push({ kind: "arguments", index, text: args });
		return length;
	}
}

/** Words, held back where they are white space that a call may follow: what stands around calls is no content. */
function createContent(pieces: () => AnswerPiece[]) {
	let spaces = "";
	return {
		push(text: string) {
			const all = spaces + text;
			const words = all.trimEnd();
			spaces = all.slice(words.length);
			if (words !== "") pieces().push({ kind: "content", text: words });
		},
		dropSpaces() {
			spaces = "";
		},
		flush() {
			if (spaces !== "") pieces().push({ kind: "content", text: spaces });
			spaces = "";
		},
	};
}

/** <tool_call>{"name": …, "arguments": {…}}</tool_call>, any number of them, words before and between. */
export function createHermesParser(maxCalls = Infinity): AnswerParser {
	let pieces: AnswerPiece[] = [];
	let rest = "";
	let numCalls = 0;
	/** null: outside of a call. */
	let call: CallReader | null = null;
	const content = createContent(() => pieces);

	/** @returns whether more can be read */
	const readWords = (): boolean => {
		const at = rest.indexOf(OPEN);
		if (at === -1) {
			const held = overlap(rest, OPEN);
			content.push(rest.slice(0, rest.length - held));
			rest = rest.slice(rest.length - held);
			return false;
		}
		content.push(rest.slice(0, at));
		rest = rest.slice(at + OPEN.length);
		call = new CallReader(numCalls);
		return true;
	};

	const readCall = (current: CallReader): boolean => {
		const ignored: AnswerPiece[] = [];
		const isWanted = numCalls < maxCalls;
		rest = rest.slice(current.push(rest, isWanted ? pieces : ignored));
		if (current.status === "open") {
			return false;
		}
		if (current.status === "failed" && !current.isTold) {
			content.push(OPEN + current.raw);
			call = null;
			return true;
		}
		const at = rest.indexOf(CLOSE);
		if (at === -1) {
			rest = rest.slice(rest.length - overlap(rest, CLOSE));
			return false;
		}
		rest = rest.slice(at + CLOSE.length);
		content.dropSpaces();
		numCalls++;
		call = null;
		return true;
	};

	return {
		push(text) {
			pieces = [];
			rest += text;
			while (rest !== "" && (call === null ? readWords() : readCall(call)));
			return pieces;
		},
		finish() {
			pieces = [];
			if (call === null) content.push(rest);
			else if (!call.isTold) content.push(OPEN + call.raw + rest);
			if (numCalls === 0 && !call?.isTold) content.flush();
			return pieces;
		},
	};
}

/**
 * {"name": …, "parameters": {…}} one after the other, with ; or , between. Anything else from the beginning on is words.
 * `isList`: in brackets, as a request that requires a call is made to write them.
 */
export function createJsonCallsParser(
	isList: boolean,
	maxCalls = Infinity,
): AnswerParser {
	const separator = isList ? /^[\s,[\]]*/ : /^[\s;,]*/;
	let pieces: AnswerPiece[] = [];
	let rest = "";
	let state: "start" | "between" | "call" | "words" = "start";
	let call: CallReader | null = null;
	let numCalls = 0;

	const readStart = (): boolean => {
		const text = rest.trimStart();
		if (text === "") return false;
		if (PYTHON_TAG.startsWith(text)) return false;
		if (text.startsWith(PYTHON_TAG)) {
			rest = text.slice(PYTHON_TAG.length);
			state = "between";
		} else
			state =
				text[0] === "{" || (isList && text[0] === "[") ? "between" : "words";
		return true;
	};
	const readBetween = (): boolean => {
		const text = rest.replace(separator, "");
		if (text === "") return false;
		if (text[0] === "{") {
			rest = text;
			call = new CallReader(numCalls);
			state = "call";
		} else state = "words";
		return true;
	};
	const readCall = (current: CallReader): boolean => {
		const ignored: AnswerPiece[] = [];
		const isWanted = numCalls < maxCalls;
		rest = rest.slice(current.push(rest, isWanted ? pieces : ignored));
		if (current.status === "open") return false;
		if (current.status === "done") {
			numCalls++;
			state = "between";
			call = null;
			return true;
		}
		if (!current.isTold) {
			rest = current.raw + rest;
			call = null;
		}
		state = "words";
		return true;
	};
	const readWords = (): boolean => {
		// After calls, what is left is no answer to anybody.
		if (numCalls === 0 && call === null && rest !== "")
			pieces.push({ kind: "content", text: rest });
		rest = "";
		return false;
	};
	const step = (): boolean => {
		switch (state) {
			case "start":
				return readStart();
			case "between":
				return readBetween();
			case "call":
				return readCall(call as CallReader);
			case "words":
				return readWords();
			default:
				return state satisfies never;
		}
	};
	return {
		push(text) {
			pieces = [];
			rest += text;
			while (rest !== "" && step());
			return pieces;
		},
		finish() {
			pieces = [];
			if (call !== null && !call.isTold) rest = call.raw + rest;
			const isCall = call?.isTold ?? false;
			if (rest !== "" && numCalls === 0 && !isCall)
				pieces.push({ kind: "content", text: rest });
			return pieces;
		},
	};
}

/** The whole text is the arguments of one function, as a request that names it is made to write them. */
export function createNamedCallParser(name: string): AnswerParser {
	let isTold = false;
	return {
		push(text) {
			const pieces: AnswerPiece[] = [];
			if (!isTold) pieces.push({ kind: "call", index: 0, name });
			isTold = true;
			if (text !== "") pieces.push({ kind: "arguments", index: 0, text });
			return pieces;
		},
		finish: () => [],
	};
}
