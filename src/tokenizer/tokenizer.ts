/**
 * Text ↔ token ids, from Hugging Face's tokenizer.json. Knows nothing of files and engines.
 * The steps are those of the Rust `tokenizers` library, and so are the answers (test/golden/tokenizers). Normalizers and the
 * dialect of patterns are the npm package @huggingface/tokenizers'; each sibling file says what it does itself and why.
 */
import { NanoVllmError } from "../errors.ts";
import {
	type AddedToken,
	type AddedTokenSplitter,
	createAddedTokenSplitter,
} from "./added-tokens.ts";
import { createBpe, type TokenizerModel } from "./bpe.ts";
import {
	type CreateTextStream,
	compileDecoder,
	compileTokenBytes,
} from "./decoder.ts";
import { Tokenizer as Package } from "./huggingface.ts";
import { createPreTokenizer, type PreTokenizer } from "./pre-tokenizer.ts";
import {
	parseTokenizerFiles,
	type TokenizerFiles,
	type TokenizerJson,
} from "./tokenizer-json.ts";
import { createUnigram } from "./unigram.ts";

export interface Tokenizer {
	/** Largest id + 1, added tokens included. */
	readonly vocabSize: number;
	readonly bosTokenId: number | undefined;
	readonly eosTokenId: number | undefined;
	/** @param options addSpecialTokens (default true): with what the file's post-processor puts around a prompt, e.g. BOS. */
	encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
	/** Ids outside the vocabulary stand for nothing. @param options skipSpecialTokens (default true) */
	decode(
		ids: ArrayLike<number>,
		options?: { skipSpecialTokens?: boolean },
	): string;
	/** Decoding token by token. `isContinued`: tokens not seen here stand before. See detokenizer.ts for use. */
	decodeStream(options?: {
		skipSpecialTokens?: boolean;
		isContinued?: boolean;
	}): TokenStream;
	/** The vocabulary's string, as written in tokenizer.json. */
	token(id: number): string | undefined;
	id(token: string): number | undefined;
	isSpecial(id: number): boolean;
	/** The text this token alone stands for, in the middle of a text; U+FFFD where it is half a character. */
	tokenText(id: number): string;
	/** The bytes it stands for there; none for special tokens and ids that stand for nothing. */
	tokenBytes(id: number): Uint8Array;
}

export interface TokenStream {
	push(tokenId: number): string;
	finish(): string;
}

/** @throws invalid_tokenizer for files that are broken or of kinds we do not run. */
export function createTokenizer(
	tokenizerJson: unknown,
	tokenizerConfig?: unknown,
): Tokenizer {
	try {
		return assemble(parseTokenizerFiles(tokenizerJson, tokenizerConfig));
	} catch (error) {
		if (error instanceof NanoVllmError) throw error;
		throw new NanoVllmError(
			"invalid_tokenizer",
			`tokenizer.json: wanted a file as the tokenizers library writes it, got one that fails with "${error instanceof Error ? error.message : error}". Download it again; if it stays, its rules are beyond this engine.`,
			{ cause: error },
		);
	}
}

function assemble({ json, addedTokens, names }: TokenizerFiles): Tokenizer {
	const preTokenizer = createPreTokenizer(json.pre_tokenizer);
	const model =
		json.model.type === "BPE"
			? createBpe(json.model, preTokenizer.isByteLevel)
			: createUnigram(json.model);
	const normalize = createNormalizer(json);
	const vocabulary = buildVocabulary(model, addedTokens, normalize);
	const encodeText = createEncoder(addedTokens, normalize, preTokenizer, model);
	const affixes = readAffixes(json.post_processor);
	const decodeStream = createDecoder(vocabulary, compileDecoder(json.decoder));
	const bytesOf = compileTokenBytes(json.decoder);
	const { idOf, special, normalized, tokens } = vocabulary;
	return {
		vocabSize: vocabulary.tokens.length,
		bosTokenId: names.bos === undefined ? undefined : idOf(names.bos),
		eosTokenId: names.eos === undefined ? undefined : idOf(names.eos),
		encode(text, { addSpecialTokens = true } = {}) {
			const ids = addSpecialTokens ? affixes.before.slice() : [];
			encodeText(text.toWellFormed(), ids);
			if (addSpecialTokens) for (const id of affixes.after) ids.push(id);
			return ids;
		},
		decode(ids, options) {
			const stream = decodeStream(options);
			let text = "";
			for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]);
			return text + stream.finish();
		},
		decodeStream,
		token: (id) => vocabulary.tokens[id],
		id: idOf,
		isSpecial: (id) => vocabulary.special.has(id),
		tokenText(id) {
			const options = { skipSpecialTokens: false, isContinued: true };
			const stream = decodeStream(options);
			return stream.push(id) + stream.finish();
		},
		tokenBytes(id) {
			const token = normalized.get(id) ?? tokens[id];
			return token === undefined || special.has(id)
				? new Uint8Array(0)
				: bytesOf(token);
		},
	};
}

