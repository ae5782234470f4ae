/** One step's numbers as they lie in memory: the header, and where each array stands. Written by the host, read by every thread. */
import type { Limits, RowFailure, StepInput } from "../backend.ts";

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
	adapterTokens: 18,
	adapterStart: 19,
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
export const FAILURES: ReadonlyMap<number, RowFailure> = new Map([
	[-1, "nan"],
	[-2, "forbidden"],
] as const);

/** What the rows of a step may ask for together in history, bias and logprob entries; pages nobody touches cost nothing. */
export const ROW_ROOM_BYTES = 64 * 2 ** 20;
const ALIGNMENT = 64;

/** Bytes of a step at most. Requests cannot make it larger: rows that ask for more than their room are refused. */
export function stepBytesOf(
	limits: Limits,
	vocabSize: number,
	numSlots: number,
): number {
	const T = limits.maxNumBatchedTokens;
	const S = limits.maxNumSeqs;
	const R = S + T;
	const numBlocks = S * Math.ceil(limits.maxModelLen / limits.blockSize);
	const masks = S * Math.ceil(vocabSize / 32);
	const adapters = numSlots === 0 ? 1 : T + numSlots + 1;
	const words =
		adapters +
		3 * T +
		3 * (S + 1) +
		numBlocks +
		3 * S +
		R * (1 + ROW_WORDS) +
		masks;
	// A dozen arrays of the step and up to seven a row, each aligned.
	const padding = (18 + 7 * R) * ALIGNMENT;
	return HEADER_BYTES + words * 4 + padding + ROW_ROOM_BYTES;
}

/** Logprob entries of a row: the chosen token's, and the vocabulary at most. */
function numEntries(input: StepInput, row: number, vocabSize: number): number {
	return Math.min(input.sampling.logprobEntries[row], vocabSize + 1);
}

/** Of the row's room. */
function rowBytes(input: StepInput, row: number, vocabSize: number): number {
	const { historyStart, biasStart } = input.sampling;
	const words = 3 * numEntries(input, row, vocabSize);
	if (row >= input.numSampleRows) return words * 4;
	const history = historyStart[row + 1] - historyStart[row];
	const numBias = biasStart[row + 1] - biasStart[row];
	return (words + history + 2 * numBias) * 4;
}

/** The rows of the sequences that ask for most, as many as it takes for the others to fit. */
function refusedRows(input: StepInput, vocabSize: number): Set<number> {
	const { numSeqs, numRows, queryStart, logitRows } = input;
	let total = 0;
	for (let r = 0; r < numRows; r++) total += rowBytes(input, r, vocabSize);
	if (total <= ROW_ROOM_BYTES) return new Set();
	const asked = new Float64Array(numSeqs);
	const owners = Array.from(logitRows.subarray(0, numRows), (token) => {
		let s = 0;
		while (queryStart[s + 1] <= token) s++;
		return s;
	});
	for (const [r, s] of owners.entries())
		asked[s] += rowBytes(input, r, vocabSize);
	const greediest = [...asked.keys()].sort((a, b) => asked[b] - asked[a]);
	const refused = new Set<number>();
	for (const s of greediest) {
		if (total <= ROW_ROOM_BYTES) break;
		refused.add(s);
		total -= asked[s];
	}
	return new Set(owners.flatMap((s, r) => (refused.has(s) ? [r] : [])));
}

export interface WrittenStep {
	/** Address of the rows. */
	readonly rows: number;
	/** Rows that ask for more than there is room for: they are sampled plainly, and what comes of them means nothing. */
	readonly refused: ReadonlySet<number>;
}

/**
 * Writes the step at `at` of `memory`.
 * @param previousRows the rows of the step before, whose sampled ids this one may carry
 */
