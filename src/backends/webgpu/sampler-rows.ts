/** What the sampling kernels are told of a step: one record a row, one a row whose logits are changed, and lists both point into. */
import type { SamplingInput, StepInput } from "../backend.ts";
import { MOST_BEST } from "./kernels/logprobs-best.ts";
import { EDIT_WORDS } from "./kernels/sample-edit.ts";
import {
	DRAWS,
	FILTERS,
	LIMIT,
	NONE,
	ROW_WORDS,
	SCORES,
	SUMS,
} from "./kernels/sample-row.ts";

/** Valid until the next `pack`. Rows of the step have their records in order; edits are in order of their rows. */
export interface PackedRows {
	rows: Words;
	edits: Words;
	/** Masks, (token, bias) pairs, histories. */
	words: Words;
	/** [Q + 1] edits of rows before row r */
	editStart: Int32Array;
	numEdits: number;
	/** Edits with a history: each takes a row of counts. */
	numPenalised: number;
	numUndoPlaces: number;
	/** Pairs of best tokens, of all rows. */
	numBest: number;
	/** Rows read whole. */
	numWhole: number;
	/** Some row wants logprobs. */
	asksLogprobs: boolean;
}

/** Words of any type, growing. */
export interface Words {
	u32: Uint32Array<ArrayBuffer>;
	f32: Float32Array<ArrayBuffer>;
	length: number;
}

export interface RowLimits {
	readonly vocabSize: number;
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	/** Rows of counts there may be. */
	readonly sliceRows: number;
}

const newWords = (capacity: number): Words => {
	const u32 = new Uint32Array(capacity);
	return { u32, f32: new Float32Array(u32.buffer), length: 0 };
};

/** Room for `count` more. @returns where they begin */
function take(words: Words, count: number): number {
	const at = words.length;
	words.length += count;
	if (words.length > words.u32.length) {
		const larger = new Uint32Array(Math.ceil(words.length * 1.5));
		larger.set(words.u32);
		words.u32 = larger;
		words.f32 = new Float32Array(larger.buffer);
	}
	return at;
}

/** @returns a function that packs one step after another into the same arrays */
export function createRowPacker(
	limits: RowLimits,
): (input: StepInput) => PackedRows {
	const { vocabSize, maxNumSeqs, maxNumBatchedTokens, sliceRows } = limits;
	const packed: PackedRows = {
		rows: newWords(ROW_WORDS * (maxNumSeqs + maxNumBatchedTokens)),
		edits: newWords(0),
		words: newWords(4),
		editStart: new Int32Array(maxNumSeqs + 1),
		numEdits: 0,
		numPenalised: 0,
		numUndoPlaces: 0,
		numBest: 0,
		numWhole: 0,
		asksLogprobs: false,
	};
	const carriedTo = new Map<number, number>();
	const addBiases = createBiasPacker(vocabSize);
	return (input) => {
		const { numRows, numSampleRows, sampling } = input;
		packed.rows.length = packed.edits.length = packed.words.length = 0;
		packed.numEdits = packed.numPenalised = packed.numUndoPlaces = 0;
		packed.numBest = packed.numWhole = 0;
		packed.asksLogprobs = false;
		carriedTo.clear();
		if (sampling.historyStart[numSampleRows] > 0)
			for (let i = 0; i < input.numCarried; i++)
				carriedTo.set(input.carryTo[i], input.carryFrom[i]);
		for (let r = 0; r < numRows; r++) {
			const at = take(packed.rows, ROW_WORDS);
			if (r < numSampleRows) {
				packParams(packed.rows, at, sampling, r, vocabSize);
				packed.editStart[r] = packed.numEdits;
				packEdit(packed, input, r, carriedTo, addBiases, sliceRows);
			} else packScoring(packed.rows, at);
			packLogprobs(packed, at, input, r, vocabSize);
		}
		packed.editStart[numSampleRows] = packed.numEdits;
		packMasks(packed, sampling, vocabSize);
		return packed;
	};
}

function packParams(
	{ u32, f32 }: Words,
	at: number,
	sampling: SamplingInput,
	r: number,
	vocabSize: number,
): void {
	const temperature = Math.max(sampling.temperature[r], 0);
	const draws = temperature > 0;
	const topK = sampling.topK[r] < vocabSize ? Math.max(0, sampling.topK[r]) : 0;
	const topP = sampling.topP[r];
	const minP = sampling.minP[r];
	const filters = draws && (topK > 0 || topP < 1 || minP > 0);
	const sums = filters && topP < 1 && topK === 0 && minP <= 0;
	const divisor = draws ? Math.max(temperature, 1e-30) : 1;
	f32[at] = divisor;
	f32[at + 1] = 1 / divisor;
	u32[at + 2] =
		(draws ? DRAWS : 0) | (filters ? FILTERS : 0) | (sums ? SUMS : 0);
	u32[at + 3] = topK;
	f32[at + 4] = topP;
	f32[at + 5] = minP > 0 ? ceilToFloat(Math.log(minP)) : -LIMIT;
	u32[at + 6] = sampling.seeds[2 * r];
	u32[at + 7] = sampling.seeds[2 * r + 1];
	u32[at + 8] = sampling.outputPosition[r];
	u32[at + 9] = NONE;
}

