/**
 * Splits <think>…</think> off the beginning of an answer, as Qwen3 and others write it. What follows goes to the parser of the answer
 * proper. Knows no HTTP.
 */
import {
	type AnswerParser,
	type AnswerPiece,
	overlap,
} from "./answer-pieces.ts";

export const OPEN = "<think>";
export const CLOSE = "</think>";

/**
 * Whether a rendered prompt ends inside a thought, which the model then goes on with. Anybody may write <think> in a message: what counts
 * is the template's last word.
 * @param begun what the model has said already and is to go on with, the end of the prompt; null: it begins
 */
export const endsInThought = (
	prompt: string,
	begun: string | null = null,
): boolean =>
	begun === null
		? prompt.trimEnd().endsWith(OPEN)
		: begun.lastIndexOf(OPEN) > begun.lastIndexOf(CLOSE);

/** Whether a rendered prompt ends behind a thought, often an empty one that keeps the model from thinking. */
export const endsBehindThought = (prompt: string): boolean =>
	prompt.trimEnd().endsWith(CLOSE);

/** @param isOpen the prompt has opened the thought already */
export function createReasoningParser(
	answer: AnswerParser,
	isOpen: boolean,
): AnswerParser {
	let state: "start" | "thought" | "answer" = isOpen ? "thought" : "start";
	let rest = "";

	const readStart = (): boolean => {
		const text = rest.trimStart();
		if (OPEN.startsWith(text) && text !== OPEN) return false;
		if (text.startsWith(OPEN)) {
			rest = text.slice(OPEN.length);
			state = "thought";
		} else state = "answer";
		return true;
	};
	const readThought = (pieces: AnswerPiece[]): boolean => {
		const at = rest.indexOf(CLOSE);
		const end = at === -1 ? rest.length - overlap(rest, CLOSE) : at;
		const text = rest.slice(0, end);
		if (text !== "") pieces.push({ kind: "reasoning", text });
		rest = rest.slice(at === -1 ? end : end + CLOSE.length);
		if (at !== -1) state = "answer";
		return at !== -1;
	};
	return {
		push(text) {
			const pieces: AnswerPiece[] = [];
			rest += text;
			if (state === "start") readStart();
			if (state === "thought") readThought(pieces);
			if (state !== "answer" || rest === "") return pieces;
			pieces.push(...answer.push(rest));
			rest = "";
			return pieces;
		},
		finish() {
			const pieces: AnswerPiece[] = [];
			if (state === "thought" && rest !== "")
				pieces.push({ kind: "reasoning", text: rest });
			if (state === "start" && rest !== "") pieces.push(...answer.push(rest));
			pieces.push(...answer.finish());
			return pieces;
		},
	};
}
