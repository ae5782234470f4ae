/** Turns scheduled sequences into the flat arrays of one step. Knows no device and no scheduling. After vLLM's model runner. */
import type { SamplingInput, StepInput } from "../backends/backend.ts";
import type { Adapter } from "./adapters.ts";
import type { Batch } from "./scheduler.ts";
import type { Sequence, StepRow } from "./sequence.ts";

export interface PackedStep {
	/** Valid until the next `pack`. */
	readonly input: StepInput;
	/** Row r of the step; the first numSampleRows sample, the rest score. */
	readonly rows: readonly StepRow[];
}

export interface PackLimits {
	readonly blockSize: number;
	readonly maxNumSeqs: number;
	readonly maxNumBatchedTokens: number;
	readonly vocabSize: number;
	/** Adapters at once; absent: none. */
	readonly maxLoras?: number;
}

/**
 * @param slotOf where the adapter of a scheduled sequence lies
 * @returns a function that packs one batch after another into the same arrays
 */
export function createPacker(
	limits: PackLimits,
	slotOf: (adapter: Adapter) => number = () => 0,
): (batch: Batch) => PackedStep {
	const input = allocate(limits);
	return (batch) => {
		const rows: StepRow[] = [];
		packTokens(input, batch, limits.blockSize);
		packAdapters(input, batch, slotOf);
		packSampleRows(input, batch, rows, limits.vocabSize);
		packScoreRows(input, batch, rows);
		return { input, rows };
	};
}

function packTokens(input: StepInput, batch: Batch, blockSize: number): void {
	const { tokenIds, positions, slotMapping, queryStart } = input;
	const { contextLens, blockTableStart, carryTo, carryFrom } = input;
	let t = 0;
	let numCarried = 0;
	let numBlocks = 0;
	const { scheduled } = batch;
	for (let s = 0; s < scheduled.length; s++) {
		const { seq, start, numTokens } = scheduled[s];
		const end = start + numTokens;
		queryStart[s] = t;
		contextLens[s] = end;
		blockTableStart[s] = numBlocks;
		const used = Math.ceil(end / blockSize);
		input.blockTables = reserve(input.blockTables, numBlocks + used);
		input.blockTables.set(seq.blockTable.subarray(0, used), numBlocks);
		numBlocks += used;
		for (let p = start; p < end; p++, t++) {
			const block = seq.blockTable[Math.floor(p / blockSize)];
			positions[t] = p;
			slotMapping[t] = block * blockSize + (p % blockSize);
			if (p < seq.numTokens) tokenIds[t] = seq.tokenIds[p];
			else if (seq.pendingRow !== null) {
				tokenIds[t] = 0;
				carryTo[numCarried] = t;
				carryFrom[numCarried++] = seq.pendingRow.row;
			}
		}
	}
	queryStart[scheduled.length] = t;
	blockTableStart[scheduled.length] = numBlocks;
	input.numTokens = t;
	input.numSeqs = scheduled.length;
	input.numDecodes = batch.numDecodes;
	input.numCarried = numCarried;
}

/** Lists the tokens of each slot's adapter, slot by slot: sequences are counted first, then put in their places. */
function packAdapters(
	{ adapterStart, adapterTokens, queryStart }: StepInput,
	{ scheduled }: Batch,
	slotOf: (adapter: Adapter) => number,
): void {
	const numSlots = adapterStart.length - 1;
	if (numSlots === 0) return;
	adapterStart.fill(0);
	for (const { seq, numTokens } of scheduled)
		if (seq.adapter !== null)
			adapterStart[slotOf(seq.adapter) + 1] += numTokens;
	for (let slot = 0; slot < numSlots; slot++)
		adapterStart[slot + 1] += adapterStart[slot];
	for (let s = 0; s < scheduled.length; s++) {
		const { adapter } = scheduled[s].seq;
		if (adapter === null) continue;
		const slot = slotOf(adapter);
		for (let t = queryStart[s]; t < queryStart[s + 1]; t++)
			adapterTokens[adapterStart[slot]++] = t;
	}
	// Each start has moved to its slot's end, which is where the next slot starts.
	adapterStart.copyWithin(1, 0, numSlots);
	adapterStart[0] = 0;
}

