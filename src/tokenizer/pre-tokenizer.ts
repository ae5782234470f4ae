/**
 * Cuts normalized text into the pieces a model may not merge across. Knows nothing of vocabularies.
 * After the Rust library. Patterns are translated to JavaScript by the npm package; the cutting is done here, because its
 * Split knows "isolated" and "removed" alone, its Metaspace does not split, its Digits are the ASCII ones only, and its
 * ByteLevel takes U+FEFF for white space.
 */
import { NanoVllmError } from "../errors.ts";
import { byteLevelText } from "./byte-level.ts";
import { SplitPreTokenizer } from "./huggingface.ts";

export interface PreTokenizer {
	/** @param isFirst whether the text stands at the very start of the prompt (Metaspace's prepend_scheme "first"). */
	split(text: string, isFirst: boolean): string[];
	/** Pieces are text whose UTF-8 bytes, not characters, are the model's symbols. */
	readonly isByteLevel: boolean;
}

type Config = { readonly [key: string]: unknown };
type Stage = (piece: string, isFirst: boolean) => string[];
const BEHAVIORS = [
	"Removed",
	"Isolated",
	"Contiguous",
	"MergedWithPrevious",
	"MergedWithNext",
] as const;
type Behavior = (typeof BEHAVIORS)[number];

const GPT2_WORDS =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** @throws invalid_tokenizer for kinds and patterns we do not know. */
export function createPreTokenizer(config: unknown): PreTokenizer {
	const steps = flatten(config);
	const last = steps.at(-1);
	// A ByteLevel that comes last maps nothing here: the model turns text into bytes itself, once per different piece.
	const isByteLevel = last?.type === "ByteLevel";
	const stages = steps.flatMap((step) =>
		createStages(step, isByteLevel && step === last),
	);
	return { isByteLevel, split: (text, isFirst) => run(stages, text, isFirst) };
}

function flatten(config: unknown): Config[] {
	if (config === null || config === undefined) return [];
	const step = config as Config;
	if (step.type !== "Sequence") return [step];
	return (step.pretokenizers as unknown[]).flatMap(flatten);
}

function run(
	stages: readonly Stage[],
	text: string,
	isFirst: boolean,
): string[] {
	let pieces = text === "" ? [] : [text];
	for (const stage of stages) {
		const next: string[] = [];
		for (let i = 0; i < pieces.length; i++)
			for (const piece of stage(pieces[i], isFirst && i === 0))
				if (piece !== "") next.push(piece);
		pieces = next;
	}
	return pieces;
}

