/** A narrowed schema → EBNF: XGrammar's converter, and our ranges of numbers where it would be wrong. */
import type { GrammarSpec } from "./messages.ts";
import { NUMBER_MARK } from "./number-range.ts";

export type XGrammar = typeof import("@mlc-ai/web-xgrammar");

export async function schemaGrammar(
	xgrammar: XGrammar,
	spec: GrammarSpec & { kind: "json" },
): Promise<string> {
	// -1: one line where whitespace is fixed. Strict: properties and items that are not described are not allowed.
	const ebnf = await xgrammar.Testings._jsonSchemaToEBNF(
		spec.schema,
		spec.anyWhitespace,
		-1,
		undefined,
		true,
	);
	const mark = new RegExp(`"\\\\"${NUMBER_MARK}(\\d+):\\\\""`, "g");
	return ebnf.replace(mark, (_, index) => `(${spec.numbers[Number(index)]})`);
}