function packSampleRows(
	input: StepInput,
	batch: Batch,
	rows: StepRow[],
	vocabSize: number,
): void {
	const { sampling, queryStart, logitRows } = input;
	sampling.numMasks = 0;
	for (let s = 0; s < batch.scheduled.length; s++) {
		const { seq, samples } = batch.scheduled[s];
		if (!samples) continue;
		const row = rows.length;
		logitRows[row] = queryStart[s + 1] - 1;
		packParams(sampling, seq, row);
		packHistory(sampling, seq, row);
		packBias(sampling, seq, row);
		packMask(sampling, seq, row, vocabSize);
		rows.push({ seq, row, position: seq.numTotalTokens });
	}
	for (const row of rows) row.seq.pendingRow = row;
	input.numSampleRows = rows.length;
}

function packParams(sampling: SamplingInput, seq: Sequence, row: number): void {
	const { params } = seq;
	sampling.temperature[row] = params.temperature;
	sampling.topK[row] = Math.max(0, params.topK);
	sampling.topP[row] = params.topP;
	sampling.minP[row] = params.minP;
	sampling.presencePenalty[row] = params.presencePenalty;
	sampling.frequencyPenalty[row] = params.frequencyPenalty;
	sampling.repetitionPenalty[row] = params.repetitionPenalty;
	// High word first: the draw's hash mixes the top bits of this place least, and a high word has none (seeds are below 2⁵³).
	sampling.seeds[2 * row] = seq.seedHigh;
	sampling.seeds[2 * row + 1] = seq.seedLow;
	sampling.outputPosition[row] = seq.numOutputTokens;
	sampling.logprobEntries[row] = entriesOf(params.logprobs);
}

function packHistory(
	sampling: SamplingInput,
	seq: Sequence,
	row: number,
): void {
	const { presencePenalty, frequencyPenalty, repetitionPenalty } = seq.params;
	const start = row === 0 ? 0 : sampling.historyStart[row];
	const penalised =
		presencePenalty !== 0 || frequencyPenalty !== 0 || repetitionPenalty !== 1;
	const end = start + (penalised ? seq.numTokens : 0);
	if (penalised) {
		sampling.historyTokens = reserve(sampling.historyTokens, end);
		sampling.historyTokens.set(seq.tokenIds.subarray(0, seq.numTokens), start);
	}
	sampling.historyPromptLen[row] = penalised ? seq.numPromptTokens : 0;
	sampling.historyStart[row] = start;
	sampling.historyStart[row + 1] = end;
}

function packBias(sampling: SamplingInput, seq: Sequence, row: number): void {
	const { params } = seq;
	let at = row === 0 ? 0 : sampling.biasStart[row];
	sampling.biasStart[row] = at;
	const add = (token: number, value: number) => {
		sampling.biasTokens = reserve(sampling.biasTokens, at + 1);
		sampling.biasValues = reserve(sampling.biasValues, at + 1);
		sampling.biasTokens[at] = token;
		sampling.biasValues[at++] = value;
	};
	for (let i = 0; i < params.biasTokens.length; i++)
		add(params.biasTokens[i], params.biasValues[i]);
	if (seq.numOutputTokens < params.minTokens) {
		for (const token of params.eosTokenIds) add(token, -Infinity);
		for (const token of params.stopTokenIds) add(token, -Infinity);
	}
	for (const word of params.badWordIds)
		if (endsWith(seq, word)) add(word[word.length - 1], -Infinity);
	sampling.biasStart[row + 1] = at;
}

/** True where the sequence's output ends in all of `word` but its last token. */
function endsWith(seq: Sequence, word: readonly number[]): boolean {
	const length = word.length - 1;
	if (length > seq.numTokens - seq.numPromptTokens) return false;
	for (let i = 0; i < length; i++)
		if (seq.tokenIds[seq.numTokens - length + i] !== word[i]) return false;
	return true;
}

