/**
 * Cuts a text around its added tokens ("<|im_end|>", "<think>"), longest match first. Knows nothing of models.
 * After the Rust library's AddedVocabulary; the npm package does without whole-word tokens, and takes a piece of text that only
 * equals an added token once normalized ("  " as "▁▁") for the token itself.
 */

export interface AddedToken {
	readonly id: number;
	readonly content: string;
	readonly special: boolean;
	/** Looked for in the normalized text, and normalized itself. */
	readonly normalized: boolean;
	/** Only where no word character touches it. */
	readonly singleWord: boolean;
	/** Swallows the white space on its left or right. */
	readonly lstrip: boolean;
	readonly rstrip: boolean;
}

/** A stretch of text, or the added token that stood there. */
export type Section =
	| { readonly text: string; readonly start: number }
	| { readonly tokenId: number };

export interface AddedTokenSplitter {
	split(text: string): Section[];
}

interface TrieNode {
	readonly next: Map<number, TrieNode>;
	token: AddedToken | undefined;
}

// What Rust's regex calls \s and \w. JavaScript's own \s has U+FEFF and lacks U+0085.
const IS_SPACE = /^\p{White_Space}$/u;
const IS_WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/** @param patterns what each token looks like in the text to be split: its content, or its normalized content. */
export function createAddedTokenSplitter(
	patterns: readonly { pattern: string; token: AddedToken }[],
): AddedTokenSplitter {
	const root: TrieNode = { next: new Map(), token: undefined };
	for (const { pattern, token } of patterns) insert(root, pattern, token);
	if (root.next.size === 0)
		return { split: (text) => (text ? [{ text, start: 0 }] : []) };
	return { split: (text) => splitText(root, text) };
}

function insert(root: TrieNode, pattern: string, token: AddedToken): void {
	if (pattern === "") return;
	let node = root;
	for (let i = 0; i < pattern.length; i++) {
		const unit = pattern.charCodeAt(i);
		let child = node.next.get(unit);
		if (!child) {
			child = { next: new Map(), token: undefined };
			node.next.set(unit, child);
		}
		node = child;
	}
	node.token ??= token;
}

function splitText(root: TrieNode, text: string): Section[] {
	const sections: Section[] = [];
	let done = 0; // everything before is in sections
	for (let at = 0; at < text.length; ) {
		const found = longestMatch(root, text, at);
		if (!found) {
			at++;
			continue;
		}
		const { token, end: matchEnd } = found;
		let start = at;
		let end = matchEnd;
		at = matchEnd;
		if (token.singleWord && touchesWord(text, start, end)) continue;
		if (token.lstrip)
			while (start > done && IS_SPACE.test(text[start - 1])) start--;
		if (token.rstrip)
			while (end < text.length && IS_SPACE.test(text[end])) end++;
		start = Math.max(start, done); // a token before may have swallowed up to here
		if (start > done)
			sections.push({ text: text.slice(done, start), start: done });
		sections.push({ tokenId: token.id });
		done = end;
	}
	if (done < text.length)
		sections.push({ text: text.slice(done), start: done });
	return sections;
}

function longestMatch(root: TrieNode, text: string, start: number) {
	let best: { token: AddedToken; end: number } | undefined;
	let node = root.next.get(text.charCodeAt(start));
	for (let end = start + 1; node; end++) {
		if (node.token) best = { token: node.token, end };
		if (end >= text.length) break;
		node = node.next.get(text.charCodeAt(end));
	}
	return best;
}

function touchesWord(text: string, start: number, end: number): boolean {
	const before = [...text.slice(Math.max(0, start - 2), start)].at(-1) ?? "";
	return IS_WORD.test(before) || IS_WORD.test(text.slice(end, end + 2));
}
