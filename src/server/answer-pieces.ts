/** What an assistant's text is made of: reasoning, content, calls of tools. Parsers turn text into pieces as it arrives. Knows no model's format. */

export type AnswerPiece =
	| { readonly kind: "reasoning"; readonly text: string }
	| { readonly kind: "content"; readonly text: string }
	| { readonly kind: "call"; readonly index: number; readonly name: string }
	| {
			readonly kind: "arguments";
			readonly index: number;
			readonly text: string;
	  };

/** Law: pieces of text cut anywhere give the same answer. */
export interface AnswerParser {
	push(text: string): AnswerPiece[];
	/** What was held back. Call it once, at the end. */
	finish(): AnswerPiece[];
}

export interface ParsedCall {
	readonly name: string;
	readonly arguments: string;
}

export interface ParsedAnswer {
	/** null where there is none. */
	readonly reasoning: string | null;
	readonly content: string | null;
	readonly calls: readonly ParsedCall[];
}

/** A whole text at once. */
export function parseAnswer(parser: AnswerParser, text: string): ParsedAnswer {
	let reasoning: string | null = null;
	let content: string | null = null;
	const calls: { name: string; arguments: string }[] = [];
	for (const piece of [...parser.push(text), ...parser.finish()])
		switch (piece.kind) {
			case "reasoning":
				reasoning = (reasoning ?? "") + piece.text;
				break;
			case "content":
				content = (content ?? "") + piece.text;
				break;
			case "call":
				calls[piece.index] = { name: piece.name, arguments: "" };
				break;
			case "arguments":
				calls[piece.index].arguments += piece.text;
				break;
			default:
				piece satisfies never;
		}
	return { reasoning, content, calls };
}

/** All text is content. */
export function createPlainParser(): AnswerParser {
	return {
		push: (text) => (text === "" ? [] : [{ kind: "content", text }]),
		finish: () => [],
	};
}

/** Characters at the end of `text` that may be the beginning of `marker`. */
export function overlap(text: string, marker: string): number {
	for (
		let length = Math.min(text.length, marker.length - 1);
		length > 0;
		length--
	)
		if (text.endsWith(marker.slice(0, length))) return length;
	return 0;
}
