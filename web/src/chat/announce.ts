/** What a screen reader is told of a growing answer: whole paragraphs, each once. */

/** @returns what to say now */
export function createAnnouncer(): (text: string, isOver: boolean) => string {
	let said = 0;
	return (text, isOver) => {
		const end = isOver ? text.length : text.lastIndexOf("\n\n");
		if (end <= said) return "";
		const news = text.slice(said, end).trim();
		said = end;
		return news;
	};
}
