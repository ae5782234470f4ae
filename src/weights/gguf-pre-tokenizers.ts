/**
 * tokenizer.ggml.pre → the normalizer and pre_tokenizer that tokenizer.json of such a model has, whose patterns these are.
 * Knows no vocabularies. Names after llama.cpp's table (llama-vocab.cpp).
 */

export interface PreTokenization {
	readonly normalizer: object | null;
	readonly preTokenizer: object;
	/** A piece that is a token as it stands is not cut. */
	readonly ignoreMerges: boolean;
	/** Where tokenizer.ggml.add_bos_token says nothing. */
	readonly addBos: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const PUNCTUATION = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** Words that begin with capitals, or are all capitals: for tokenizers after o200k. */
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const BEFORE_WORD = "[^\\r\\n\\p{L}\\p{N}]?";

const QWEN2 = `${CONTRACTIONS}|${WORDS}|\\p{N}|${PUNCTUATION}|${SPACES}`;
const LLAMA3 = `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${PUNCTUATION}|${SPACES}`;
const O200K = `${BEFORE_WORD}${UPPER}*${LOWER}+${CONTRACTIONS}?|${BEFORE_WORD}${UPPER}+${LOWER}*${CONTRACTIONS}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
const TEKKEN = `${BEFORE_WORD}${UPPER}*${LOWER}+|${BEFORE_WORD}${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
/** Letters with a case, as DeepSeek's file lists them. By number where normalizing this file would change them. */
const CASED_LETTERS =
	"A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ" +
	"\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc" +
	"\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184" +
	"Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃";
const CJK = "[一-龥ࠀ-一가-\ud7ff]+";
const DEEPSEEK_V3_WORDS =
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const split = (pattern: string): object => ({
	type: "Split",
	pattern: { Regex: pattern },
	behavior: "Isolated",
	invert: false,
});

const byteLevel = (useRegex: boolean): object => ({
	type: "ByteLevel",
	add_prefix_space: false,
	trim_offsets: true,
	use_regex: useRegex,
});

const digits = { type: "Digits", individual_digits: true };

function sequence(
	steps: readonly object[],
	options: Partial<PreTokenization> = {},
): PreTokenization {
	return {
		normalizer: null,
		preTokenizer: { type: "Sequence", pretokenizers: steps },
		ignoreMerges: false,
		addBos: false,
		...options,
	};
}

const splits = (
	patterns: readonly string[],
	options?: Partial<PreTokenization>,
): PreTokenization =>
	sequence([...patterns.map(split), byteLevel(false)], options);

const gpt2 = sequence([byteLevel(true)]);
const digitsThenGpt2 = sequence([digits, byteLevel(true)]);
const qwen2 = splits([QWEN2], { normalizer: { type: "NFC" } });
const llama3 = splits([LLAMA3]);
const llamaBpe = splits([LLAMA3], { ignoreMerges: true, addBos: true });
const o200k = splits([O200K]);

/** By name; a name that is missing is a tokenizer whose rules we do not know. */
export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenization> = new Map([
	["gpt-2", gpt2],
	["phi-2", gpt2],
	["olmo", gpt2],
	["mpt", gpt2],
	["exaone4", gpt2],
	["smollm", digitsThenGpt2],
	["starcoder", digitsThenGpt2],
	["refact", digitsThenGpt2],
	["command-r", digitsThenGpt2],
	["codeshell", digitsThenGpt2],
	["exaone", digitsThenGpt2],
	["minerva-7b", digitsThenGpt2],
	["qwen2", qwen2],
	["deepseek-r1-qwen", splits([QWEN2])],
	["stablelm2", splits([QWEN2])],
	["megrez", qwen2],
	["llama-bpe", llamaBpe],
	["llama3", llamaBpe],
	["llama-v3", llamaBpe],
	["falcon3", llamaBpe],
	["pixtral", llamaBpe],
	["dbrx", llama3],
	["smaug-bpe", llama3],
	["glm4", llama3],
	["chatglm-bpe", llama3],
	["gpt-4o", o200k],
	["llama4", o200k],
	["kanana2", o200k],
	["tekken", splits([TEKKEN], { ignoreMerges: true, addBos: true })],
	[
		"deepseek-llm",
		sequence([
			split("[\\r\\n]"),
			split(`\\s?[${CASED_LETTERS}]+`),
			split("\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"),
			split("\\s+$"),
			split(CJK),
			digits,
			byteLevel(false),
		]),
	],
	[
		"deepseek-coder",
		sequence([
			split("[\\r\\n]"),
			split("\\s?\\p{L}+"),
			split("\\s?\\p{P}+"),
			split(CJK),
			digits,
			byteLevel(false),
		]),
	],
	[
		"deepseek-v3",
		splits(["\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3_WORDS]),
	],
]);
