// One row of a step as the sampler reads it.

/** A row's parameters, as ../step.ts lays them out. */
@unmanaged
export class Row {
	logits: usize;
	vocab: i32;
	temperature: f32;
	topK: i32;
	topP: f32;
	minP: f32;
	presence: f32;
	frequency: f32;
	repetition: f32;
	seedHigh: i32;
	seedLow: i32;
	position: i32;
	history: usize;
	historyLength: i32;
	historyPrompt: i32;
	/** the row's token the host did not know; -1: none */
	carried: i32;
	biasTokens: usize;
	biasValues: usize;
	numBias: i32;
	/** 0: none */
	mask: usize;
	/** 0 none, 1 the chosen token's, 1 + k also the k best */
	entries: i32;
	/** the token to score instead of sampling; -1: sample */
	scored: i32;
	entryTokens: usize;
	entryLogprobs: usize;
	entryRanks: usize;
	/** written: the token; −1 the logits held NaN, −2 no token was allowed */
	result: i32;
	/** written where a token is drawn: the least logit / temperature the filters left */
	threshold: f32;
}
