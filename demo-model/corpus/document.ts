/** What the model is trained on and asked: messages, their ChatML text, and held-out items. */

/** A type, not an interface, so that it fits types with open fields. */
export type Message = {
	role: "system" | "user" | "assistant";
	content: string;
};

export const END_OF_TEXT = "<|endoftext|>";

export const KINDS = [
	"addition",
	"subtraction",
	"fact",
	"story",
	"json",
	"list",
	"chat",
] as const;
export type Kind = (typeof KINDS)[number];

/** How an answer is judged; the rules live in ../scoring.ts and, word for word the same, in ../evaluate.py. */
export type Expected =
	/** The answer, trimmed, is one of these. */
	| { oneOf: string[] }
	/** The last number of the answer's first line is this. */
	| { number: number }
	/** Each of these words stands in the answer at least so often, and no other name does. */
	| { words: Record<string, number>; names: string[] }
	/** The answer is JSON with exactly these fields. */
	| { json: Record<string, string | number> }
	/** The answer is so many different items, all from this set. */
	| { items: string[]; count: number };

/** A question never trained on. It has either a plain `prompt` to continue or a chat in `messages`. */
export interface HeldOut {
	kind: Kind;
	id: string;
	prompt?: string;
	messages?: Message[];
	expected: Expected;
}

export const user = (content: string): Message => ({ role: "user", content });
export const assistant = (content: string): Message => ({
	role: "assistant",
	content,
});
export const system = (content: string): Message => ({
	role: "system",
	content,
});

/** The same text as the chat template in tokenizer_config.json gives. */
export function renderChat(messages: readonly Message[]): string {
	let text = "";
	for (const { role, content } of messages) {
		text += `<|im_start|>${role}\n${content}<|im_end|>\n`;
	}
	return text + END_OF_TEXT;
}

export const renderPlain = (text: string): string => text + END_OF_TEXT;

/** Lower case, letters and digits only, single spaces: two texts that differ in dress only become equal. */
export function normalize(text: string): string {
	return text
		.toLowerCase()
		.replace(/[^a-z0-9]+/g, " ")
		.trim();
}

export const capitalize = (text: string): string =>
	text.charAt(0).toUpperCase() + text.slice(1);
