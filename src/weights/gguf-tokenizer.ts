/**
 * tokenizer.ggml.* → objects with the shape of tokenizer.json and tokenizer_config.json, for tokenizer/ to read. Pure.
 * Two kinds: byte-level BPE ("gpt2") and SentencePiece's BPE ("llama"), whose merges follow from its tokens' scores.
 */
import { NanoVllmError } from "../errors.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";
import { PRE_TOKENIZERS, type PreTokenization } from "./gguf-pre-tokenizers.ts";
import { show } from "./safetensors-header.ts";

export interface GgufTokenizer {
	readonly tokenizerJson: object;
	/** bos_token, eos_token, …, chat_template. */
	readonly tokenizerConfig: Readonly<Record<string, string>>;
}

/** tokenizer.ggml.token_type. */
const TYPE = { unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

interface Vocabulary {
	readonly metadata: GgufMetadata;
	readonly tokens: readonly string[];
	/** Of a token; normal (1) where the file has no types. */
	typeOf(id: number): number;
}

const key = (name: string) => `tokenizer.ggml.${name}`;

/** @throws invalid_tokenizer, invalid_model_config */
export function ggufTokenizer(metadata: GgufMetadata): GgufTokenizer {
	const kind = metadata.string(key("model"));
	if (kind !== "gpt2" && kind !== "llama")
		throw invalid(
			metadata,
			`wanted tokenizer.ggml.model "gpt2" or "llama", got ${kind === undefined ? "none" : show(kind)}. Load with skipTokenizerInit and pass token ids`,
		);
	const tokens = metadata.strings(key("tokens")) ?? [];
	if (tokens.length === 0)
		throw invalid(metadata, "wanted tokenizer.ggml.tokens, got none");
	const types = metadata.numbers(key("token_type"));
	const vocabulary: Vocabulary = {
		metadata,
		tokens,
		typeOf: (id) => types?.[id] ?? 1,
	};
	const names = specialNames(vocabulary);
	const template = metadata.string("tokenizer.chat_template");
	const rules =
		kind === "gpt2"
			? byteLevelRules(vocabulary)
			: sentencePieceRules(vocabulary);
	return {
		tokenizerJson: rules,
		tokenizerConfig:
			template === undefined ? names : { ...names, chat_template: template },
	};
}

function byteLevelRules(vocabulary: Vocabulary): object {
	const { metadata, tokens, typeOf } = vocabulary;
	const { normalizer, preTokenizer, ignoreMerges, addBos } =
		preTokenization(metadata);
	const merges = metadata.strings(key("merges"));
	if (merges === undefined)
		throw invalid(metadata, "wanted tokenizer.ggml.merges, got none");
	const isWord = (id: number) =>
		typeOf(id) !== TYPE.control && typeOf(id) !== TYPE.unused;
	return {
		added_tokens: addedTokens(vocabulary, (token) => token),
		normalizer,
		pre_tokenizer: preTokenizer,
		model: {
			type: "BPE",
			vocab: vocabOf(tokens, isWord),
			merges,
			ignore_merges: ignoreMerges,
		},
		post_processor: affixes(vocabulary, { bos: addBos, eos: false }),
		decoder: { type: "ByteLevel" },
	};
}

/** @throws invalid_tokenizer */
function preTokenization(metadata: GgufMetadata): PreTokenization {
	const name = metadata.string(key("pre")) ?? "default";
	const found = PRE_TOKENIZERS.get(name);
	if (found) return found;
	const known = [...PRE_TOKENIZERS.keys()].join(", ");
	throw invalid(
		metadata,
		`wanted a pre-tokenizer of ${known}, got tokenizer.ggml.pre ${show(name)}, whose rules are not known here. Load the model from its safetensors, or with skipTokenizerInit and token ids`,
	);
}

/** llama.cpp's defaults for the kind: a space before the text and before what follows a special token, BOS before all. */
function sentencePieceRules(vocabulary: Vocabulary): object {
	const { metadata, tokens, typeOf } = vocabulary;
	const addsSpace = metadata.boolean(key("add_space_prefix")) ?? true;
	const spaces = { type: "Replace", pattern: { String: " " }, content: "▁" };
	const merges = metadata.strings(key("merges"));
	const isWord = (id: number) => typeOf(id) !== TYPE.control;
	return {
		added_tokens: addedTokens(vocabulary, (token) =>
			token.replaceAll("▁", " "),
		),
		normalizer: addsSpace
			? {
					type: "Sequence",
					normalizers: [{ type: "Prepend", prepend: "▁" }, spaces],
				}
			: spaces,
		pre_tokenizer: null,
		model: {
			type: "BPE",
			vocab: vocabOf(tokens, isWord),
			...(merges ? { merges } : { merges: [], scores: scoresOf(vocabulary) }),
			unk_token: tokens[metadata.number(key("unknown_token_id")) ?? 0],
			fuse_unk: true,
			byte_fallback: true,
		},
		post_processor: affixes(vocabulary, { bos: true, eos: false }),
		decoder: {
			type: "Sequence",
			decoders: [
				{ type: "Replace", pattern: { String: "▁" }, content: " " },
				{ type: "ByteFallback" },
				{ type: "Fuse" },
				...(addsSpace
					? [{ type: "Strip", content: " ", start: 1, stop: 0 }]
					: []),
			],
		},
	};
}

/** null for tokens that no merge may give: those found before merging, and those never found. */
function scoresOf({ metadata, tokens, typeOf }: Vocabulary): (number | null)[] {
	const scores = metadata.numbers(key("scores"));
	if (scores === undefined || scores.length < tokens.length)
		throw invalid(
			metadata,
			`wanted tokenizer.ggml.scores of ${tokens.length} tokens, got ${scores?.length ?? "none"}`,
		);
	const excluded: readonly number[] = [
		TYPE.unknown,
		TYPE.control,
		TYPE.userDefined,
		TYPE.unused,
	];
	return tokens.map((_, id) =>
		excluded.includes(typeOf(id)) ? null : scores[id],
	);
}

/** Without a prototype: tokens may have any name. */
function vocabOf(
	tokens: readonly string[],
	isWord: (id: number) => boolean,
): Record<string, number> {
	const vocab: Record<string, number> = Object.create(null);
	tokens.forEach((token, id) => {
		if (isWord(id)) vocab[token] = id;
	});
	return vocab;
}

/** Control tokens are special; user-defined ones are found before all else, and shown. `textOf`: what a user-defined token looks like in text */
function addedTokens(
	{ metadata, tokens, typeOf }: Vocabulary,
	textOf: (token: string) => string,
): object[] {
	const strips = stripsAfter(metadata);
	return tokens.flatMap((token, id) => {
		const type = typeOf(id);
		const isSpecial = type === TYPE.control || type === TYPE.unknown;
		if (!isSpecial && type !== TYPE.userDefined) return [];
		const content = isSpecial ? token : textOf(token);
		return {
			id,
			content,
			special: isSpecial,
			normalized: false,
			rstrip: strips(content),
		};
	});
}

/** Phi-3's special tokens swallow the white space after them; GGUF has no word for it, so it goes by the model, as in llama.cpp. */
function stripsAfter(metadata: GgufMetadata): (token: string) => boolean {
	const isPhi3 =
		metadata.string("general.architecture") === "phi3" &&
		metadata.string(key("model")) === "llama";
	const except = new Set(["<unk>", "<s>", "<|endoftext|>"]);
	return (token) => isPhi3 && !except.has(token);
}

/** What stands around a prompt; the file's word goes before the kind's. */
function affixes(
	{ metadata, tokens }: Vocabulary,
	fallback: { readonly bos: boolean; readonly eos: boolean },
): object | null {
	const wanted = (side: "bos" | "eos"): object[] => {
		const isWanted =
			metadata.boolean(key(`add_${side}_token`)) ?? fallback[side];
		const id = specialId(metadata, side);
		if (!isWanted || id === undefined || tokens[id] === undefined) return [];
		return [{ SpecialToken: { id: side, type_id: 0 } }];
	};
	const [before, after] = [wanted("bos"), wanted("eos")];
	const entry = (side: "bos" | "eos") => ({
		id: side,
		ids: [specialId(metadata, side)],
	});
	return {
		type: "TemplateProcessing",
		single: [...before, { Sequence: { id: "A", type_id: 0 } }, ...after],
		special_tokens: { bos: entry("bos"), eos: entry("eos") },
	};
}

/** What SentencePiece's own trainer gives its special tokens, where a file of that kind says nothing. */
const SENTENCE_PIECE_IDS: Readonly<Record<string, number>> = {
	unknown: 0,
	bos: 1,
	eos: 2,
};

function specialId(metadata: GgufMetadata, name: string): number | undefined {
	const id = metadata.number(key(`${name}_token_id`));
	if (id !== undefined) return id;
	return metadata.string(key("model")) === "llama"
		? SENTENCE_PIECE_IDS[name]
		: undefined;
}

function specialNames({
	metadata,
	tokens,
}: Vocabulary): Record<string, string> {
	const names: Record<string, string> = {};
	const ids = { bos: "bos", eos: "eos", unknown: "unk", padding: "pad" };
	for (const [ggml, ours] of Object.entries(ids)) {
		const token = tokens[specialId(metadata, ggml) ?? -1];
		if (token !== undefined) names[`${ours}_token`] = token;
	}
	return names;
}

function invalid(metadata: GgufMetadata, message: string): NanoVllmError {
	return new NanoVllmError(
		"invalid_tokenizer",
		`${metadata.file}: ${message}.`,
	);
}
