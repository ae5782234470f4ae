/** One step's numbers as they lie in memory: the header, and where each array stands. Written by the host, read by every thread. */
import type { StepInput } from "../backend.ts";

/** Words of the header, in order; addresses are bytes. */
export const HEADER = {
	numTokens: 0,
	numSeqs: 1,
	numRows: 2,
	numSampleRows: 3,
	tokenIds: 4,
	positions: 5,
	slotMapping: 6,
	queryStart: 7,
	contextLens: 8,
	blockTableStart: 9,
	blockTables: 10,
	logitRows: 11,
	numCarried: 12,
	carryTo: 13,
	carryFrom: 14,
	/** The sampling row of carried token i that wants to know it for its penalties; −1: none */
	carryRow: 15,
	rows: 16,
	/** Rows of the step before, whose results are carried. */
	previousRows: 17,
} as const;

export const HEADER_BYTES = 128;

/** Words of assembly/sample-row.ts's Row. */
export const ROW = {
	logits: 0,
	vocab: 1,
	temperature: 2,
	topK: 3,
	topP: 4,
	minP: 5,
	presence: 6,
	frequency: 7,
	repetition: 8,
	seedHigh: 9,
	seedLow: 10,
	position: 11,
	history: 12,
	historyLength: 13,
	historyPrompt: 14,
	carried: 15,
	biasTokens: 16,
	biasValues: 17,
	numBias: 18,
	mask: 19,
	entries: 20,
	scored: 21,
	entryTokens: 22,
	entryLogprobs: 23,
	entryRanks: 24,
	result: 25,
	threshold: 26,
} as const;

export const ROW_WORDS = 27;

/** What a result below 0 means. */
export const FAILURES = new Map<number, "nan" | "forbidden">([
	[-1, "nan"],
	[-2, "forbidden"],
]);

/** Bytes the step takes at most: header, arrays, rows and logprob entries. */
export function stepBytes(input: StepInput, vocabSize: number): number {
	const { sampling: s, numTokens: T, numSeqs: S, numRows: R } = input;
	const Q = input.numSampleRows;
	const words =
		3 * T +
		3 * (S + 2) +
		input.blockTableStart[S] +
		R +
		3 * input.numCarried +
		R * ROW_WORDS +
		(Q > 0 ? s.historyStart[Q] + 2 * s.biasStart[Q] : 0) +
		s.numMasks * Math.ceil(vocabSize / 32) +
		3 * numEntries(input, vocabSize);
	// Each of some twenty arrays is aligned to 64 bytes.
	return HEADER_BYTES + words * 4 + 32 * 64;
}

/** Logprob entries of all rows. */
export function numEntries(input: StepInput, vocabSize: number): number {
	let total = 0;
	for (let r = 0; r < input.numRows; r++)
		total += rowEntries(input, r, vocabSize);
	return total;
}

export function rowEntries(
	input: StepInput,
	row: number,
	vocabSize: number,
): number {
	return Math.min(input.sampling.logprobEntries[row], vocabSize + 1);
}

/**
 * Writes the step at `at` of `memory` and returns the address of its rows.
 * @param previousRows the rows of the step before, whose sampled ids this one may carry
 */
