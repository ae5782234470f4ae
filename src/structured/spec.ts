/** SamplingParams.structuredOutputs → what XGrammar compiles; a tokenizer's tokens → the bytes it matches. Knows no threads. */
import {
	checkStructuredOutputs,
	type StructuredOutputs,
} from "../structured-outputs.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkGrammar } from "./ebnf.ts";
import { narrowSchema } from "./json-schema.ts";
import type { GrammarSpec, Vocabulary } from "./messages.ts";
import { translatePattern } from "./pattern.ts";

/** @throws invalid_sampling_params */
export function grammarSpec(given: StructuredOutputs): GrammarSpec {
	const kind = checkStructuredOutputs(given);
	const anyWhitespace = given.disableAnyWhitespace !== true;
	switch (kind) {
		case "json":
			return { kind, ...narrowSchema(given.json), anyWhitespace };
		case "jsonObject":
			return {
				kind: "json",
				...narrowSchema({ type: "object" }),
				anyWhitespace,
			};
		case "regex":
			return {
				kind,
				pattern: translatePattern(
					given.regex ?? "",
					"structuredOutputs.regex",
					false,
				),
			};
		case "choice":
			return { kind, choices: [...new Set(given.choice)] };
		case "grammar":
			return { kind, ebnf: checkGrammar(given.grammar ?? "") };
		default:
			return kind satisfies never;
	}
}

/** Bytes that occur in no UTF-8 text; XGrammar does not mind them. */
const isNever = (byte: number) => byte === 0xc0 || byte === 0xc1 || byte > 0xf4;

/** The tokens the model has logits for; those that are no text, and those beyond the tokenizer's, have no bytes. */
export function vocabularyOf(
	tokenizer: Tokenizer,
	vocabSize: number,
	stopTokenIds: readonly number[],
): Vocabulary {
	const ends = new Uint32Array(vocabSize);
	const tokens: Uint8Array[] = [];
	let end = 0;
	for (let id = 0; id < vocabSize; id++) {
		const token = tokenizer.tokenBytes(id);
		if (!token.some(isNever)) end += tokens[tokens.push(token) - 1].length;
		ends[id] = end;
	}
	const bytes = new Uint8Array(end);
	let at = 0;
	for (const token of tokens) {
		bytes.set(token, at);
		at += token.length;
	}
	return { bytes, ends, stopTokenIds };
}
