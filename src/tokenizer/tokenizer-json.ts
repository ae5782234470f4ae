/** tokenizer.json and tokenizer_config.json, checked once at the border. Knows nothing of what their rules do. */
import { NanoVllmError } from "../errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import type { BpeConfig } from "./bpe.ts";
import type { UnigramConfig } from "./unigram.ts";

export interface TokenizerJson {
	readonly model:
		| ({ readonly type: "BPE" } & BpeConfig)
		| ({ readonly type: "Unigram" } & UnigramConfig);
	readonly normalizer: unknown;
	readonly pre_tokenizer: unknown;
	readonly post_processor: unknown;
	readonly decoder: unknown;
}

export interface TokenizerFiles {
	readonly json: TokenizerJson;
	/** Of both files: the configuration may add tokens, and names special ones. */
	readonly addedTokens: readonly AddedToken[];
	readonly names: {
		readonly bos: string | undefined;
		readonly eos: string | undefined;
	};
}

type Dictionary = { readonly [key: string]: unknown };

// Past any model's vocabulary, and small enough for a pair of ids to be one exact number.
const MAX_TOKEN_ID = 2 ** 26 - 1;

/** @throws invalid_tokenizer */
export function parseTokenizerFiles(
	tokenizerJson: unknown,
	tokenizerConfig: unknown,
): TokenizerFiles {
	const root = dictionary(tokenizerJson, "tokenizer.json");
	const config = dictionary(tokenizerConfig ?? {}, "tokenizer_config.json");
	const model = parseModel(root.model);
	const json: TokenizerJson = {
		model,
		normalizer: escapeReplacements(rule(root, "normalizer")),
		pre_tokenizer: rule(root, "pre_tokenizer"),
		post_processor: rule(root, "post_processor"),
		decoder: rule(root, "decoder"),
	};
	return {
		json,
		addedTokens: collectAddedTokens(root, config, model),
		names: {
			bos: tokenName(config.bos_token),
			eos: tokenName(config.eos_token),
		},
	};
}

/** "<s>" of "<s>" or { content: "<s>" }, the two ways a configuration names a token. */
export function tokenName(value: unknown): string | undefined {
	if (typeof value === "string") return value;
	if (!isDictionary(value)) return undefined;
	return typeof value.content === "string" ? value.content : undefined;
}

function parseModel(value: unknown): TokenizerJson["model"] {
	const model = dictionary(value, 'the "model" of tokenizer.json');
	const type = model.type ?? (Array.isArray(model.vocab) ? "Unigram" : "BPE");
	if (type === "BPE") return parseBpe(model);
	if (type === "Unigram") return parseUnigram(model);
	return fail(
		"a model of type BPE or Unigram",
		JSON.stringify(type),
		"Models that generate text have one of these; this one may be an encoder's.",
	);
}

function parseBpe(model: Dictionary): TokenizerJson["model"] {
	const vocab = dictionary(model.vocab, "model.vocab");
	for (const token in vocab)
		if (!isTokenId(vocab[token]))
			fail(`a token id as model.vocab[${quote(token)}]`, quote(vocab[token]));
	if (!Array.isArray(model.merges))
		return fail("a list model.merges", describe(model.merges));
	for (const [rank, merge] of model.merges.entries())
		if (!isMerge(merge))
			fail(`a pair "a b" as model.merges[${rank}]`, quote(merge));
	if (model.scores !== undefined && !isScores(model.scores))
		fail("a list of numbers model.scores", describe(model.scores));
	for (const key of ["continuing_subword_prefix", "end_of_word_suffix"])
		if (model[key])
			fail(
				`no model.${key}`,
				quote(model[key]),
				"BPE of that kind is not run.",
			);
	return { ...(model as unknown as BpeConfig), type: "BPE" };
}

function parseUnigram(model: Dictionary): TokenizerJson["model"] {
	if (!Array.isArray(model.vocab) || model.vocab.length === 0)
		return fail("a list model.vocab", describe(model.vocab));
	model.vocab.forEach((entry, id) => {
		if (!isPair(entry) || typeof entry[1] !== "number")
			fail(`[token, score] as model.vocab[${id}]`, quote(entry));
	});
	const unknown = model.unk_id ?? undefined;
	if (
		unknown !== undefined &&
		tokenId(unknown, "model.unk_id") >= model.vocab.length
	)
		fail("a model.unk_id inside the vocabulary", quote(unknown));
	return { ...(model as unknown as UnigramConfig), type: "Unigram" };
}

function isMerge(value: unknown): boolean {
	if (typeof value !== "string")
		return isPair(value) && typeof value[1] === "string";
	const space = value.indexOf(" ");
	return space >= 0 && !value.includes(" ", space + 1);
}

