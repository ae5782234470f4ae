/** What the server needs of an LLM: the library's own methods, so that any LLM fits, and so does a stand-in with as much. */
import type { LLM } from "../index.ts";

export type ServedEngine = Pick<
	LLM,
	| "modelName"
	| "modelConfig"
	| "maxModelLen"
	| "engineConfig"
	| "failure"
	| "defaultSamplingParams"
	| "tokenizer"
	| "renderChat"
	| "stream"
	| "stats"
	| "loadLoraAdapter"
	| "unloadLoraAdapter"
	| "listLoraAdapters"
> &
	/** What the inspector needs; a stand-in may do without. */
	Partial<Pick<LLM, "observe" | "isPaused" | "pause" | "resume" | "step">>;
