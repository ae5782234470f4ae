/** Splits what a reasoning model thinks before it answers from the answer. */

export interface Said {
	/** null: it did not think aloud. */
	readonly thought: string | null;
	readonly answer: string;
	/** Whether the thought is over. */
	readonly isThoughtOver: boolean;
}

const OPEN = "<think>";
const CLOSE = "</think>";

/** Some templates open the thought in the prompt, so that its end alone is in the text. */
export function splitThought(text: string): Said {
	const start = text.trimStart();
	const end = start.indexOf(CLOSE);
	const opens = start.startsWith(OPEN);
	if (end < 0 && !opens)
		return { thought: null, answer: text, isThoughtOver: true };
	const from = opens ? OPEN.length : 0;
	if (end < 0)
		return {
			thought: start.slice(from).trim(),
			answer: "",
			isThoughtOver: false,
		};
	return {
		thought: start.slice(from, end).trim() || null,
		answer: start.slice(end + CLOSE.length).trimStart(),
		isThoughtOver: true,
	};
}
