/**
 * Markdown that grows, as blocks: those before the last cannot change any more and are parsed once, the last again with every addition.
 * Knows no page.
 */
import { marked, type Token } from "marked";

export interface MarkdownBlock {
	/** Place in the text, and its name for those who draw it. */
	readonly start: number;
	readonly raw: string;
	readonly tokens: readonly Token[];
}

export interface MarkdownStream {
	/** @param text what was given before, and more @returns the blocks; those that did not change are the same objects */
	update(text: string): readonly MarkdownBlock[];
}

export function createMarkdownStream(): MarkdownStream {
	let seen = "";
	let settled: MarkdownBlock[] = [];
	let last: readonly MarkdownBlock[] = [];
	return {
		update(text) {
			const lines = text.replace(/\r\n?/g, "\n");
			if (lines === seen) return last;
			if (!lines.startsWith(seen)) settled = [];
			seen = lines;
			const start = endOf(settled);
			const blocks = blocksOf(lines.slice(start), start);
			// An open block takes what comes next; what stands before one that has begun is closed.
			settled = [...settled, ...blocks.slice(0, -1)];
			last = [...settled, ...blocks.slice(-1)];
			return last;
		},
	};
}

function endOf(blocks: readonly MarkdownBlock[]): number {
	const block = blocks.at(-1);
	return block === undefined ? 0 : block.start + block.raw.length;
}

/** Blank lines belong to the block before them. */
function blocksOf(text: string, offset: number): MarkdownBlock[] {
	const blocks: MarkdownBlock[] = [];
	let start = offset;
	for (const token of marked.lexer(text, { gfm: true })) {
		const before = blocks.pop();
		if (token.type === "space" && before !== undefined)
			blocks.push({ ...before, raw: before.raw + token.raw });
		else {
			if (before !== undefined) blocks.push(before);
			blocks.push({ start, raw: token.raw, tokens: [token] });
		}
		start += token.raw.length;
	}
	return blocks;
}