/** NaN would have no place in an order. */
function isScores(value: unknown): boolean {
	return (
		Array.isArray(value) &&
		value.every((score) => score === null || score === Number(score))
	);
}

function isPair(value: unknown): value is [string, unknown] {
	return (
		Array.isArray(value) && value.length === 2 && typeof value[0] === "string"
	);
}

function rule(root: Dictionary, key: string): unknown {
	const value = root[key] ?? null;
	if (value === null) return null;
	if (typeof dictionary(value, key).type !== "string")
		fail(`${key}.type`, describe(value));
	return value;
}

/** The package hands Replace's content to replaceAll, to which "$" is special; to Rust it is a character. */
function escapeReplacements(normalizer: unknown): unknown {
	if (!isDictionary(normalizer)) return normalizer;
	if (normalizer.type === "Replace" && typeof normalizer.content === "string")
		return {
			...normalizer,
			content: normalizer.content.replaceAll("$", "$$$$"),
		};
	if (Array.isArray(normalizer.normalizers))
		return {
			...normalizer,
			normalizers: normalizer.normalizers.map(escapeReplacements),
		};
	return normalizer;
}

function collectAddedTokens(
	root: Dictionary,
	config: Dictionary,
	model: TokenizerJson["model"],
): AddedToken[] {
	const listed = root.added_tokens ?? [];
	if (!Array.isArray(listed)) fail("a list added_tokens", describe(listed));
	const tokens = new Map<number, AddedToken>();
	for (const [i, entry] of (listed as unknown[]).entries()) {
		const token = dictionary(entry, `added_tokens[${i}]`);
		const id = tokenId(token.id, `added_tokens[${i}].id`);
		tokens.set(id, addedToken(token, id));
	}
	const more = isDictionary(config.added_tokens_decoder)
		? config.added_tokens_decoder
		: {};
	for (const [key, entry] of Object.entries(more)) {
		const id = tokenId(Number(key), "a key of added_tokens_decoder");
		const token = dictionary(entry, `added_tokens_decoder[${key}]`);
		if (!tokens.has(id)) tokens.set(id, addedToken(token, id));
	}
	addNamedTokens(tokens, config, model);
	return [...tokens.values()];
}

/** Tokens that the configuration names as BOS, EOS, … are special even where tokenizer.json has them as plain words. */
function addNamedTokens(
	tokens: Map<number, AddedToken>,
	config: Dictionary,
	model: TokenizerJson["model"],
): void {
	const vocab = model.type === "BPE" ? model.vocab : undefined;
	const known = new Set([...tokens.values()].map((token) => token.content));
	for (const key of ["bos_token", "eos_token", "unk_token", "pad_token"]) {
		const content = tokenName(config[key]);
		if (!content || known.has(content)) continue;
		const id = vocab
			? Object.hasOwn(vocab, content)
				? vocab[content]
				: undefined
			: (model as UnigramConfig).vocab.findIndex(([t]) => t === content);
		if (id === undefined || id < 0) continue;
		tokens.set(id, addedToken({ content, special: true }, id));
		known.add(content);
	}
}

function addedToken(entry: Dictionary, id: number): AddedToken {
	if (typeof entry.content !== "string")
		fail(
			`a string as the content of added token ${id}`,
			describe(entry.content),
		);
	const special = entry.special === true;
	return {
		id,
		content: entry.content as string,
		special,
		normalized: (entry.normalized ?? !special) === true,
		singleWord: entry.single_word === true,
		lstrip: entry.lstrip === true,
		rstrip: entry.rstrip === true,
	};
}

function isTokenId(value: unknown): value is number {
	return (
		Number.isInteger(value) &&
		Number(value) >= 0 &&
		Number(value) <= MAX_TOKEN_ID
	);
}

function tokenId(value: unknown, what: string): number {
	return isTokenId(value) ? value : fail(`a token id as ${what}`, quote(value));
}

function isDictionary(value: unknown): value is Dictionary {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function dictionary(value: unknown, what: string): Dictionary {
	return isDictionary(value)
		? value
		: fail(`an object as ${what}`, describe(value));
}

function quote(value: unknown): string {
	return String(JSON.stringify(value)).slice(0, 80);
}

function describe(value: unknown): string {
	if (value === undefined) return "nothing";
	if (value === null) return "null";
	return Array.isArray(value) ? "a list" : `${typeof value} ${quote(value)}`;
}

function fail(
	wanted: string,
	got: string,
	mend = "The file is damaged or not a tokenizer.json; download it again.",
): never {
	throw new NanoVllmError(
		"invalid_tokenizer",
		`tokenizer files: wanted ${wanted}, got ${got}. ${mend}`,
	);
}