function createStages(step: Config, isLastByteLevel: boolean): Stage[] {
	switch (step.type) {
		case "Split":
			return [
				cut(
					compilePattern(step.pattern),
					behaviorOf(step),
					step.invert === true,
				),
			];
		case "ByteLevel": {
			const stages: Stage[] = [];
			if (step.add_prefix_space !== false)
				stages.push((text) => [text.startsWith(" ") ? text : ` ${text}`]);
			if (step.use_regex !== false)
				stages.push(cut(compilePattern({ Regex: GPT2_WORDS }), "Isolated"));
			if (!isLastByteLevel) stages.push((text) => [byteLevelText(text)]);
			return stages;
		}
		case "Digits":
			return [
				cut(
					step.individual_digits === true ? /\p{N}/gu : /\p{N}+/gu,
					"Isolated",
				),
			];
		case "Metaspace":
			return metaspace(step);
		case "Punctuation":
			return [cut(/[!-/:-@[-`{-~\p{P}]/gu, behaviorOf(step))];
		case "Whitespace":
			return [
				cut(compilePattern({ Regex: "\\w+|[^\\w\\s]+" }), "Removed", true),
			];
		case "WhitespaceSplit":
			return [cut(/\p{White_Space}+/gu, "Removed")];
		default:
			return fail(
				"a kind we know (Split, ByteLevel, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit, Sequence)",
				step.type,
			);
	}
}

function metaspace(step: Config): Stage[] {
	const mark = typeof step.replacement === "string" ? step.replacement : "▁";
	const scheme =
		step.prepend_scheme ??
		(step.add_prefix_space === false ? "never" : "always");
	const prepend: Stage = (text, isFirst) => {
		const marked = text.replaceAll(" ", mark);
		const wanted = scheme === "always" || (scheme === "first" && isFirst);
		return [wanted && !marked.startsWith(mark) ? mark + marked : marked];
	};
	if (step.split === false) return [prepend];
	return [prepend, cut(compilePattern({ String: mark }), "MergedWithNext")];
}

function behaviorOf(step: Config): Behavior {
	const name = step.behavior ?? "Isolated";
	const known = BEHAVIORS.find((behavior) => behavior === name);
	return known ?? fail(`a behavior of ${BEHAVIORS.join(", ")}`, name);
}

function compilePattern(pattern: unknown): RegExp {
	const { Regex, String: literal } = (pattern ?? {}) as Config;
	if (typeof (Regex ?? literal) !== "string")
		fail("a pattern { Regex } or { String }", pattern);
	const folded =
		typeof Regex === "string" ? { Regex: foldBeyondAscii(Regex) } : pattern;
	const config = { type: "Split", pattern: folded, invert: false } as const;
	return new SplitPreTokenizer(config).pattern as RegExp;
}

/** In (?i:'s|'t) the package folds ASCII alone; to Rust's engine ſ is an s, and the Kelvin sign a k. For groups of plain words. */
function foldBeyondAscii(source: string): string {
	const fold = (words: string) =>
		words.replaceAll(/s/gi, "[sſ]").replaceAll(/k/gi, "[k\u212a]");
	return source.replace(
		/\(\?i:([\w'| ]*)\)/g,
		(_group, words: string) => `(?i:${fold(words)})`,
	);
}

function fail(wanted: string, got: unknown): never {
	throw new NanoVllmError(
		"invalid_tokenizer",
		`pre_tokenizer of tokenizer.json: wanted ${wanted}, got ${JSON.stringify(got)}. Use the tokenizer of a model that generates text.`,
	);
}

/** Cuts at the matches of `regex`; `invert` takes what lies between them for the matches. */
function cut(regex: RegExp, behavior: Behavior, invert = false): Stage {
	return (text) => {
		const ends: number[] = []; // of segments, which alternate freely between match and gap
		const isMatch: boolean[] = [];
		let done = 0;
		const add = (end: number, match: boolean) => {
			ends.push(end);
			isMatch.push(match !== invert);
			done = end;
		};
		for (const match of text.matchAll(regex)) {
			if (match.index > done) add(match.index, false);
			if (match[0] !== "") add(match.index + match[0].length, true);
		}
		if (done < text.length) add(text.length, false);
		return assemble(text, ends, isMatch, behavior);
	};
}

function assemble(
	text: string,
	ends: readonly number[],
	isMatch: readonly boolean[],
	behavior: Behavior,
): string[] {
	const pieces: string[] = [];
	let start = 0;
	for (let i = 0; i < ends.length; i++) {
		const isLast = i + 1 === ends.length;
		if (!isLast && joins(behavior, isMatch, i)) continue;
		if (!(behavior === "Removed" && isMatch[i]))
			pieces.push(text.slice(start, ends[i]));
		start = ends[i];
	}
	return pieces;
}

/** Whether segment i and the one after it are one piece. */
function joins(
	behavior: Behavior,
	isMatch: readonly boolean[],
	i: number,
): boolean {
	switch (behavior) {
		case "Removed":
		case "Isolated":
			return false;
		case "Contiguous":
			return isMatch[i] === isMatch[i + 1];
		case "MergedWithPrevious":
			return !isMatch[i] && isMatch[i + 1];
		case "MergedWithNext":
			return isMatch[i] && !isMatch[i + 1];
		default:
			return behavior satisfies never;
	}
}
