/**
 * The unigram model (T5, XLM-R): the most likely way to cut a piece into tokens. Viterbi's algorithm, after the Rust library's Unigram.
 * The npm package's own compares two ways after adding what follows them, where rounding can make them equal; spreads all tokens
 * of a text over the stack, which long ones overflow; and knows no byte tokens.
 */
import { byteTokenIds, type TokenizerModel } from "./bpe.ts";

export interface UnigramConfig {
	/** Token and log probability, by id. */
	readonly vocab: readonly (readonly [string, number])[];
	readonly unk_id?: number | null;
	readonly byte_fallback?: boolean;
}

interface TrieNode {
	readonly next: Map<number, TrieNode>;
	id: number | undefined;
}

// What an unknown character costs beyond the least likely token.
const UNKNOWN_PENALTY = 10;
const UNKNOWN = -1;

export function createUnigram(config: UnigramConfig): TokenizerModel {
	const vocab = new Map(config.vocab.map(([token], id) => [token, id]));
	const scores = Float64Array.from(config.vocab, ([, score]) => score);
	const root = buildTrie(vocab);
	const unknownScore =
		scores.reduce((least, score) => Math.min(least, score), Infinity) -
		UNKNOWN_PENALTY;
	const unknown = config.unk_id ?? undefined;
	const byteIds = config.byte_fallback ? byteTokenIds(vocab) : undefined;
	const encoder = new TextEncoder();
	return {
		vocab,
		encode(piece, ids) {
			let afterUnknown = false;
			for (const [id, text] of bestPath(piece, root, scores, unknownScore)) {
				const isUnknown = id === UNKNOWN || id === unknown;
				if (!isUnknown) ids.push(id);
				else if (byteIds)
					for (const byte of encoder.encode(text)) ids.push(byteIds[byte]);
				else if (unknown !== undefined && !afterUnknown) ids.push(unknown);
				afterUnknown = isUnknown;
			}
		},
	};
}

function buildTrie(vocab: ReadonlyMap<string, number>): TrieNode {
	const root: TrieNode = { next: new Map(), id: undefined };
	for (const [token, id] of vocab) {
		let node = root;
		for (let i = 0; i < token.length; i++) {
			const unit = token.charCodeAt(i);
			let child = node.next.get(unit);
			if (!child) {
				child = { next: new Map(), id: undefined };
				node.next.set(unit, child);
			}
			node = child;
		}
		node.id = id;
	}
	return root;
}

/** The tokens of the best way through the text, each with its stretch of it. Of equal ways the one whose last token is longer. */
function bestPath(
	text: string,
	root: TrieNode,
	scores: Float64Array,
	unknownScore: number,
): [id: number, text: string][] {
	const length = text.length;
	const best = new Float64Array(length + 1).fill(-Infinity); // score of the best way to here
	const from = new Int32Array(length + 1); // where its last token starts
	const idTo = new Int32Array(length + 1);
	best[0] = 0;
	const offer = (start: number, end: number, id: number, score: number) => {
		if (best[start] + score <= best[end]) return;
		best[end] = best[start] + score;
		from[end] = start;
		idTo[end] = id;
	};
	for (let start = 0; start < length; ) {
		const width = (text.codePointAt(start) as number) > 0xffff ? 2 : 1;
		let hasCharacter = false;
		let node = root.next.get(text.charCodeAt(start));
		for (let end = start + 1; node; end++) {
			if (node.id !== undefined) {
				offer(start, end, node.id, scores[node.id]);
				if (end === start + width) hasCharacter = true;
			}
			if (end >= length) break;
			node = node.next.get(text.charCodeAt(end));
		}
		if (!hasCharacter) offer(start, start + width, UNKNOWN, unknownScore);
		start += width;
	}
	const path: [number, string][] = [];
	for (let end = length; end > 0; end = from[end])
		path.push([idTo[end], text.slice(from[end], end)]);
	return path.reverse();
}
