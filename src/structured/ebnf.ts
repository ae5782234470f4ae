/** A look over a grammar for what XGrammar 0.1.27 would take for something else. It reads the grammar itself, and finds its errors. */
import { NanoVllmError } from "../errors.ts";

/** String literals and comments, which are skipped, and character classes. */
const PARTS = /"(?:\\.|[^"\\])*"|#[^\n]*|\[(?:\\.|[^\]\\])*\]/gsu;
const BEYOND_ASCII =
	/[\u{80}-\u{10ffff}]|\\u(?!00[0-7])[0-9a-f]{4}|\\U(?!000000[0-7])[0-9a-f]{8}|\\x[89a-f][0-9a-f]/iu;

/** @throws invalid_sampling_params where a character class names what it would not match */
export function checkGrammar(ebnf: string): string {
	for (const { 0: part, index } of ebnf.matchAll(PARTS)) {
		if (part[0] !== "[" || !BEYOND_ASCII.test(part)) continue;
		const line = ebnf.slice(0, index).split("\n").length;
		throw new NanoVllmError(
			"invalid_sampling_params",
			`structuredOutputs.grammar: the class ${part.slice(0, 60)} in line ${line} names characters beyond ASCII, which XGrammar compares byte by byte. Write them as alternatives ("ä" | "ö"), or exclude the ASCII characters that may not occur ([^a-z]).`,
		);
	}
	return ebnf;
}