export function writeStep(
	memory: ArrayBufferLike,
	at: number,
	input: StepInput,
	vocabSize: number,
	previousRows: number,
): WrittenStep {
	const writer = createWriter(memory, at + HEADER_BYTES);
	const refused = refusedRows(input, vocabSize);
	const rows = writeRows(writer, input, vocabSize, refused);
	const { numTokens: T, numSeqs: S, numCarried } = input;
	const numBlocks = input.blockTableStart[S];
	const numSlots = input.adapterStart.length - 1;
	const numAdapted = input.adapterStart[numSlots];
	const header: Record<keyof typeof HEADER, number> = {
		numTokens: T,
		numSeqs: S,
		numRows: input.numRows,
		numSampleRows: input.numSampleRows,
		tokenIds: writer.put(input.tokenIds, 0, T),
		positions: writer.put(input.positions, 0, T),
		slotMapping: writer.put(input.slotMapping, 0, T),
		queryStart: writer.put(input.queryStart, 0, S + 1),
		contextLens: writer.put(input.contextLens, 0, S),
		blockTableStart: writer.put(input.blockTableStart, 0, S + 1),
		blockTables: writer.put(input.blockTables, 0, numBlocks),
		logitRows: writer.put(input.logitRows, 0, input.numRows),
		numCarried,
		carryTo: writer.put(input.carryTo, 0, numCarried),
		carryFrom: writer.put(input.carryFrom, 0, numCarried),
		carryRow: writer.put(carryRows(input), 0, numCarried),
		rows,
		previousRows,
		adapterTokens: writer.put(input.adapterTokens, 0, numAdapted),
		adapterStart: writer.put(input.adapterStart, 0, numSlots + 1),
	};
	for (const [name, word] of Object.entries(HEADER))
		writer.i32[at / 4 + word] = header[name as keyof typeof HEADER];
	return { rows, refused };
}

type Writer = ReturnType<typeof createWriter>;

/** Places arrays one behind the other from `start` on. */
function createWriter(memory: ArrayBufferLike, start: number) {
	const i32 = new Int32Array(memory);
	const f32 = new Float32Array(memory);
	let next = start;
	const place = (words: number): number => {
		const address = next;
		next = Math.ceil((next + words * 4) / ALIGNMENT) * ALIGNMENT;
		return address;
	};
	return {
		i32,
		f32,
		place,
		/** array[start .. end-1] */
		put(
			array: Int32Array | Uint32Array | Float32Array,
			start: number,
			end: number,
		): number {
			const address = place(end - start);
			if (start === end) return address;
			const target = array instanceof Float32Array ? f32 : i32;
			target.set(array.subarray(start, end), address / 4);
			return address;
		},
	};
}

function writeRows(
	writer: Writer,
	input: StepInput,
	vocabSize: number,
	refused: ReadonlySet<number>,
): number {
	const { i32, f32 } = writer;
	const { sampling: s, numSampleRows: Q, numRows: R } = input;
	const maskWords = Math.ceil(vocabSize / 32);
	const masks = new Map<number, number>();
	for (let m = 0; m < s.numMasks; m++)
		masks.set(
			s.maskRows[m],
			writer.put(s.masks, m * maskWords, (m + 1) * maskWords),
		);
	const rows = writer.place(R * ROW_WORDS);
	for (let r = 0; r < R; r++) {
		const row = rows / 4 + r * ROW_WORDS;
		i32.fill(0, row, row + ROW_WORDS);
		i32[row + ROW.vocab] = vocabSize;
		i32[row + ROW.carried] = -1;
		i32[row + ROW.scored] = r < Q ? -1 : s.scoredTokens[r - Q];
		if (r < Q) {
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
			i32[row + ROW.mask] = masks.get(r) ?? 0;
		}
		if (!refused.has(r)) writeAsked(writer, input, vocabSize, r, row);
	}
	return rows;
}

/** What the row asks for of its room. */
function writeAsked(
	writer: Writer,
	input: StepInput,
	vocabSize: number,
	r: number,
	row: number,
): void {
	const { i32 } = writer;
	const { sampling: s } = input;
	const entries = numEntries(input, r, vocabSize);
	i32[row + ROW.entries] = entries;
	i32[row + ROW.entryTokens] = writer.place(entries);
	i32[row + ROW.entryLogprobs] = writer.place(entries);
	i32[row + ROW.entryRanks] = writer.place(entries);
	if (r >= input.numSampleRows) return;
	const [history, historyEnd] = [s.historyStart[r], s.historyStart[r + 1]];
	i32[row + ROW.history] = writer.put(s.historyTokens, history, historyEnd);
	i32[row + ROW.historyLength] = historyEnd - history;
	i32[row + ROW.historyPrompt] = s.historyPromptLen[r];
	const [bias, biasEnd] = [s.biasStart[r], s.biasStart[r + 1]];
	i32[row + ROW.biasTokens] = writer.put(s.biasTokens, bias, biasEnd);
	i32[row + ROW.biasValues] = writer.put(s.biasValues, bias, biasEnd);
	i32[row + ROW.numBias] = biasEnd - bias;
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
