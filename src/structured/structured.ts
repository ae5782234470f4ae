/** What structuredOutputs ask for, compiled: the one door of this room, opened by the first request that asks for something. */
import type { Platform } from "../platform/platform.ts";
import type { StructuredOutputs } from "../structured-outputs.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { createGrammars, type Grammar } from "./grammars.ts";
import { grammarSpec, vocabularyOf } from "./spec.ts";

export interface StructuredOptions {
	readonly platform: Platform;
	readonly tokenizer: Tokenizer;
	readonly vocabSize: number;
	readonly eosTokenIds: readonly number[];
}

export interface Structured {
	/** @throws (rejects) invalid_sampling_params, device_unavailable where XGrammar is not installed */
	compile(given: StructuredOutputs): Promise<Grammar>;
	close(): Promise<void>;
}

export function openStructured({
	platform,
	tokenizer,
	vocabSize,
	eosTokenIds,
}: StructuredOptions): Structured {
	const vocabulary = () => vocabularyOf(tokenizer, vocabSize, eosTokenIds);
	const grammars = createGrammars({ platform, vocabulary });
	return {
		compile: async (given) => grammars.compile(grammarSpec(given)),
		close: () => grammars.close(),
	};
}
