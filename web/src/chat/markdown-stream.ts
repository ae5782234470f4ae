/**
 * Markdown that grows, as blocks: the last two may still change and are parsed with every addition, those before once.
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

/** The last block takes what comes next; the one before may yet take the last, as a list does with "2" once it is "2. ". */
const NUM_OPEN = 2;

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
			const fresh = [...settled, ...blocks.map(reused(last))];
			settled = fresh.slice(0, -NUM_OPEN);
			last = fresh;
			return last;
		},
	};
}

/** The object of before where nothing changed. */
function reused(before: readonly MarkdownBlock[]) {
	const byStart = new Map(before.map((block) => [block.start, block]));
	return (block: MarkdownBlock): MarkdownBlock => {
		const old = byStart.get(block.start);
		return old?.raw === block.raw ? old : block;
	};
}

function endOf(blocks: readonly MarkdownBlock[]): number {
	const block = blocks.at(-1);
	return block === undefined ? 0 : block.start + block.raw.length;
}

/** Blank lines belong to the block before them. A token's own `raw` is as long as its text, but may end in a line end where that has a blank. */
function blocksOf(text: string, offset: number): MarkdownBlock[] {
	const blocks: MarkdownBlock[] = [];
	let start = offset;
	for (const token of marked.lexer(text, { gfm: true })) {
		const end = start + token.raw.length;
		const raw = text.slice(start - offset, end - offset);
		const before = blocks.pop();
		if (token.type === "space" && before !== undefined)
			blocks.push({ ...before, raw: before.raw + raw });
		else {
			if (before !== undefined) blocks.push(before);
			blocks.push({ start, raw, tokens: [token] });
		}
		start = end;
	}
	return blocks;
}
