/** HF generation_config.json: where a text ends, and the sampling that the model's authors advise. */
import { show } from "../config.ts";
import { invalid, isObject, tokenIds } from "./fields.ts";

export interface GenerationConfig {
	readonly eosTokenIds: readonly number[];
	/** Sampling defaults the model's authors advise, in our names; only those present. */
	readonly sampling: Readonly<Record<string, number>>;
}

/** generation_config.json; null (no file) gives nothing. @throws invalid_model_config */
export function parseGenerationConfig(json: unknown): GenerationConfig {
	if (json === null) return { eosTokenIds: [], sampling: {} };
	if (!isObject(json))
		throw invalid(
			`generation_config.json must hold an object, got ${show(json)}.`,
		);
	const names = {
		temperature: "temperature",
		topP: "top_p",
		topK: "top_k",
		minP: "min_p",
		repetitionPenalty: "repetition_penalty",
		maxTokens: "max_new_tokens",
	};
	const sampling: Record<string, number> = {};
	for (const [ours, theirs] of Object.entries(names)) {
		const value = json[theirs];
		if (typeof value === "number" && Number.isFinite(value))
			sampling[ours] = value;
	}
	if (json.do_sample === false) sampling.temperature = 0;
	return {
		eosTokenIds: tokenIds(
			json.eos_token_id,
			"generation_config.json: eos_token_id",
		),
		sampling,
	};
}