/** The least f32 that is not less: a threshold of f64 as f32 values see it. */
function ceilToFloat(x: number): number {
	const rounded = Math.fround(x);
	if (rounded >= x) return rounded;
	const bits = new Int32Array(Float32Array.of(rounded).buffer);
	bits[0] += rounded < 0 ? -1 : 1;
	return new Float32Array(bits.buffer)[0];
}

function packScoring({ u32, f32 }: Words, at: number): void {
	u32.fill(0, at, at + ROW_WORDS);
	f32[at] = f32[at + 1] = 1;
	u32[at + 2] = SCORES;
	u32[at + 9] = NONE;
}

function packLogprobs(
	packed: PackedRows,
	at: number,
	{ numSampleRows, sampling }: StepInput,
	r: number,
	vocabSize: number,
): void {
	const { u32 } = packed.rows;
	const entries = sampling.logprobEntries[r];
	const numBest = Math.min(Math.max(entries - 1, 0), vocabSize);
	const isWhole = numBest > MOST_BEST;
	if (entries > 0) {
		u32[at + 2] |= SCORES;
		packed.asksLogprobs = true;
	}
	u32[at + 10] =
		r < numSampleRows ? NONE : sampling.scoredTokens[r - numSampleRows];
	u32[at + 11] = isWhole ? 0 : numBest;
	u32[at + 12] = packed.numBest;
	u32[at + 13] = isWhole ? packed.numWhole++ : NONE;
	if (!isWhole) packed.numBest += numBest;
}

type BiasPacker = (words: Words, sampling: SamplingInput, r: number) => number;

/** Biases of a row as (token, value) pairs, those of one token added up. @returns how many */
function createBiasPacker(vocabSize: number): BiasPacker {
	/** Where the token's pair stands, if it is of this row. */
	let places: Int32Array | null = null;
	return (words, { biasStart, biasTokens, biasValues }, r) => {
		places ??= new Int32Array(vocabSize);
		const first = words.length;
		for (let i = biasStart[r]; i < biasStart[r + 1]; i++) {
			const token = biasTokens[i];
			const known = places[token];
			const isKnown =
				known >= first && known < words.length && words.u32[known] === token;
			if (isKnown) words.f32[known + 1] += biasValues[i];
			else {
				const at = take(words, 2);
				words.u32[at] = token;
				words.f32[at + 1] = biasValues[i];
				places[token] = at;
			}
		}
		return (words.length - first) / 2;
	};
}

function packEdit(
	packed: PackedRows,
	{ sampling, logitRows }: StepInput,
	r: number,
	carriedTo: ReadonlyMap<number, number>,
	addBiases: BiasPacker,
	sliceRows: number,
): void {
	const historyStart = sampling.historyStart[r];
	const numHistory = sampling.historyStart[r + 1] - historyStart;
	if (numHistory === 0 && sampling.biasStart[r] === sampling.biasStart[r + 1])
		return;
	const { words, edits } = packed;
	const at = take(edits, EDIT_WORDS);
	const biasAt = words.length;
	const numBiases = addBiases(words, sampling, r);
	const historyAt = take(words, numHistory);
	for (let i = 0; i < numHistory; i++)
		words.u32[historyAt + i] = sampling.historyTokens[historyStart + i];
	edits.u32.set(
		[
			r,
			biasAt,
			numBiases,
			historyAt,
			sampling.historyPromptLen[r],
			numHistory,
			carriedTo.get(logitRows[r]) ?? NONE,
			packed.numPenalised % sliceRows,
			packed.numUndoPlaces,
		],
		at,
	);
	edits.f32[at + 9] = sampling.presencePenalty[r];
	edits.f32[at + 10] = sampling.frequencyPenalty[r];
	edits.f32[at + 11] = sampling.repetitionPenalty[r];
	packed.numEdits++;
	if (numHistory > 0) packed.numPenalised++;
	packed.numUndoPlaces += numBiases + numHistory + 1;
}

/** A row with several masks gets what all of them allow. */
function packMasks(
	{ rows, words }: PackedRows,
	{ numMasks, maskRows, masks }: SamplingInput,
	vocabSize: number,
): void {
	const length = Math.ceil(vocabSize / 32);
	for (let m = 0; m < numMasks; m++) {
		const place = ROW_WORDS * maskRows[m] + 9;
		const known = rows.u32[place];
		const at = known === NONE ? take(words, length) : known;
		rows.u32[place] = at;
		if (known === NONE)
			words.u32.set(masks.subarray(m * length, (m + 1) * length), at);
		else
			for (let i = 0; i < length; i++)
				words.u32[at + i] &= masks[m * length + i];
	}
}
