/** The unigram model (T5, XLM-R): the most likely way to cut a piece into tokens. The npm package's lattice, piece by piece. */
import { byteTokenIds, type TokenizerModel } from "./bpe.ts";
import { Unigram } from "./huggingface.ts";

export interface UnigramConfig {
	/** Token and log probability, by id. */
	readonly vocab: readonly (readonly [string, number])[];
	readonly unk_id?: number | null;
	readonly byte_fallback?: boolean;
}

export function createUnigram(config: UnigramConfig): TokenizerModel {
	const lattice = new Unigram({ type: "Unigram", ...config }, "");
	const vocab = new Map(config.vocab.map(([token], id) => [token, id]));
	const byteIds = config.byte_fallback ? byteTokenIds(vocab) : undefined;
	const encoder = new TextEncoder();
	const unknown = config.unk_id ?? undefined;
	return {
		vocab,
		// The package's encode() does the same with all pieces at once, spread over the stack: too long a text overflows it,
		// unknown characters fuse across pieces, and it has no byte tokens.
		encode(piece, ids) {
			let afterUnknown = false;
			for (const token of lattice.tokenize(piece)) {
				const id = vocab.get(token);
				if (id !== undefined) ids.push(id);
				else if (byteIds)
					for (const byte of encoder.encode(token)) ids.push(byteIds[byte]);
				else if (unknown !== undefined && !afterUnknown) ids.push(unknown);
				afterUnknown = id === undefined && !byteIds;
			}
		},
	};
}