export function writeStep(
	memory: ArrayBufferLike,
	at: number,
	input: StepInput,
	vocabSize: number,
	previousRows: number,
): number {
	const i32 = new Int32Array(memory);
	const f32 = new Float32Array(memory);
	let next = at + HEADER_BYTES;
	const place = (bytes: number): number => {
		const address = next;
		next = Math.ceil((next + bytes) / 64) * 64;
		return address;
	};
	const put = (array: Int32Array, length: number): number => {
		const address = place(length * 4);
		i32.set(array.subarray(0, length), address / 4);
		return address;
	};

	const { sampling: s, numTokens: T, numSeqs: S, numRows: R } = input;
	const Q = input.numSampleRows;
	const head = at / 4;
	i32[head + HEADER.numTokens] = T;
	i32[head + HEADER.numSeqs] = S;
	i32[head + HEADER.numRows] = R;
	i32[head + HEADER.numSampleRows] = Q;
	i32[head + HEADER.tokenIds] = put(input.tokenIds, T);
	i32[head + HEADER.positions] = put(input.positions, T);
	i32[head + HEADER.slotMapping] = put(input.slotMapping, T);
	i32[head + HEADER.queryStart] = put(input.queryStart, S + 1);
	i32[head + HEADER.contextLens] = put(input.contextLens, S);
	i32[head + HEADER.blockTableStart] = put(input.blockTableStart, S + 1);
	const numBlocks = input.blockTableStart[S];
	i32[head + HEADER.blockTables] = put(input.blockTables, numBlocks);
	i32[head + HEADER.logitRows] = put(input.logitRows, R);
	i32[head + HEADER.numCarried] = input.numCarried;
	i32[head + HEADER.carryTo] = put(input.carryTo, input.numCarried);
	i32[head + HEADER.carryFrom] = put(input.carryFrom, input.numCarried);
	i32[head + HEADER.carryRow] = put(carryRows(input), input.numCarried);
	i32[head + HEADER.previousRows] = previousRows;

	const history = put(s.historyTokens, Q > 0 ? s.historyStart[Q] : 0);
	const numBias = Q > 0 ? s.biasStart[Q] : 0;
	const biasTokens = put(s.biasTokens, numBias);
	const biasValues = place(numBias * 4);
	f32.set(s.biasValues.subarray(0, numBias), biasValues / 4);
	const maskWords = Math.ceil(vocabSize / 32);
	const masks = place(s.numMasks * maskWords * 4);
	new Uint32Array(memory).set(
		s.masks.subarray(0, s.numMasks * maskWords),
		masks / 4,
	);
	const maskOf = new Map<number, number>();
	for (let m = 0; m < s.numMasks; m++)
		maskOf.set(s.maskRows[m], masks + m * maskWords * 4);

	const rows = place(R * ROW_WORDS * 4);
	i32[head + HEADER.rows] = rows;
	const entries = numEntries(input, vocabSize);
	const tokens = place(entries * 4);
	const logprobs = place(entries * 4);
	const ranks = place(entries * 4);
	let entry = 0;
	for (let r = 0; r < R; r++) {
		const row = rows / 4 + r * ROW_WORDS;
		i32.fill(0, row, row + ROW_WORDS);
		i32[row + ROW.vocab] = vocabSize;
		i32[row + ROW.carried] = -1;
		i32[row + ROW.scored] = r < Q ? -1 : s.scoredTokens[r - Q];
		i32[row + ROW.entries] = rowEntries(input, r, vocabSize);
		i32[row + ROW.entryTokens] = tokens + entry * 4;
		i32[row + ROW.entryLogprobs] = logprobs + entry * 4;
		i32[row + ROW.entryRanks] = ranks + entry * 4;
		entry += rowEntries(input, r, vocabSize);
		if (r >= Q) continue;
		f32[row + ROW.temperature] = s.temperature[r];
		i32[row + ROW.topK] = s.topK[r];
		f32[row + ROW.topP] = s.topP[r];
		f32[row + ROW.minP] = s.minP[r];
		f32[row + ROW.presence] = s.presencePenalty[r];
		f32[row + ROW.frequency] = s.frequencyPenalty[r];
		f32[row + ROW.repetition] = s.repetitionPenalty[r];
		i32[row + ROW.seedHigh] = s.seeds[2 * r];
		i32[row + ROW.seedLow] = s.seeds[2 * r + 1];
		i32[row + ROW.position] = s.outputPosition[r];
		i32[row + ROW.history] = history + s.historyStart[r] * 4;
		i32[row + ROW.historyLength] = s.historyStart[r + 1] - s.historyStart[r];
		i32[row + ROW.historyPrompt] = s.historyPromptLen[r];
		i32[row + ROW.biasTokens] = biasTokens + s.biasStart[r] * 4;
		i32[row + ROW.biasValues] = biasValues + s.biasStart[r] * 4;
		i32[row + ROW.numBias] = s.biasStart[r + 1] - s.biasStart[r];
		i32[row + ROW.mask] = maskOf.get(r) ?? 0;
	}
	return rows;
}

/** Which sampling row each carried token belongs to. Both lists follow the order of tokens. */
function carryRows(input: StepInput): Int32Array {
	const result = new Int32Array(input.numCarried).fill(-1);
	let r = 0;
	for (let i = 0; i < input.numCarried; i++) {
		while (r < input.numSampleRows && input.logitRows[r] < input.carryTo[i])
			r++;
		if (r < input.numSampleRows && input.logitRows[r] === input.carryTo[i])
			result[i] = r;
	}
	return result;
}
