/** What we use of @huggingface/tokenizers, typed: the package's own declarations import without extensions, which NodeNext refuses. */
import * as huggingface from "@huggingface/tokenizers";

interface PackageParts {
	readonly Tokenizer: new (
		tokenizerJson: object,
		tokenizerConfig: object,
	) => { readonly normalizer: { normalize(text: string): string } | null };
	readonly SplitPreTokenizer: new (config: {
		type: "Split";
		pattern: unknown;
		invert: boolean;
	}) => { readonly pattern: RegExp | null };
	readonly ReplaceDecoder: new (
		config: object,
	) => { readonly pattern: RegExp | null };
}

export const { Tokenizer, SplitPreTokenizer, ReplaceDecoder } =
	huggingface as unknown as PackageParts;