interface Vocabulary {
	/** As written in tokenizer.json, by id; ids may have gaps. */
	readonly tokens: readonly (string | undefined)[];
	idOf(token: string): number | undefined;
	readonly special: ReadonlySet<number>;
	/** Added tokens that decode to their normalized content: since 0.23 the Rust library keeps that in place of the content. */
	readonly normalized: ReadonlyMap<number, string>;
}

function buildVocabulary(
	model: TokenizerModel,
	addedTokens: readonly AddedToken[],
	normalize: (text: string) => string,
): Vocabulary {
	const tokens: (string | undefined)[] = [];
	const addedIds = new Map<string, number>();
	for (const [token, id] of model.vocab) tokens[id] = token;
	for (const { id, content } of addedTokens) {
		tokens[id] = content;
		addedIds.set(content, id);
	}
	return {
		tokens,
		idOf: (token) => addedIds.get(token) ?? model.vocab.get(token),
		special: new Set(addedTokens.filter((t) => t.special).map((t) => t.id)),
		normalized: new Map(
			addedTokens
				.filter((t) => t.normalized)
				.map((t) => [t.id, normalize(t.content)]),
		),
	};
}

/** The package's normalizer of the file; built over an empty model, because ours reads the vocabulary itself. */
function createNormalizer(json: TokenizerJson): (text: string) => string {
	if (!json.normalizer) return (text) => text;
	const { normalizer } = new Package(
		{
			normalizer: json.normalizer,
			pre_tokenizer: null,
			post_processor: null,
			decoder: null,
			added_tokens: [],
			model: { type: "BPE", vocab: {}, merges: [] },
		},
		{},
	);
	return (text) => (normalizer ? normalizer.normalize(text) : text);
}

function createEncoder(
	addedTokens: readonly AddedToken[],
	normalize: (text: string) => string,
	preTokenizer: PreTokenizer,
	model: TokenizerModel,
): (text: string, ids: number[]) => void {
	const splitterOf = (
		tokens: readonly AddedToken[],
		pattern: (content: string) => string,
	): AddedTokenSplitter =>
		createAddedTokenSplitter(
			tokens.map((token) => ({ pattern: pattern(token.content), token })),
		);
	const asWritten = splitterOf(
		addedTokens.filter((token) => !token.normalized),
		(content) => content,
	);
	const normalized = splitterOf(
		addedTokens.filter((token) => token.normalized),
		normalize,
	);
	return (text, ids) => {
		for (const outer of asWritten.split(text)) {
			if ("tokenId" in outer) {
				ids.push(outer.tokenId);
				continue;
			}
			for (const inner of normalized.split(normalize(outer.text))) {
				if ("tokenId" in inner) {
					ids.push(inner.tokenId);
					continue;
				}
				const isFirst = outer.start === 0 && inner.start === 0;
				for (const piece of preTokenizer.split(inner.text, isFirst))
					model.encode(piece, ids);
			}
		}
	};
}

interface Affixes {
	readonly before: readonly number[];
	readonly after: readonly number[];
}

/** What a post-processor puts around one sequence. */
function readAffixes(config: unknown): Affixes {
	const none: Affixes = { before: [], after: [] };
	if (!config) return none;
	const step = config as {
		type: string;
		processors: unknown[];
		single: { SpecialToken?: { id: string }; Sequence?: object }[];
		special_tokens: Record<string, { ids: number[] }>;
		cls: [string, number];
		sep: [string, number];
	};
	switch (step.type) {
		case "ByteLevel":
			return none; // moves offsets only
		case "Sequence":
			return step.processors.map(readAffixes).reduce(
				(inner, outer) => ({
					before: [...outer.before, ...inner.before],
					after: [...inner.after, ...outer.after],
				}),
				none,
			);
		case "TemplateProcessing": {
			const cut = step.single.findIndex((item) => item.Sequence);
			const idsOf = (items: typeof step.single) =>
				items.flatMap(({ SpecialToken }) =>
					SpecialToken ? step.special_tokens[SpecialToken.id].ids : [],
				);
			return {
				before: idsOf(step.single.slice(0, cut)),
				after: idsOf(step.single.slice(cut + 1)),
			};
		}
		case "BertProcessing":
		case "RobertaProcessing":
			return { before: [step.cls[1]], after: [step.sep[1]] };
		default:
			throw new NanoVllmError(
				"invalid_tokenizer",
				`tokenizer.json: wanted a post_processor of a kind we know (TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence), got ${JSON.stringify(step.type)}.`,
			);
	}
}

function createDecoder(
	{ tokens, special, normalized }: Vocabulary,
	createStream: CreateTextStream,
): Tokenizer["decodeStream"] {
	return ({ skipSpecialTokens = true, isContinued = false } = {}) => {
		const stream = createStream(isContinued);
		return {
			push(tokenId) {
				if (skipSpecialTokens && special.has(tokenId)) return "";
				const token = normalized.get(tokenId) ?? tokens[tokenId];
				return token === undefined ? "" : stream.push(token);
			},
			finish: () => stream.finish(),
		};
	};
}
