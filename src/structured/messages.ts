/** What the grammar thread and its owner say to one another. Integers and texts, no objects of either side. */

/** What XGrammar is asked to compile. */
export type GrammarSpec =
	| {
			readonly kind: "json";
			/** JSON text of a schema that `narrowSchema` let through. */
			readonly schema: string;
			/** EBNF of what its i-th NUMBER_MARK stands for. */
			readonly numbers: readonly string[];
			readonly anyWhitespace: boolean;
	  }
	| { readonly kind: "regex"; readonly pattern: string }
	| { readonly kind: "choice"; readonly choices: readonly string[] }
	| { readonly kind: "grammar"; readonly ebnf: string };

/** Token t's bytes are bytes[ends[t-1] .. ends[t]); none: it is never text. The thread's first message. */
export interface Vocabulary {
	readonly bytes: Uint8Array;
	readonly ends: Uint32Array;
	/** Tokens that may end an answer, and only where it is complete. */
	readonly stopTokenIds: readonly number[];
}

/** Answered one by one, in order. */
export type GrammarMessage =
	/** Answered with the mask of a sequence that begins. */
	| {
			readonly kind: "compile";
			readonly grammar: number;
			readonly spec: GrammarSpec;
	  }
	| { readonly kind: "forget"; readonly grammar: number }
	/** Matcher i, new or at its grammar, takes token i; answered with the masks of what may follow. */
	| {
			readonly kind: "accept";
			readonly matchers: readonly number[];
			readonly grammars: readonly number[];
			readonly tokenIds: readonly number[];
	  }
	| { readonly kind: "end"; readonly matchers: readonly number[] };

export type GrammarAnswer =
	| { readonly kind: "done"; readonly masks: Uint32Array<ArrayBuffer> }
	/** A call failed, and with it XGrammar's memory: the thread answers no more. */
	| { readonly kind: "failed"; readonly message: string }
	/** The package is not installed; the thread answers no more. */
	| { readonly kind: "absent" };
