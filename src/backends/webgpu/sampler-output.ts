/** Makes a StepOutput of the words the sampling kernels left. Knows no device. */
import type { LogprobTable, StepInput, StepOutput } from "../backend.ts";
import { SCORE_WORDS } from "./kernels/logprobs-best.ts";
import {
	ALL_FORBIDDEN,
	LIMIT,
	NAN_LOGITS,
	NONE,
	ROW_WORDS,
} from "./kernels/sample-row.ts";
import type { PackedRows } from "./sampler-rows.ts";

/** What must be known of a step when its results arrive; its input is gone by then. */
export interface Asked {
	readonly numRows: number;
	readonly numSampleRows: number;
	/** null where no row asks for logprobs */
	readonly logprobs: AskedLogprobs | null;
}

interface AskedLogprobs {
	/** [R] entries of the row, no more than there are */
	readonly entries: Int32Array;
	/** [R] of a scoring row */
	readonly scored: Int32Array;
	/** [R] place of the row's first best token */
	readonly bestAt: Int32Array;
	/** [R] index among the rows read whole, or −1 */
	readonly whole: Int32Array;
	readonly scoresAt: number;
	readonly bestsAt: number;
}

/** Words of results a step takes. */
export const resultWords = (numRows: number, packed: PackedRows): number =>
	packed.asksLogprobs ? bestsPlace(numRows) + 2 * packed.numBest : numRows;
export const scoresPlace = (numRows: number): number => numRows;
export const bestsPlace = (numRows: number): number =>
	(1 + SCORE_WORDS) * numRows;

export function askedOf(
	{ numRows, numSampleRows, sampling }: StepInput,
	packed: PackedRows,
	vocabSize: number,
): Asked {
	if (!packed.asksLogprobs) return { numRows, numSampleRows, logprobs: null };
	const { u32 } = packed.rows;
	const ofRow = (word: number) =>
		Int32Array.from({ length: numRows }, (_, r) => u32[ROW_WORDS * r + word]);
	const entries = Int32Array.from({ length: numRows }, (_, r) =>
		Math.min(sampling.logprobEntries[r], vocabSize + 1),
	);
	return {
		numRows,
		numSampleRows,
		logprobs: {
			entries,
			scored: ofRow(10),
			bestAt: ofRow(12),
			whole: ofRow(13).map((place) => (place >>> 0 === NONE ? -1 : place)),
			scoresAt: scoresPlace(numRows),
			bestsAt: bestsPlace(numRows),
		},
	};
}

/** words: what the kernels left in results; wholeRow: f32 [≥ V] of the i-th row read whole */
export function outputOf(
	asked: Asked,
	words: Uint32Array<ArrayBuffer>,
	wholeRow: (i: number) => Float32Array,
	vocabSize: number,
): StepOutput {
	const { numRows, numSampleRows, logprobs } = asked;
	const tokenIds = new Int32Array(numSampleRows);
	const failedRows = new Map<number, "nan" | "forbidden">();
	for (let r = 0; r < numRows; r++) {
		if (words[r] === NAN_LOGITS) failedRows.set(r, "nan");
		else if (words[r] === ALL_FORBIDDEN) failedRows.set(r, "forbidden");
		else if (r < numSampleRows) tokenIds[r] = words[r];
	}
	if (logprobs === null) return { tokenIds, failedRows, logprobs: null };
	const table = tableFor(asked, logprobs, failedRows);
	for (let r = 0; r < numRows; r++) {
		const at = table.start[r];
		const count = table.start[r + 1] - at;
		if (count === 0) continue;
		const token = r < numSampleRows ? tokenIds[r] : logprobs.scored[r];
		writeRow(table, at, count, token, r, logprobs, words, wholeRow, vocabSize);
	}
	const isEmpty = table.tokenIds.length === 0;
	return { tokenIds, failedRows, logprobs: isEmpty ? null : table };
}

function tableFor(
	{ numRows }: Asked,
	{ entries }: AskedLogprobs,
	failedRows: ReadonlyMap<number, unknown>,
): LogprobTable {
	const start = new Int32Array(numRows + 1);
	for (let r = 0; r < numRows; r++)
		start[r + 1] = start[r] + (failedRows.has(r) ? 0 : entries[r]);
	const length = start[numRows];
	return {
		start,
		tokenIds: new Int32Array(length),
		logprobs: new Float32Array(length),
		ranks: new Int32Array(length),
	};
}

function writeRow(
	table: LogprobTable,
	at: number,
	count: number,
	token: number,
	r: number,
	{ bestAt, whole, scoresAt, bestsAt }: AskedLogprobs,
	words: Uint32Array<ArrayBuffer>,
	wholeRow: (i: number) => Float32Array,
	vocabSize: number,
): void {
	const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
	const score = scoresAt + SCORE_WORDS * r;
	const total = floats[score + 1] + Math.log(floats[score + 2]);
	const write = (i: number, id: number, logit: number, rank: number) => {
		table.tokenIds[at + i] = id;
		table.logprobs[at + i] = (logit <= -LIMIT ? -Infinity : logit) - total;
		table.ranks[at + i] = rank;
	};
	write(0, token, floats[score], 1 + words[score + 3]);
	if (whole[r] >= 0) {
		const logits = wholeRow(whole[r]);
		const ids = sortedIds(logits, vocabSize);
		for (let i = 1; i < count; i++) write(i, ids[i - 1], logits[ids[i - 1]], i);
		return;
	}
	for (let i = 1; i < count; i++) {
		const best = bestsAt + 2 * (bestAt[r] + i - 1);
		write(i, words[best], floats[best + 1], i);
	}
}

/** Ids by falling logit, lower ids first among equals: order-preserving bits and id as one f64, which sorts natively. */
function sortedIds(logits: Float32Array, vocabSize: number): Float64Array {
	const shift = 2 ** 21;
	const bits = new Int32Array(logits.buffer, logits.byteOffset, vocabSize);
	const keys = new Float64Array(vocabSize);
	for (let i = 0; i < vocabSize; i++) {
		// −0 and 0 are equal.
		const word = logits[i] === 0 ? 0 : bits[i];
		const order = word < 0 ? -2147483648 - word : word;
		keys[i] = -order * shift + i;
	}
	keys.sort();
	for (let i = 0; i < vocabSize; i++) {
		const id = keys[i] % shift;
		keys[i] = id < 0 ? id + shift : id;
	}
	return keys;
}