function packMask(
	sampling: SamplingInput,
	seq: Sequence,
	row: number,
	vocabSize: number,
): void {
	const allowed = seq.params.allowedMask;
	const wanted = seq.constraint?.mask ?? null;
	const mask = allowed ?? wanted;
	if (mask === null) return;
	const words = Math.ceil(vocabSize / 32);
	const at = sampling.numMasks * words;
	sampling.masks = reserve(sampling.masks, at + words);
	sampling.masks.set(mask, at);
	if (allowed !== null && wanted !== null)
		for (let w = 0; w < words; w++) sampling.masks[at + w] &= wanted[w];
	sampling.maskRows[sampling.numMasks++] = row;
}

/** Rows behind the sampling ones: prompt positions whose next token's logprob is asked for. */
function packScoreRows(input: StepInput, batch: Batch, rows: StepRow[]): void {
	const numSampleRows = rows.length;
	for (let s = 0; s < batch.scheduled.length; s++) {
		const { seq, start, numTokens } = batch.scheduled[s];
		const { promptLogprobs } = seq.params;
		if (promptLogprobs === null) continue;
		const last = Math.min(start + numTokens, seq.numPromptTokens - 1);
		for (let p = Math.max(start + 1, seq.numScoredTokens); p <= last; p++) {
			const row = rows.length;
			input.logitRows[row] = input.queryStart[s] + p - 1 - start;
			input.sampling.logprobEntries[row] = entriesOf(promptLogprobs);
			input.sampling.scoredTokens[row - numSampleRows] = seq.tokenIds[p];
			rows.push({ seq, row, position: p });
			seq.numScoredTokens = p + 1;
		}
	}
	input.numRows = rows.length;
}

/** -1 asks for the whole vocabulary. */
function entriesOf(logprobs: number | null): number {
	if (logprobs === null) return 0;
	return logprobs === -1 ? 2 ** 31 - 1 : 1 + logprobs;
}

function reserve<A extends Int32Array | Float32Array | Uint32Array>(
	array: A,
	length: number,
): A {
	if (length <= array.length) return array;
	const Type = array.constructor as new (length: number) => A;
	const larger = new Type(Math.ceil(length * 1.5));
	larger.set(array);
	return larger;
}

function allocate({
	maxNumSeqs: S,
	maxNumBatchedTokens: T,
	maxLoras = 0,
}: PackLimits): StepInput {
	// Sampling rows (at most one a sequence) and scoring rows (at most one a token) together.
	const R = S + T;
	return {
		numTokens: 0,
		numSeqs: 0,
		numDecodes: 0,
		numRows: 0,
		numSampleRows: 0,
		tokenIds: new Int32Array(T),
		positions: new Int32Array(T),
		slotMapping: new Int32Array(T),
		queryStart: new Int32Array(S + 1),
		contextLens: new Int32Array(S),
		blockTableStart: new Int32Array(S + 1),
		blockTables: new Int32Array(16 * S),
		logitRows: new Int32Array(R),
		numCarried: 0,
		carryTo: new Int32Array(S),
		carryFrom: new Int32Array(S),
		adapterTokens: new Int32Array(maxLoras > 0 ? T : 0),
		adapterStart: new Int32Array(maxLoras + 1),
		sampling: {
			temperature: new Float32Array(S),
			topK: new Int32Array(S),
			topP: new Float32Array(S),
			minP: new Float32Array(S),
			presencePenalty: new Float32Array(S),
			frequencyPenalty: new Float32Array(S),
			repetitionPenalty: new Float32Array(S),
			seeds: new Uint32Array(2 * S),
			outputPosition: new Int32Array(S),
			historyStart: new Int32Array(S + 1),
			historyTokens: new Int32Array(0),
			historyPromptLen: new Int32Array(S),
			biasStart: new Int32Array(S + 1),
			biasTokens: new Int32Array(0),
			biasValues: new Float32Array(0),
			numMasks: 0,
			maskRows: new Int32Array(S),
			masks: new Uint32Array(0),
			logprobEntries: new Int32Array(R),
			scoredTokens: new Int32Array(T),
		},
	};
}
